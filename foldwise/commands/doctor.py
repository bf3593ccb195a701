"""What a killed run left broken, put right without losing a finished stage.

`python -m foldwise doctor` looks at what DVC rewrites in place: `.dvc/tmp/rwlock`, and dvc.lock. A
kill in that moment leaves an empty file or half of one, and DVC stops at it ever after. Each thing
that is put right is a line. `make repro` and `folds-parallel` do this by themselves.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import yaml

from foldwise.core import files
from foldwise.core.damage import LOCK
from foldwise.core.errors import UserError
from foldwise.core.receipts import COPY, FOLDER, only_dvc

RWLOCK = Path(".dvc/tmp/rwlock")
LINKING = 60 * 10**9
"""Nanoseconds that DVC may take to put a stage's files into its cache, and link them from there."""
BROKEN = FOLDER / "dvc.lock.broken"
"""Where what is left of a dvc.lock goes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quiet", action="store_true", help="no line where nothing is wrong")
    quiet = parser.parse_args().quiet
    found = mend()
    if not found and not quiet:
        print("nothing is broken", file=sys.stderr)


def mend() -> list[str]:
    """Put right what a kill left broken; a line for each thing, printed as it is done.

    Raises:
        UserError: there is no DVC project here, or dvc.lock is broken and there is no copy of it.
    """
    if not Path(".dvc").is_dir():
        raise UserError(".dvc: no such folder; run from the repository's root")
    told: list[str] = []

    def tell(lines: Iterator[str]) -> int:
        before = len(told)
        for line in lines:
            print(line, file=sys.stderr, flush=True)
            told.append(line)
        return len(told) - before

    tell(mend_rwlock())
    # When DVC last wrote dvc.lock, or when the copy was taken that is in its place now.
    known = LOCK
    if tell(mend_lock()):
        known = COPY
    if LOCK.exists() or known == COPY:
        tell(record_finished(known.stat().st_mtime_ns if known.exists() else 0))
    return told


def mend_rwlock(path: Path = RWLOCK) -> Iterator[str]:
    """Drop who is no more from the list of who reads and writes what, or the list if it is none."""
    with only_dvc(path.with_name("rwlock.lock")) as alone:
        if not alone or not path.exists():
            return
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            readers, writers = dict(content.get("read", {})), dict(content.get("write", {}))
            kept = {
                "write": {file: each for file, each in writers.items() if _is_alive(each)},
                "read": {file: list(filter(_is_alive, each)) for file, each in readers.items()},
            }
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            path.unlink()
            yield f"{path}: was cut off; removed, as no process needs it"
            return
        kept["read"] = {file: each for file, each in kept["read"].items() if each}
        if kept != {"write": writers, "read": readers}:
            files.write_json(path, {name: each for name, each in kept.items() if each})
            yield f"{path}: named processes that are no more; they are taken off"


def running_dvc(path: Path = RWLOCK) -> set[int]:
    """Process numbers of those that read or write what the list names, after `mend_rwlock`."""
    with only_dvc(path.with_name("rwlock.lock")):
        if not path.exists():
            return set()
        content = json.loads(path.read_text(encoding="utf-8"))
    owners = [[each] for each in content.get("write", {}).values()]
    owners += content.get("read", {}).values()
    return {each["pid"] for each in chain(*owners) if _is_alive(each)}


def _is_alive(owner: dict[str, Any]) -> bool:
    """Whether a DVC of this number runs: the number alone may be another program's by now."""
    try:
        words = psutil.Process(owner["pid"]).cmdline()
        return any("dvc" in Path(each).name or "foldwise" in each for each in words)
    except psutil.AccessDenied:
        # Another user's, of which nothing can be said but that it runs.
        return True
    except psutil.Error:
        return False


