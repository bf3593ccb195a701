"""Members of other commits, which join the ensemble as they were predicted there."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from foldwise import revisions
from foldwise.core import files
from foldwise.core.errors import UserError

KEY = "ensemble.include"

Arrays = dict[str, dict[int, dict[str, np.ndarray]]]
"""By member's name and fold, what `predict` wrote."""


def included_members(named: Sequence[str], folds: pd.DataFrame, classes: Sequence[str]) -> Arrays:
    """Predictions of all members of other commits, each called `<revision>/<member>`.

    Args:
        named: commits, by hashes or tags.
        folds: `id` and `fold` of this data set.
        classes: of this data set, in order.

    Raises:
        UserError: a commit is named twice, cannot be had, or has other classes or folds.
    """
    commits = [revisions.fixed_commit(revision, KEY) for revision in named]
    if len(set(commits)) < len(commits):
        raise UserError(f"params.yaml: {KEY}: names one commit twice; leave one out")
    return {
        f"{revision}/{member}": arrays
        for revision in named
        for member, arrays in included_arrays(revision, folds, classes).items()
    }


def included_arrays(revision: str, folds: pd.DataFrame, classes: Sequence[str]) -> Arrays:
    """Every member's predictions of one commit.

    Args:
        revision: hash or tag.
        folds: `id` and `fold` of this data set.
        classes: of this data set, in order.

    Raises:
        UserError: the commit cannot be had, or its classes or folds are others.
    """
    commit = revisions.fixed_commit(revision, KEY)
    where = f"params.yaml: {KEY}: {revision}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def fetched(path: Path) -> Path:
            target = folder / path.name
            revisions.fetch(commit, path, target)
            return target

        dataset = files.read_json(fetched(files.DATASET), "fetch")
        if dataset["classes"] != list(classes):
            raise UserError(f"{where}: has other classes; leave it out, or predict the same ones")
        theirs = files.read_folds(fetched(files.FOLDS)).set_index("id")["fold"]
        ours = folds.set_index("id")["fold"]
        if not theirs.sort_index().equals(ours.sort_index()):
            raise UserError(
                f"{where}: its folds are others, so what it has never seen is not what is held out "
                "here; split as it does, or leave it out"
            )
        params: Any = yaml.safe_load(fetched(Path("params.yaml")).read_text(encoding="utf-8"))
        predictions = fetched(files.PREDICTIONS)
        return {
            member: {
                fold: files.read_arrays(predictions / member / f"{fold}.npz", "predict")
                for fold in params["folds"]
            }
            for member in params["members"]
        }
