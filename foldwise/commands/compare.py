"""Which of two runs is better, and whether the difference is beyond noise.

`python -m foldwise compare main` compares main's run with the workspace's, `python -m foldwise
compare main better` two commits'. Both runs' predictions come from DVC's cache or remote; nothing
is run.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from foldwise import revisions
from foldwise.core.damage import refuse_changed
from foldwise.core.progress import track
from foldwise.core.settings import read_file
from foldwise.evaluation.headline import Drawn, Headline, headline
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.runs import NEEDED, Run, fetch_run, paired, read_run
from foldwise.report.learned import ALONE, learned_from
from foldwise.scoring.bootstrap import LEVEL

VERDICTS = {"helps": "better", "hurts": "worse", "within noise": "within noise"}
COLUMNS = ["name", "old", "new", "difference", "low", "high", "verdict"]
WORKSPACE = "workspace"
TITLES = {"oof": "Out-of-fold", "test": "Test part"}


def difference_table(pairs: dict[str, tuple[Drawn, Drawn]]) -> pd.DataFrame:
    """How figures of two runs differ.

    Args:
        pairs: by name, one figure of the old run and of the new one, of the same draws.

    Returns:
        `name`, `old`, `new`, `difference` with `low` and `high` (paired 95 % interval), and
        `verdict`: better, worse or within noise. NaN and None where a run has no such figure.
    """
    rows = []
    for name, (old, new) in pairs.items():
        row: dict[str, object] = {"name": name, "old": float(old.value), "new": float(new.value)}
        if not np.isnan(old.value) and not np.isnan(new.value):
            gain = (new - old).interval()
            row |= {"difference": gain.value, "low": gain.low, "high": gain.high}
            row["verdict"] = VERDICTS[gain.verdict]
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def as_text(table: pd.DataFrame, what: str, old: str, new: str, markdown: bool) -> str:
    """A table of differences for people to read.

    Args:
        table: as `difference_table` makes it.
        what: `name` is of.
        old: name of the old run.
        new: name of the new run.
        markdown: GitHub's, instead of plain text.
    """
    rows = []
    for name, *values, difference, low, high, verdict in table.itertuples(index=False):
        # In Markdown a bar would end the cell.
        shown = " ".join(name.split()).replace("|", "\\|") if markdown else name
        row = [shown, *("-" if np.isnan(each) else f"{each:.4f}" for each in values)]
        if isinstance(verdict, str):
            row += [f"{difference:+.4f}", f"[{low:+.4f}, {high:+.4f}]", verdict]
        rows.append(row)
    headers = [what, old, new, "difference", f"{LEVEL:.0%} interval", "verdict"]
    align = ("left", "right", "right", "right", "left", "left")
    form = "github" if markdown else "simple"
    return tabulate(rows, headers, form, colalign=align, disable_numparse=True)


def beyond_noise(table: pd.DataFrame) -> str:
    """How many differences are beyond noise, and how many would be if there were none."""
    known = table["verdict"].notna().sum()
    found = table["verdict"].isin(["better", "worse"]).sum()
    chance = known * (1 - LEVEL)
    return f"{found} of {known} beyond noise; of runs that are alike, about {chance:.1f} would be"


def headline_text(figures: Sequence[Headline], old: str, new: str, markdown: bool) -> str:
    """The table of headline figures of the old run and the new one."""
    first, second = (each.metrics for each in figures)
    table = difference_table({metric: (first[metric], second[metric]) for metric in second})
    return as_text(table, "metric", old, new, markdown)


def sections(
    old: Run, new: Run, pairs: dict[str, tuple[Part, Part]], every_class: bool, markdown: bool
) -> list[str]:
    """What is printed: for every part the headline, then AP and F1 of every class.

    Where labels differ, so that the new run may have been trained on better ones and be judged by
    better ones too, the headline follows of the images whose labels are the same in both.
    """
    found = []
    heading = "### " if markdown else ""
    for name, both in track(pairs.items(), len(pairs), "bootstrap of differences"):
        theirs, ours = both
        labels = ours.labels
        figures = [headline(replace(part, labels=labels), new.single) for part in (theirs, ours)]
        found.append(f"{heading}{TITLES[name]}: {len(labels):,} images")
        other = theirs.labels != labels
        touched = other.any(1)
        if touched.any():
            found.append(
                f"{touched.sum():,} images have other labels in {new.name} "
                f"({other.sum():,} labels); those judge both runs."
            )
        found.append(headline_text(figures, old.name, new.name, markdown))
        if touched.any() and not touched.all():
            found.append(f"The {(~touched).sum():,} images with the same labels in both alone:")
            same = [headline(part.of(~touched), new.single) for part in both]
            found.append(headline_text(same, old.name, new.name, markdown))
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


def committed_run(revision: str, folder: Path) -> tuple[Run, Any]:
    """The run of a commit, its files brought to an empty folder, and its params.yaml's content."""
    commit = revisions.resolve(revision, "compare")
    return fetch_run(commit, revision, folder), revisions.committed_params(commit)


def learned_lines(runs: Sequence[tuple[str, Any]]) -> list[str]:
    """What each run learned from, a line per run; none if that was own rows alone for all of them.

    Args:
        runs: name, and what its params.yaml holds.

    >>> learned_lines([("main", {}), ("better", {"train": {"extra": {"twin": {"weight": 0.5}}}})])
    ['main: own rows alone', 'better: also twin (weight 0.5)']
    """
    said = [(name, learned_from(params)) for name, params in runs]
    if all(text == ALONE for _, text in said):
        return []
    return [f"{name}: {text}" for name, text in said]


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
        old, params = committed_run(arguments.old, Path(temporary) / "old")
        if arguments.new is None:
            # Perhaps they are still of another branch's run.
            refuse_changed(NEEDED)
            new, new_params = read_run(WORKSPACE, Path()), read_file()
        else:
            new, new_params = committed_run(arguments.new, Path(temporary) / "new")
    pairs = paired(old, new)
    learned = learned_lines([(old.name, params), (new.name, new_params)])
    if learned:
        print("".join(f"{'- ' if arguments.markdown else ''}{each}\n" for each in learned))
    print("\n\n".join(sections(old, new, pairs, arguments.classes, arguments.markdown)))
    print(
        "\nIntervals are of other images of the same kind (1,000 paired bootstrap draws). What "
        "another seed would give is not in them."
    )