def mend_lock(path: Path = LOCK) -> Iterator[str]:
    """Put the copy in the place of a dvc.lock that was cut off."""
    with only_dvc() as alone:
        if not alone or not path.exists():
            return
        content = path.read_bytes()
        copy = COPY.read_bytes() if COPY.exists() else b""
        if is_whole_lock(content) and not _is_start(content, copy):
            return
        if not is_whole_lock(copy):
            # Of a first run there is nothing to come back to but what git has, or nothing.
            copy = b""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.replace(BROKEN)
        if copy:
            with files.replacing(path) as temporary:
                temporary.write_bytes(copy)
            yield (
                f"{path}: was cut off; it is again what it was before the last stage ended (what "
                f"was left is now {BROKEN})"
            )
        else:
            yield (
                f"{path}: was cut off, and there is no copy; it is now {BROKEN}, and stages whose "
                f"results DVC does not know run again (`git checkout {path}` brings back the "
                "committed one)"
            )


def is_whole_lock(content: bytes) -> bool:
    """Whether this is a dvc.lock that DVC can read, with everything that it notes of a stage."""
    if b"\n<<<<<<<" in b"\n" + content:
        # A merge is not finished: it is for its author to finish.
        return True
    if not content.endswith(b"\n"):
        return False
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        stages = yaml.load(content, loader)["stages"]
        noted = [
            each
            for stage in stages.values()
            for each in (*stage.get("deps", ()), *stage.get("outs", ()))
        ]
        # Of files elsewhere there are other sums.
        sums = [each["md5"].removesuffix(".dir") for each in noted if "md5" in each]
        return (
            all("cmd" in stage for stage in stages.values())
            and all(each["path"] and len(each) > 1 for each in noted)
            and all(re.fullmatch("[0-9a-f]{32}", each) for each in sums)
        )
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError):
        return False


def _is_start(content: bytes, whole: bytes) -> bool:
    """Whether it breaks off within a stage of `whole`; after a stage, it may be meant so."""
    rest = whole[len(content) :]
    return whole.startswith(content) and rest != b"" and rest.startswith(b"    ")


def record_finished(known: int) -> Iterator[str]:
    """Have DVC take note of stages that ended well after it last did.

    A stage's receipt says when it began. If nothing that it reads has been changed since, by the
    times that the file system keeps, what it wrote belongs to what is there.

    Args:
        known: when DVC last took note of a stage, in ns since the epoch.
    """
    pending = sorted(
        (path for path in FOLDER.glob("*.began") if path.stat().st_mtime_ns > known),
        key=lambda path: path.stat().st_mtime_ns,
    )
    if not pending:
        return
    # Only here: it takes a second to import.
    from dvc.repo import Repo

    with Repo() as repo:
        receipts = {path.name.removesuffix(".began"): path for path in pending}
        stages = {each.addressing: each for each in repo.index.stages}
        # All are looked at first: taking note of one may link its files anew, which is a change.
        proven = [
            name
            for name, path in receipts.items()
            if name in stages and _proves(path, stages[name])
        ]
        for name in proven:
            repo.commit(target=name, force=True)
            yield f"{name}: had ended well; dvc.lock takes note of it"


def _proves(path: Path, stage: Any) -> bool:
    """Whether all that the stage reads is older than its beginning, and all it writes is there."""
    began = int(path.read_text(encoding="utf-8"))
    ended = path.stat().st_mtime_ns
    read = [Path(each.fs_path) for each in stage.deps] + [Path("dvc.yaml")]
    written = [Path(each.fs_path) for each in stage.outs]
    return (
        all(each.exists() for each in (*read, *written))
        and all(each.lstat().st_ctime_ns < began for each in _all_below(read))
        and all(each.stat().st_mtime_ns < ended + LINKING for each in _all_below(written))
    )


def _all_below(paths: list[Path]) -> Iterator[Path]:
    for top in paths:
        for each in (top, *(top.rglob("*") if top.is_dir() else ())):
            if "__pycache__" not in each.parts:
                yield each
