"""Training that goes on from another commit's weights."""

import shutil
import sys
from pathlib import Path
from typing import Any

from foldwise import revisions
from foldwise.core.errors import UserError
from foldwise.model.saved import read_model, read_weights
from foldwise.training.settings import Recipe

KEY = "train.warm_start"


def starting_commit(recipe: Recipe) -> str | None:
    """The commit whose weights the member starts from, or None; raises as `named_commit`."""
    revision = recipe.train.warm_start
    return None if revision is None else named_commit(revision, recipe, "warm_start")


def named_commit(revision: str, recipe: Recipe, key: str) -> str:
    """The commit that a member's recipe names.

    A name that moves, such as HEAD or a branch, is for experiments: once params.yaml is committed,
    nobody could tell from it which commit was meant.

    Args:
        revision: its name.
        recipe: of the member.
        key: of the section `train` under which it stands, with dots.

    Raises:
        UserError: there is no such commit, or the committed params.yaml has a moving name.
    """
    commit = revisions.resolve(revision, f"params.yaml: train.{key}")
    if not revisions.is_fixed(revision):
        content = revisions.committed_params() or {}
        own = (content.get("models") or {}).get(recipe.member) or {}
        for section in (content.get("train") or {}, own.get("train") or {}):
            found: Any = section
            for part in key.split("."):
                found = (found or {}).get(part)
            if found == revision:
                raise UserError(
                    f"params.yaml: train.{key}: '{revision}' is committed, and names another "
                    f"commit by now; write the hash that `{key.partition('.')[0]}` of the "
                    "member's model.json has"
                )
    return commit


def starting_member(
    commit: str, folder: Path, target: Path, classes: list[str], unseen: str
) -> Path:
    """Fetch the same member and fold of a commit.

    Args:
        commit: its hash.
        folder: of the member and fold, in any commit.
        target: where it is put, if it is not there.
        classes: of this data set.
        unseen: digest of the images that this fold does not train on.

    Returns:
        `target`.

    Raises:
        UserError: it cannot be had, its classes are others, or it was trained on images that are
            held out or tested here.
    """
    where = f"{folder} of commit {commit[:10]}"
    fetched_member(commit, folder, target, KEY)
    content = read_model(target)
    if content["classes"] != classes:
        raise UserError(f"{where}: has other classes; drop {KEY}, or name another revision")
    if content.get("unseen") != unseen:
        raise UserError(
            f"{where}: its folds differ: it was trained on other images than this fold leaves out, "
            f"so some of them may not be new to it; drop {KEY}, or split as that commit does"
        )
    return target


def fetched_member(commit: str, folder: Path, target: Path, key: str) -> None:
    """Fetch a trained member of a commit, if it is not there, whole.

    Args:
        commit: its hash.
        folder: of the member and fold, in any commit.
        target: where it is put.
        key: of params.yaml that names the commit.

    Raises:
        UserError: it cannot be had.
    """
    if target.exists() and not _start_intact(target):
        print(f"{target}: is damaged; fetched anew", file=sys.stderr)
        shutil.rmtree(target)
    if not target.exists():
        revisions.fetch(commit, folder, target)
        if not _start_intact(target):
            raise UserError(
                f"{folder} of commit {commit[:10]}: is damaged in DVC's cache or remote; `dvc "
                f"push` it from where it is whole, or name another revision in {key}"
            )


def _start_intact(folder: Path) -> bool:
    """Whether a folder holds a trained member that can be read."""
    try:
        read_weights(folder)
    except UserError:
        return False
    return True
