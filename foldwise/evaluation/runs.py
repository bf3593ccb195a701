"""Whole runs, the workspace's or another commit's, and their images side by side."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldwise import revisions
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.evaluation.predictions import Part, read_parts

NEEDED = (files.DATASET, files.LABELS, files.ENSEMBLE, files.OUT_OF_FOLD, files.DECISION)
"""Files that say what a run predicts."""


@dataclass(frozen=True)
class Run:
    """What a commit, or the workspace, predicts."""

    name: str
    classes: list[str]
    single: bool
    parts: dict[str, Part]


def read_run(name: str, root: Path) -> Run:
    """The run whose data/ lies below `root`."""
    dataset = files.read_dataset(root)
    ensemble = files.read_arrays(root / files.ENSEMBLE, "ensemble")
    parts = read_parts(dataset, ensemble, root)
    return Run(name, dataset["classes"], dataset["task"] == "multiclass", parts)


def fetch_run(commit: str, name: str, folder: Path) -> Run:
    """The run of a commit.

    Args:
        commit: its hash.
        name: what errors call the run.
        folder: an empty one, for its files.

    Raises:
        UserError: they cannot be had, or are damaged.
    """
    for path in NEEDED:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        revisions.fetch(commit, path, folder / path)
    return read_run(name, folder)


def paired(old: Run, new: Run) -> dict[str, tuple[Part, Part]]:
    """Both runs' parts that have labels, images in the same order, with the new run's labels.

    Raises:
        UserError: images or classes differ.
    """
    if old.single != new.single:
        raise UserError(
            f"{old.name} and {new.name}: images have one class in one of them and several in the "
            "other; only runs of the same task can be compared"
        )
    if old.classes != new.classes:
        both = sorted(set(old.classes) ^ set(new.classes)) or ["their order"]
        raise UserError(
            f"{old.name} and {new.name}: their classes differ ({', '.join(both[:3])}); only runs "
            "with the same classes can be compared"
        )
    found = {}
    for name in new.parts.keys() | old.parts.keys():
        # A part without labels in one of them has none to be judged by.
        if name not in old.parts or name not in new.parts:
            continue
        ours = new.parts[name]
        rows = pd.Index(old.parts[name].ids).get_indexer(ours.ids)
        if (rows < 0).any() or len(rows) != len(old.parts[name].ids):
            lacking = set(ours.ids.tolist()) ^ set(old.parts[name].ids.tolist())
            raise UserError(
                f"{old.name} and {new.name}: {len(lacking)} images are in the {name} part of only "
                f"one, as '{min(lacking)}'; only runs on the same images can be compared"
            )
        theirs = old.parts[name].of(rows)
        found[name] = theirs, ours
    return {name: found[name] for name in ("oof", "test") if name in found}
