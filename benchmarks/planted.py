"""A run of the pipeline on labels of which some were made wrong."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

SHARE, SEED = 0.03, 7
PLANTED = Path("planted.csv")
"""Which labels are wrong, in the folder of the run."""


def plant(labels: pd.DataFrame, classes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels with a share of the train part's known ones flipped; which: `id`, `class`, `right`."""
    values = labels[classes].to_numpy(np.float64, copy=True)
    known = (labels["part"] == "train").to_numpy()[:, None] & (values >= 0)
    pairs = np.argwhere(known)
    drawn = np.random.default_rng(SEED).permutation(len(pairs))[: round(SHARE * len(pairs))]
    rows, columns = pairs[np.sort(drawn)].T
    planted = pd.DataFrame(
        {
            "id": labels["id"].to_numpy()[rows],
            "class": np.array(classes)[columns],
            "right": values[rows, columns].astype(int),
        }
    )
    values[rows, columns] = 1 - values[rows, columns]
    wrong = labels.copy()
    for index, name in enumerate(classes):
        wrong[name] = pd.Series(values[:, index], labels.index).astype(labels[name].dtype)
    return wrong, planted


def reproduce(folder: Path) -> None:
    """Clone HEAD to a folder and run the pipeline there on labels with planted errors."""
    root = Path(__file__).parents[1]
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(places)}

    def command(*words: str) -> None:
        subprocess.run(words, cwd=folder, env=environment, check=True)

    subprocess.run(["git", "clone", "--quiet", root, folder], check=True)
    command("dvc", "repro", "fetch")
    labels = pd.read_parquet(folder / "data/labels.parquet")
    classes = pd.read_json(folder / "data/dataset.json", typ="series")["classes"]
    wrong, planted = plant(labels, classes)
    wrong.to_parquet(folder / "data/labels.parquet", index=False)
    planted.to_csv(folder / PLANTED, index=False)
    # From here on the changed labels are what the stage `fetch` has made.
    command("dvc", "commit", "--force", "fetch")
    command("dvc", "repro")
