"""How often two runs that are alike are said to differ beyond noise.

`python -m benchmarks.compare [images] [classes] [pairs]` simulates pairs of runs: images of a
common difficulty, and predictions that err around it independently, equally good on average. Their
difference on so many images is compared by what `python -m foldwise compare` uses. A 95 % interval
should leave 0 out in 5 % of pairs. It prints the share for every figure as Markdown, with the
interval that chance leaves to that share.
"""

import sys

import numpy as np
import pandas as pd
from scipy.stats import binom

from benchmarks.machine import machine
from foldwise.commands.compare import difference_table
from foldwise.core.progress import track
from foldwise.evaluation.headline import Headline, headline
from foldwise.evaluation.predictions import Part
from foldwise.scoring.bootstrap import LEVEL


def pair(rng: np.random.Generator, images: int, classes: int) -> tuple[Headline, Headline]:
    """Two runs that are alike, on new images."""
    common = rng.normal(size=(images, classes))
    labels = (common + rng.normal(size=common.shape) > 1).astype(np.int8)

    def run() -> Headline:
        logits = (common - 1 + 0.7 * rng.normal(size=common.shape)).astype(np.float32)
        ids = np.arange(images).astype(str)
        return headline(Part(ids, labels, logits, logits, (logits > 0).astype(np.int8)), False)

    return run(), run()


def main(images: int, classes: int, pairs: int) -> None:
    rng = np.random.default_rng(0)
    beyond: dict[str, list[bool]] = {}
    for _ in track(range(pairs), pairs, "pairs"):
        old, new = pair(rng, images, classes)
        figures = {name: (old.metrics[name], new.metrics[name]) for name in new.metrics}
        for metric in ("ap", "f1"):
            figures |= {
                f"{metric} of class {index}": (
                    old.classes[metric].of(index),
                    new.classes[metric].of(index),
                )
                for index in range(classes)
            }
        table = difference_table(figures)
        said = table["verdict"].isin(["better", "worse"])
        for name, each in zip(table["name"], said, strict=True):
            beyond.setdefault(name.partition(" of ")[0], []).append(bool(each))
    print(f"{pairs} pairs of alike runs, {images} images, {classes} classes. {machine()}\n")
    print("| figure | beyond noise | of | share | chance leaves |\n|---|--:|--:|--:|--:|")
    for name, flags in beyond.items():
        low, high = binom.interval(0.95, len(flags), 1 - LEVEL)
        share = pd.Series(flags).mean()
        print(
            f"| {name} | {sum(flags)} | {len(flags)} | {share:.1%} | "
            f"{low / len(flags):.1%} to {high / len(flags):.1%} |"
        )


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    defaults = [1000, 10, 200]
    main(*(given + defaults[len(given) :]))
