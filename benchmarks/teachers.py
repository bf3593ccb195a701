"""What a teacher gives: pseudo-labels where labels are few, and a small student to deploy.

`python -m benchmarks.teachers labels` takes nine tenths of the default's labels away. It trains on
the rest alone, then two rounds of students on all images, each taught by the commit before, fold by
fold; and a student that is taught by all folds' models, as leaks. `python -m benchmarks.teachers
student` trains the default, a small network alone, and the same taught by the default's folds. Both
print a table as Markdown: the objective out-of-fold and on the test part, and paired gains with
their 95 % intervals.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import yaml

from benchmarks.in_process import (
    cloned,
    committed,
    default_params,
    of_one_fold,
    run_stage,
    stages_of,
)
from benchmarks.machine import machine
from foldwise.commands import apply
from foldwise.core import files
from foldwise.ensembling.merge import merge_logits
from foldwise.evaluation.base import base_rungs
from foldwise.evaluation.runs import Run, paired, read_run
from foldwise.scoring.objective import Objective
from foldwise.sources.glyphs.source import load_glyphs
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.tree_mount import open_tree
from foldwise.training.teacher import Taught

FOLDS = (0, 1, 2)
LABELLED = 720
ALONE, TAUGHT = 28, 2
"""Epochs on few images, and on all, going on from the teacher's weights."""
RATE = 5e-3
"""With which they go on."""
SMALL = {"widths": [8, 16, 32, 32, 48], "pools": [0, 1]}
ACCURACY = Objective(name="accuracy")


def run_all(params: dict[str, Any], member: str, message: str) -> tuple[str, Run]:
    """Run from `train` on, commit; the commit, and the run."""
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for line in stages_of(member, FOLDS):
        run_stage(line)
    return committed(message), replace(read_run(message, Path()), name=message)


def gain_of(run: Run, base: Run) -> dict[str, str]:
    """By part, the paired gain over another run."""
    folds = files.folds_of(run.parts["oof"].ids).to_numpy()
    rungs = base_rungs(paired(base, run), ACCURACY, folds)
    return {
        part: f"{rung['gain']:+.4f} [{rung['gain_low']:+.4f}, {rung['gain_high']:+.4f}]"
        for part, rung in rungs.items()
    }


def scores(run: Run) -> dict[str, float]:
    """By part, the share of labels that are right."""
    return {name: float((part.predicted == part.labels).mean()) for name, part in run.parts.items()}


def row(run: Run, base: Run | None, seconds: float) -> str:
    """A line of the table."""
    found = scores(run)
    gains = {"oof": "", "test": ""} if base is None else gain_of(run, base)
    return (
        f"| {run.name} | {found['oof']:.4f} | {gains['oof']} | {found['test']:.4f} "
        f"| {gains['test']} | {seconds:.0f} |"
    )


HEADER = (
    "| run | out-of-fold | gain over the first | test | gain over the first | seconds |\n"
    "|---|---:|---|---:|---|---:|"
)


@contextmanager
def leaking() -> Iterator[None]:
    """Every fold's student is taught by all folds' models, unchecked."""
    asked = Taught.logits

    def by_all(self: Taught, *given: Any) -> np.ndarray:
        found = []
        for fold in FOLDS:
            self._fold = fold
            found.append(asked(self, *given))
        return merge_logits(found, "mean_probability")

    with patch.object(Taught, "logits", by_all), patch.object(Taught, "_check", lambda *_: None):
        yield


def write_images(data: dict[str, Any], wanted: str, folder: Path) -> None:
    """The default's test images, or its train images but the labelled ones, as files."""
    settings = Data.model_validate(data)
    tree = open_tree([Path(settings.path)], None)
    source = load_glyphs(settings, tree, Problems(skip=False), keep=Path(".downloads"))
    folder.mkdir(parents=True)
    for position, (id, part) in enumerate(zip(source.ids, source.parts, strict=True)):
        if part == wanted and (part == "test" or position >= LABELLED):
            (folder / f"{id}.png").write_bytes(source.read(position))


def pseudo_labels() -> None:
    """The table of few labels."""
    params = default_params()
    write_images(params["data"], "train", Path("data/extra/unlabelled"))
    params["data"]["glyphs"]["images"]["train"] = LABELLED
    images = {"source": "images", "path": "data/extra/unlabelled"}
    params["data"]["extra"] = {"unlabelled": images}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for line in ("fetch", "split"):
        run_stage(line)
    print(HEADER, flush=True)
    start = time.perf_counter()
    commit, alone = run_all(params | {"epochs": ALONE}, "cnn", "a tenth of the labels alone")
    print(row(alone, None, time.perf_counter() - start), flush=True)
    first = commit
    for message in ("one round of pseudo-labels", "two rounds", "one round, leaking"):
        leaks = message.endswith("leaking")
        teacher = {"revision": first if leaks else commit, "rows": ["train", "unlabelled"]}
        settings = {"teacher": teacher, "warm_start": teacher["revision"]}
        taught = params | {"epochs": TAUGHT, "lr": RATE, "train": params["train"] | settings}
        start = time.perf_counter()
        if leaks:
            with leaking():
                _, run = run_all(taught, "cnn", message)
        else:
            commit, run = run_all(taught, "cnn", message)
        print(row(run, alone, time.perf_counter() - start), flush=True)


def applied(*options: str) -> float:
    """Images that `apply` brings to labels in a second, of the second of two runs."""
    paths = ["pictures", "--out", "applied.csv", *options]
    for _ in range(2):
        start = time.perf_counter()
        with patch.object(sys, "argv", ["apply", *paths]):
            apply.main()
    seconds = time.perf_counter() - start
    return len(list(Path("pictures").iterdir())) / seconds


def deployed() -> str:
    """How good one fold is alone, and how fast all folds and one are."""
    return f"{of_one_fold():.4f} | {applied():.0f} | {applied('--folds', '0'):.0f} |"


def student() -> None:
    """The table of a small network, alone and taught."""
    params = default_params()
    params["models"]["student"] = params["models"]["cnn"] | {"options": SMALL}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for line in ("fetch", "split"):
        run_stage(line)
    write_images(params["data"], "test", Path("pictures"))
    titles, lines = HEADER.splitlines()
    print(f"{titles} one fold's, test | images/s, all folds | one fold |", flush=True)
    print(f"{lines}---:|---:|---:|", flush=True)
    start = time.perf_counter()
    commit, default = run_all(params, "cnn", "the default")
    print(row(default, None, time.perf_counter() - start), deployed(), flush=True)
    params["members"] = ["student"]
    teacher = {"revision": commit, "rows": ["train"], "weight": 0.7, "temperature": 2.0}
    for message, settings in (("small, alone", None), ("small, a student", teacher)):
        taught = params | {"train": params["train"] | {"teacher": settings}}
        start = time.perf_counter()
        _, run = run_all(taught, "student", message)
        line = row(run, default, time.perf_counter() - start)
        print(line, deployed(), flush=True)


def main() -> None:
    titles = {"labels": "Nine tenths of the labels taken away", "student": "A student to deploy"}
    which = sys.argv[1]
    print(f"# {titles[which]}\n\n{machine()}\n")
    with tempfile.TemporaryDirectory() as temporary, cloned(Path(temporary) / "project"):
        (pseudo_labels if which == "labels" else student)()


if __name__ == "__main__":
    main()
