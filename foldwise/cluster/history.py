"""What a node is told and brought of other commits: it has no repository."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldwise import revisions
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.training.settings import Recipe


@dataclass(frozen=True)
class History:
    """Of the commits that a recipe names."""

    index: bytes | None
    """As `revisions.INDEX` has it; None: it names none."""
    paths: tuple[str, ...]
    """Folders that were brought here, for a node to have too."""


def history_of(recipe: Recipe, fold: int) -> History:
    """Resolve and bring what a member's training asks of other commits.

    Raises `UserError` as training itself would.
    """
    names = [recipe.train.warm_start]
    if recipe.train.teacher is not None:
        names.append(recipe.train.teacher.revision)
    named = [each for each in names if each is not None]
    if not named:
        return History(None, ())
    # Only here: they import torch, which nobody else on the head needs.
    from foldwise.training.teacher import Taught, teaching_commit
    from foldwise.training.warm_start import starting_commit

    wanted: list[tuple[str, Path]] = []
    start, teacher = starting_commit(recipe), teaching_commit(recipe)
    if start is not None:
        wanted.append((start, files.MODELS / recipe.member / str(fold)))
    commits = []
    if teacher is not None:
        taught = Taught(teacher, fold, [], "")
        commits, named = list(taught.commits), [*named, *taught.ensemble.include]
        wanted += taught.models()
    paths = tuple(brought(commit, path) for commit, path in dict.fromkeys(wanted))
    return History(index(named, ["HEAD", *commits]), paths)


def index(named: Sequence[str], commits: Sequence[str]) -> bytes:
    """What a node is told of commits, as `revisions.INDEX` has it.

    Args:
        named: names that it asks for.
        commits: whose params.yaml it asks for.
    """
    said: dict[str, Any] = {
        "commits": {name: revisions.resolve(name, "params.yaml") for name in named},
        "fixed": {name: revisions.is_fixed(name) for name in named},
        "params": {each: revisions.committed_params(each) for each in commits},
    }
    return json.dumps(said).encode()


def brought(commit: str, path: Path) -> str:
    """A path of a commit, brought here for a node to have too; raises as `revisions.fetch`."""
    target = revisions.BROUGHT / commit / path
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            revisions.fetch(commit, path, target)
        except OSError as error:
            raise UserError(f"{target}: cannot be written ({error.strerror})") from None
    return target.as_posix()
