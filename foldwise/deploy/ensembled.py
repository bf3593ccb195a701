"""The finished ensemble, read from what the pipeline wrote."""

from pathlib import Path
from typing import Any

from foldwise import revisions
from foldwise.core import files
from foldwise.core.errors import UserError


def read_ensemble() -> dict[str, Any]:
    """`folds`, `merge` (of views, folds and members) and `members` (their `views` and `weight`)."""
    return files.read_json(files.MERGING, "ensemble")


def fold_folders(member: str, folds: list[int], temporary: Path) -> list[Path]:
    """Where the trained networks of a member lie, one per fold.

    Args:
        member: its name; `<revision>/<name>` for one of another commit, which DVC brings.
        folds: their numbers.
        temporary: an existing folder for what is brought.

    Raises:
        UserError: another commit's models cannot be had.
    """
    revision, _, name = member.rpartition("/")
    folder = files.MODELS / name
    if revision:
        commit = revisions.resolve(revision, f"{files.MERGING}: {member}")
        folder = temporary / member
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            revisions.fetch(commit, files.MODELS / name, folder)
    missing = [fold for fold in folds if not (folder / str(fold)).is_dir()]
    if missing:
        raise UserError(f"{folder / str(missing[0])}: no such folder; run `dvc repro train`")
    return [folder / str(fold) for fold in folds]
