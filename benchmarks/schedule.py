"""How steady a schedule is: one fold, trained again and again from other seeds.

`python -m benchmarks.schedule SEEDS [key=value ...]` trains fold 0 of the data set that `fetch` and
`split` have left, by params.yaml with the keys changed (`lr=0.02 train.batch_size=32`), once per
seed, and once more by params.yaml as it is, in turn. It prints the held-out images' accuracy and
the seconds of training as Markdown.
"""

import contextlib
import io
import statistics
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import machine
from foldwise.core.settings import read_file, validated
from foldwise.features.kept import FeatureFolder
from foldwise.params import Params
from foldwise.training.curves import Curves
from foldwise.training.fit import TrainingRun, fit_member
from foldwise.training.fold import datasets


def changed(overrides: dict[str, Any], seed: int) -> Params:
    """params.yaml with some of its keys changed."""
    content = read_file()
    for key, value in (overrides | {"seed": seed}).items():
        section = content
        *parents, last = key.split(".")
        for name in parents:
            section = section[name]
        section[last] = value
    params: Params = validated(content, Params)
    return params


def trained(overrides: dict[str, Any], seed: int) -> tuple[float, float]:
    """Accuracy of the held-out images after the last epoch, and seconds of training."""
    params = changed(overrides, seed)
    recipe = params.recipe(params.members[0])
    train, valid = datasets(recipe, 0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        curves = Curves(folder / "curves", "", recipe)
        drawn = zlib.crc32(f"{seed} {recipe.member} 0".encode())
        run = TrainingRun(
            drawn, params.compute, folder / "kept", FeatureFolder(folder / "features"), curves
        )
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            fit_member(recipe, train, valid, run)
    return curves.last["valid_accuracy"], time.perf_counter() - start


def main(seeds: int, overrides: dict[str, Any]) -> None:
    rows: dict[str, dict[str, Any]] = {"params.yaml": {}}
    if overrides:
        rows[", ".join(f"{key}={value}" for key, value in overrides.items())] = overrides
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for seed in range(1, seeds + 1):
        for name, each in rows.items():
            found[name].append(trained(each, seed))
    print(f"{machine()}, fold 0, {seeds} seeds.\n")
    print("| schedule | accuracy | standard deviation | lowest | seconds |\n|---|--:|--:|--:|--:|")
    for name, runs in found.items():
        scores, times = zip(*runs, strict=True)
        spread = statistics.stdev(scores) if seeds > 1 else 0.0
        print(
            f"| {name} | {statistics.mean(scores):.4f} | {spread:.4f} | {min(scores):.4f} "
            f"| {statistics.median(times):.1f} |"
        )


if __name__ == "__main__":
    count, *pairs = sys.argv[1:]
    main(int(count), {key: yaml.safe_load(value) for key, value in (p.split("=") for p in pairs)})
