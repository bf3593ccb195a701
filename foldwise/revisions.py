"""What other commits of this repository hold, fetched by DVC from its cache or remote."""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from foldwise.core.errors import UserError

HASH = re.compile(r"[0-9a-f]{7,40}")


def resolve(revision: str, where: str) -> str:
    """The full hash of a commit.

    Args:
        revision: a branch, a tag, HEAD~1, an experiment's name or (part of) a hash.
        where: it was written, for the error: a key of params.yaml, say.

    Raises:
        UserError: there is no such commit.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import NoSCMError, resolve_rev

    try:
        with Repo() as repo:
            return resolve_rev(repo.scm, revision)
    except (DvcException, NoSCMError) as error:
        raise UserError(
            f"{where}: git knows no commit '{revision}' ({error}); write one that `git log` shows"
        ) from None


def is_fixed(revision: str) -> bool:
    """Whether a name keeps its meaning: a hash or a tag, not a branch or HEAD."""
    from dvc.repo import Repo

    with Repo() as repo:
        return bool(HASH.fullmatch(revision)) or revision in repo.scm.list_tags()


def committed_params() -> Any:
    """params.yaml as the last commit holds it."""
    from dvc.api import DVCFileSystem

    with DVCFileSystem(rev="HEAD").open("params.yaml") as file:
        return yaml.safe_load(file)


def fetch(commit: str, path: Path, target: Path) -> None:
    """Bring a file or folder of a commit here, whether git or DVC tracks it.

    Args:
        commit: its hash.
        path: from the repository's root.
        target: where it is put; complete or not at all.

    Raises:
        UserError: the commit has none, or its content is in no cache or remote.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        DVCFileSystem(rev=commit).get(path.as_posix(), str(partial), recursive=True)
    except (OSError, DvcException, DataIndexDirError) as error:
        raise UserError(
            f"{path} of commit {commit[:10]}: cannot be had from DVC's cache or remote ({error}); "
            "`dvc push` it where it was made, or choose another revision"
        ) from None
    partial.replace(target)
