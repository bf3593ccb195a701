"""What it saves to run a frozen backbone once, instead of once per fold.

`python -m benchmarks.frozen PROJECT MEMBER`, of a project whose member was trained on a frozen
backbone (`freeze: {epochs: all}`), predicts all folds in turn, in this process, twice: every image
through the whole network of each fold, and by features that all folds share, of which none are kept
at the start. It prints, as Markdown, seconds of both, how far their logits differ, and what the
features take on disk. The project's predictions are left as they were.
"""

import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.machine import machine
from foldwise.core import files
from foldwise.core.settings import Folds, read
from foldwise.model.saved import TrainedMember, load_member
from foldwise.view_names import Views
from stages import predict


def predicted(member: str, folds: Folds, frozen: bool) -> tuple[list[float], list[np.ndarray]]:
    """Seconds of each fold, and its logits (views, images, classes), all images one after another.

    Args:
        member: its name.
        folds: their numbers.
        frozen: whether features are shared.
    """

    def load(folder: Path) -> TrainedMember:
        return replace(load_member(folder), frozen=frozen)

    seconds, logits = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for fold in folds:
            arguments = ["predict", "--member", member, "--fold", str(fold)]
            with (
                patch.object(predict, "load_member", load),
                patch.object(files, "PREDICTIONS", Path(temporary)),
                patch.object(files, "FEATURES", Path(temporary) / "features"),
                patch.object(sys, "argv", arguments),
            ):
                start = time.perf_counter()
                predict.main()
                seconds.append(time.perf_counter() - start)
            found = np.load(Path(temporary) / member / f"{fold}.npz")
            logits.append(np.concatenate([found["oof_logits"], found["test_logits"]], 1))
        kept = Path(temporary) / "features"
        size = sum(path.stat().st_size for path in kept.glob("*.npy")) if frozen else 0
        shutil.rmtree(kept, ignore_errors=True)
    if frozen:
        print(f"Features on disk: {size / 1e6:.1f} MB.")
    return seconds, logits


def main() -> None:
    project, member = sys.argv[1:]
    os.chdir(project)
    folds, views = read("folds", Folds), read("tta.views", Views)
    images = len(files.read_labels())
    print(f"# A frozen backbone, {len(folds)} folds\n\n{machine()}")
    print(f"{images} images, views {', '.join(views)}.")
    shared, by_features = predicted(member, folds, frozen=True)
    whole, by_network = predicted(member, folds, frozen=False)
    pairs = zip(by_features, by_network, strict=True)
    apart = max(float(np.abs(one - other).max()) for one, other in pairs)
    print("\n| predict, seconds | " + " | ".join(f"fold {fold}" for fold in folds) + " | all |")
    print("|---" * (len(folds) + 2) + "|")
    for name, each in (("the whole network per fold", whole), ("shared features", shared)):
        shown = " | ".join(f"{one:.1f}" for one in (*each, sum(each)))
        print(f"| {name} | {shown} |")
    print(f"\n{sum(whole) / sum(shared):.1f} times as fast; logits differ by {apart:.1e} at most.")


if __name__ == "__main__":
    main()
