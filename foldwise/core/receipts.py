"""What a stage leaves behind for the case that DVC is killed before it has taken note of it.

DVC rewrites dvc.lock in place after every stage: killed in that moment, it leaves an empty file, or
half of one. So every stage that DVC runs first copies the file, and at its end leaves a receipt;
`python -m foldwise doctor` puts both to use.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foldwise.core.damage import LOCK, run_by_dvc
from foldwise.core.files import replacing

FOLDER = Path(".dvc/tmp/foldwise")
COPY = FOLDER / "dvc.lock"
"""Of dvc.lock, as it was when the last stage began."""
REPO_LOCK = Path(".dvc/tmp/lock")
"""That DVC holds whenever it writes, but not while a stage runs."""
PATIENCE = 5.0
"""Seconds to wait for another DVC."""


@contextmanager
def receipt() -> Iterator[None]:
    """Around a stage: leaves a receipt if it ends well, where it is DVC that runs it."""
    # Processes that help to train are given a number by the first, which has none or 0.
    if not run_by_dvc() or not FOLDER.parent.is_dir() or os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    path = receipt_of(os.environ["DVC_STAGE"])
    path.unlink(missing_ok=True)
    _copy_lock()
    with replacing(path) as temporary:
        # Its time of change, by the same clock as that of all files, is when the stage began.
        temporary.touch()
        began = temporary.stat().st_ctime_ns
        yield
        temporary.write_text(f"{began}\n", encoding="utf-8")


def receipt_of(stage: str) -> Path:
    """Where the receipt of a stage lies: a file that holds when it began (ns since the epoch)."""
    # A name with a slash, as of a stage of another dvc.yaml, is none of a file.
    return FOLDER / f"{stage.replace('/', '_')}.began"


def _copy_lock() -> None:
    with only_dvc() as alone:
        if alone and LOCK.exists():
            content = LOCK.read_bytes()
            with replacing(COPY) as temporary:
                temporary.write_bytes(content)


@contextmanager
def only_dvc(path: Path = REPO_LOCK) -> Iterator[bool]:
    """Hold one of DVC's own locks, so that no DVC writes meanwhile; False if it cannot be had."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    yield False
                    return
                time.sleep(0.05)
        yield True
