"""How good submissions are, where the truth of the test part is known.

`python -m benchmarks.twin TRUTH NAME=SUBMISSION ...` compares CSV files of one form: a column of
ids, then one column of 0 and 1 per class. It prints a table as Markdown: element-wise accuracy, its
95 % interval over images, and the paired gain over the first; and what answering 0 would score.
"""

import sys

import numpy as np
import pandas as pd

from foldwise.scoring.bootstrap import BootstrapScores
from foldwise.scoring.objective import Objective


def read(path: str) -> pd.DataFrame:
    """Labels by image, in order of the ids."""
    return pd.read_csv(path, index_col=0).sort_index()


def main() -> None:
    truth = read(sys.argv[1])
    named = dict(argument.split("=", 1) for argument in sys.argv[2:])
    found = {name: read(path).loc[truth.index, truth.columns] for name, path in named.items()}
    labels = truth.to_numpy(np.int8)
    nothing = np.zeros_like(labels)
    sets = [each.to_numpy(np.int8) for each in found.values()]
    scores = BootstrapScores(labels, [*sets, nothing], Objective(name="accuracy"))
    print(f"{len(labels)} images, {labels.shape[1]} classes.\n")
    print("| run | accuracy | 95 % interval | gain over the first |\n|---|---:|---|---|")
    for number, name in enumerate([*found, "0 everywhere"]):
        weights = np.eye(len(sets) + 1)[number]
        own = scores.interval(weights)
        gain = scores.interval(weights - np.eye(len(sets) + 1)[0])
        paired = f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]" if number else ""
        print(f"| {name} | {own.value:.4f} | [{own.low:.4f}, {own.high:.4f}] | {paired} |")


if __name__ == "__main__":
    main()
