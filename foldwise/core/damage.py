"""Files of ours that are not what was written: cut off, emptied, a bit flipped.

Whatever a library says of one becomes one line that names the file and the remedy. What still
reads as if nothing were wrong is told by dvc.lock, which has the MD5 sum of every output.
"""

import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from foldwise.core.errors import UserError

LOCK = Path("dvc.lock")
# All that readers of JSON, CSV, Parquet, NumPy and Arrow raise for content; pandas' and Arrow's own
# errors are ValueErrors and OSErrors, pydantic's too.
UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    RecursionError,
    MemoryError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)


def damaged(path: Path, reason: str, stage: str) -> UserError:
    """The line for a file that `stage` wrote and that is no longer what it wrote."""
    again = f"`dvc repro --force --single-item {stage}`"
    return UserError(f"{path}: is damaged ({reason}); {_from_cache(path)}{again} brings it back")


def _from_cache(path: Path) -> str:
    """The remedy for what DVC's cache has; what git has, DVC does not bring back."""
    in_git = path.parent.name == "data" and (path.suffix == ".json" or path.name == "extra.csv")
    if in_git or {"plots", "metrics"} & set(path.parts):
        return ""
    return f"`dvc checkout --force {path}` or "


class LockedStage(BaseModel):
    """Of one stage, what it put out."""

    outs: list[dict[str, Any]] = []


class LockFile(BaseModel):
    """What is read of dvc.lock."""

    stages: dict[str, LockedStage]


@contextmanager
def reading(path: Path, stage: str) -> Iterator[None]:
    """What a library raises for a file's content becomes the one line that names the remedy.

    Args:
        path: of the file.
        stage: that writes it.

    Raises:
        UserError: it cannot be read as what it should be. What the disk refuses passes through.
    """
    try:
        yield
    except UNREADABLE as error:
        raise damaged(path, _told(error), stage) from None
    except OSError as error:
        # Arrow raises it without a number for content that it cannot make sense of.
        if error.errno is not None:
            raise
        raise damaged(path, _told(error), stage) from None


def _told(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    what = f"no {lines[0]}" if isinstance(error, KeyError) and lines else (lines or [""])[0]
    return what[:120] or type(error).__name__


def file_sum(path: Path, algorithm: str = "sha256") -> str:
    """The sum of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def recorded_sums(lock: Path = LOCK) -> dict[str, tuple[str, str]]:
    """Of every file that some stage put out: the stage, and the MD5 sum that dvc.lock has of it.

    Empty where there is no dvc.lock that can be read: DVC itself says so.
    """
    return {
        out["path"]: (stage, out.get("md5", ""))
        for stage, each in _lock_stages(lock).items()
        for out in each.outs
    }


def _lock_stages(lock: Path) -> dict[str, LockedStage]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(lock.read_text(encoding="utf-8"), loader)
        return LockFile.model_validate(content).stages
    except (OSError, yaml.YAMLError, ValueError):
        return {}


def refuse_changed(paths: Iterable[Path], root: Path = Path()) -> None:
    """Refuse files whose content is not what dvc.lock has on record.

    A command asks for all that it reads; a stage, while DVC runs it, for each file as it reads it:
    by then dvc.lock has what the stages before it put out. Of a stage that somebody runs by hand,
    nothing is asked: the files before it may be made by hand as well.

    Args:
        paths: from the repository's root; of folders nothing is checked here, nor of files that no
            stage puts out.
        root: of the repository.

    Raises:
        UserError: names the first that differs.
    """
    for line in _changed(paths, root):
        raise UserError(line)


def _changed(paths: Iterable[Path], root: Path) -> Iterator[str]:
    known = recorded_sums(root / LOCK)
    for path in paths:
        stage, wanted = known.get(path.as_posix(), ("", ""))
        if not re.fullmatch("[0-9a-f]{32}", wanted) or not (root / path).is_file():
            continue
        if file_sum(root / path, "md5") != wanted:
            yield (
                f"{path}: is not what dvc.lock has on record: damaged, changed by hand, or of "
                f"another commit; {_from_cache(path)}`dvc repro {stage}` brings back what belongs "
                "here"
            )


def run_by_dvc() -> bool:
    """Whether DVC runs this process as a stage."""
    return "DVC_STAGE" in os.environ
