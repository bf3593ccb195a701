"""What other commits of this repository hold, fetched by DVC from its cache or remote.

On a node of a cluster, which has no repository, it is what the head said and brought of them.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from foldwise.core.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo

HASH = re.compile(r"[0-9a-f]{7,40}")
BROUGHT = Path(".revisions")
"""What was brought of commits, by their hashes."""
INDEX = BROUGHT / "index.json"
"""What was said of them: `commits` and `fixed` by name, `params` by hash."""


def _said(of: str, name: str) -> Any:
    """What the head said, where there is no repository."""
    return json.loads(INDEX.read_text(encoding="utf-8"))[of][name]


@contextmanager
def opened(commit: str | None = None) -> "Iterator[Repo]":
    """The project that lies here, or as a commit has it; in a sub-folder of its repository or not.

    Raises `UserError` if git refuses to open the repository.
    """
    # Only here: they take a second to import.
    import pygit2
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            if commit is None:
                yield repo
            else:
                with repo.switch(commit):
                    yield repo
    except pygit2.GitError as error:
        raise UserError(
            f"git: {error}; `git status` says how to allow it, if you trust what is in it "
            "(git config --global --add safe.directory ...)"
        ) from None


def resolve(revision: str, where: str) -> str:
    """The full hash of a commit.

    Args:
        revision: a branch, a tag, HEAD~1, an experiment's name or (part of) a hash.
        where: it was written, for the error: a key of params.yaml, say.

    Raises:
        UserError: there is no such commit.
    """
    if INDEX.exists():
        return str(_said("commits", revision))
    from dvc.exceptions import DvcException
    from dvc.scm import NoSCMError, resolve_rev

    try:
        with opened() as repo:
            return resolve_rev(repo.scm, revision)
    except (DvcException, NoSCMError) as error:
        raise UserError(
            f"{where}: git knows no commit '{revision}' ({error}); write one that `git log` shows"
        ) from None


def is_fixed(revision: str) -> bool:
    """Whether a name keeps its meaning: a hash or a tag, not a branch or HEAD."""
    if INDEX.exists():
        return bool(_said("fixed", revision))
    with opened() as repo:
        return bool(HASH.fullmatch(revision)) or revision in repo.scm.list_tags()


def shown(revision: str) -> str:
    """A name as people are shown it: of a hash no more than tells it apart.

    >>> shown("v1.0"), shown("0123456789abcdef0123456789abcdef01234567")
    ('v1.0', '0123456789')
    """
    return revision[:10] if HASH.fullmatch(revision) else revision


def fixed_commit(revision: str, key: str) -> str:
    """The hash of a commit whose name keeps its meaning.

    Args:
        revision: as params.yaml has it.
        key: of params.yaml, for the error.

    Raises:
        UserError: there is no such commit, or the name is a branch's or HEAD, which DVC would not
            see move.
    """
    commit = resolve(revision, f"params.yaml: {key}")
    if not is_fixed(revision):
        raise UserError(
            f"params.yaml: {key}: '{revision}' names another commit once it moves on, and DVC "
            f"would not notice; write '{commit[:10]}', which it names now, or a tag"
        )
    return commit


def committed_params(commit: str = "HEAD") -> Any:
    """params.yaml as a commit holds it, the last one or another; {} if it holds none.

    Raises `UserError` if it is no YAML.
    """
    if INDEX.exists():
        return _said("params", commit)
    with opened(commit) as repo:
        try:
            with repo.dvcfs.open("params.yaml") as file:
                return yaml.safe_load(file) or {}
        except FileNotFoundError:
            return {}
        except yaml.YAMLError as error:
            line = " ".join(str(error).split())
            raise UserError(
                f"params.yaml of commit {shown(commit)}: is not valid YAML: {line}"
            ) from None


def fetch(commit: str, path: Path, target: Path) -> None:
    """Bring a file or folder of a commit here, whether git or DVC tracks it.

    Args:
        commit: its hash.
        path: from the project's root.
        target: where it is put; complete or not at all.

    Raises:
        UserError: the commit has none, or its content is in no cache or remote.
    """
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if INDEX.exists():
        brought = BROUGHT / commit / path
        if brought.is_dir():
            shutil.copytree(brought, partial)
        else:
            shutil.copy2(brought, partial)
        partial.replace(target)
        return
    try:
        with opened(commit) as repo:
            repo.dvcfs.get(path.as_posix(), str(partial.absolute()), recursive=True)
    except (OSError, DvcException, DataIndexDirError) as error:
        raise UserError(
            f"{path} of commit {commit[:10]}: cannot be had from DVC's cache or remote ({error}); "
            "`dvc push` it where it was made, or choose another revision"
        ) from None
    partial.replace(target)
