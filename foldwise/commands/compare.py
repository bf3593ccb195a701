"""Which of two runs is better, and whether the difference is beyond noise.

`python -m foldwise compare main` compares main's run with the workspace's, `python -m foldwise compare
main better` two commits'. Both runs' predictions come from DVC's cache or remote; nothing is run.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise import revisions
from foldwise.commands.compared import as_text, beyond_noise, difference_table
from foldwise.core import files
from foldwise.core.errors import UserError, run
from foldwise.core.progress import track
from foldwise.evaluation.headline import headline
from foldwise.evaluation.part import Part
from foldwise.evaluation.predictions import read_parts

WORKSPACE = "workspace"
TITLES = {"oof": "Out-of-fold", "test": "Test part"}
NEEDED = (files.DATASET, files.LABELS, files.ENSEMBLE, files.OUT_OF_FOLD, files.DECISION)


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


def fetch_run(revision: str, folder: Path) -> Run:
    """The run of a commit, its files brought to an empty folder."""
    commit = revisions.resolve(revision, "compare")
    for path in NEEDED:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        revisions.fetch(commit, path, folder / path)
    return read_run(revision, folder)


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


def sections(
    old: Run, new: Run, pairs: dict[str, tuple[Part, Part]], every_class: bool, markdown: bool
) -> list[str]:
    """What is printed: for every part the headline, then AP and F1 of every class."""
    found = []
    heading = "### " if markdown else ""
    for name, both in track(pairs.items(), len(pairs), "bootstrap of differences"):
        theirs, ours = both
        labels = ours.labels
        figures = [headline(replace(part, labels=labels), new.single) for part in (theirs, ours)]
        first, second = (each.metrics for each in figures)
        table = difference_table({metric: (first[metric], second[metric]) for metric in second})
        found.append(f"{heading}{TITLES[name]}: {len(labels):,} images")
        if not np.array_equal(theirs.labels, labels):
            images = int((theirs.labels != labels).any(1).sum())
            found.append(f"{images} images have other labels in {new.name}; those judge both runs.")
        found.append(as_text(table, "metric", old.name, new.name, markdown))
        for metric, title in (("ap", "average precision"), ("f1", "F1")):
            one, other = (each.classes[metric] for each in figures)
            table = difference_table(
                {each: (one.of(i), other.of(i)) for i, each in enumerate(new.classes)}
            )
            found.append(f"{title} per class: {beyond_noise(table)}")
            if not every_class:
                table = table[table["verdict"].isin(["better", "worse"])]
            if len(table):
                found.append(as_text(table, "class", old.name, new.name, markdown))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", help="a branch, a tag, HEAD~1, an experiment's name or a hash")
    parser.add_argument("new", nargs="?", help="likewise; left out: what the workspace holds")
    parser.add_argument(
        "--classes", action="store_true", help="all classes, not only those beyond noise"
    )
    parser.add_argument("--markdown", action="store_true", help="tables for a pull request")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        old = fetch_run(arguments.old, Path(temporary) / "old")
        if arguments.new is None:
            new = read_run(WORKSPACE, Path())
        else:
            new = fetch_run(arguments.new, Path(temporary) / "new")
    pairs = paired(old, new)
    print("\n\n".join(sections(old, new, pairs, arguments.classes, arguments.markdown)))
    print(
        "\nIntervals are of other images of the same kind (1,000 paired bootstrap draws). What "
        "another seed would give is not in them."
    )


if __name__ == "__main__":
    run(main)
