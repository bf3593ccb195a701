"""How often the interval of an out-of-fold gain holds the gain on the test part.

`python -m benchmarks.gains [SEEDS]` runs the pipeline's stages in small projects, in this process:
of every seed (20) a data set of its own, a base run, and the same with composed images beside its
own (`train.extra`), which gain about as much as a run may gain. The test part is large, so that its
gain is nearly the true one; out-of-fold gains are of a quarter as many images. It prints a table as
Markdown: of every seed both gains with their 95 % intervals, and in how many the out-of-fold
interval holds the test gain; beside it the interval that knows that the test part is a sample too.
An out-of-fold image is judged by the models of one fold, a test image by the mean of all: so the
test gain of one fold alone, the mean of all folds', is held against the interval as well.
"""

import sys
import tempfile
import time
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.in_process import default_params, of_one_fold, run_stage, stages_of
from benchmarks.machine import machine
from foldwise.core import files
from foldwise.evaluation.base import base_rungs
from foldwise.evaluation.runs import paired, read_run
from foldwise.scoring.objective import Objective

SEEDS = 20
FOLDS = [0, 1]
OWN, TEST = 600, 1200
COMPOSED = 200
"""Beside own images, in every epoch."""


@dataclass(frozen=True)
class Gain:
    """A paired gain in score, and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def params(seed: int, extra: bool) -> dict[str, Any]:
    """The default, small; of a seed."""
    made = default_params()
    made |= {"seed": seed, "epochs": 7, "folds": FOLDS}
    made["tta"]["views"] = ["identity"]
    # Small, for many seeds.
    made["models"]["cnn"]["options"] = {"widths": [8, 16, 32, 48], "pools": [0, 1]}
    made["models"]["cnn"]["image_size"] = 24
    glyphs = made["data"]["glyphs"]
    glyphs["compose"] |= {"canvas": 24, "glyphs": [1, 2], "size": [9, 13]}
    glyphs |= {"images": {"train": OWN, "test": TEST}, "seed": seed}
    twin = {"source": "glyphs", "glyphs": {"from": "digits", "compose": glyphs["compose"]}}
    made["data"]["extra"] = {"twin": twin}
    if extra:
        made["train"]["extra"] = {"twin": {"per_epoch": COMPOSED}}
    return made


def gains(seed: int) -> tuple[dict[str, Gain], float]:
    """Out-of-fold and test, of one seed; and one fold's on the test part."""
    runs, single = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for extra in (False, True):
            folder = Path(temporary) / str(extra)
            (folder / "data/incoming").mkdir(parents=True)
            with chdir(folder):
                Path("params.yaml").write_text(yaml.safe_dump(params(seed, extra)))
                for line in ("fetch", "split", *stages_of("cnn", FOLDS)[:-2]):
                    run_stage(line)
                runs.append(read_run("with" if extra else "base", Path()))
                single.append(of_one_fold())
                folds = files.folds_of(runs[-1].parts["oof"].ids).to_numpy()
    rungs = base_rungs(paired(*runs), Objective(name="accuracy"), folds)
    found = {
        part: Gain(rung["gain"], rung["gain_low"], rung["gain_high"])
        for part, rung in rungs.items()
    }
    return found, single[1] - single[0]


def joint(found: dict[str, Gain]) -> tuple[float, float]:
    """The out-of-fold interval, widened by how much the test gain itself may be off."""
    oof, test = found["oof"], found["test"]
    half = np.hypot(oof.high - oof.low, test.high - test.low) / 2
    return oof.value - half, oof.value + half


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    print(f"# Gains out-of-fold, and on the test part\n\n{machine()}\n")
    print(
        f"{count} seeds: {OWN} own images in {len(FOLDS)} folds, {TEST} test images; the base run "
        f"against one that also sees {COMPOSED} composed images in every epoch.\n"
    )
    print("| seed | out-of-fold gain | test gain | held | held, both samples | one fold's | held |")
    print("|---:|---|---|---|---|---:|---|", flush=True)
    held, start = np.zeros(3, int), time.perf_counter()
    values = []
    for seed in range(count):
        found, single = gains(seed)
        oof, test = found["oof"], found["test"]
        low, high = joint(found)
        inside = [
            oof.low <= test.value <= oof.high,
            low <= test.value <= high,
            oof.low <= single <= oof.high,
        ]
        held += inside
        values.append((oof.value, test.value, single))
        words = ["yes" if each else "no" for each in inside]
        print(
            f"| {seed} | {oof} | {test} | {words[0]} | {words[1]} | {single:+.4f} | {words[2]} |",
            flush=True,
        )
    means = np.mean(values, 0)
    print(
        f"\nThe interval held the test gain in {held[0]} of {count} seeds; with the test part's "
        f"own noise in {held[1]}; one fold's test gain in {held[2]}. Mean gains: {means[0]:+.4f} "
        f"out-of-fold, {means[1]:+.4f} test, {means[2]:+.4f} of one fold. "
        f"{time.perf_counter() - start:.0f} s."
    )


if __name__ == "__main__":
    main()
