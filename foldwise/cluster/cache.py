"""What a node keeps of inputs, so that a second fold there moves nothing."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from foldwise.cluster.contents import PIECE, Content, put_piece

Reader = Callable[[str, str, int], bytes]
"""Of a content's path, a file in it and an offset: a piece of that file."""
KEPT = "kept"
LOCKS = "locks"


class NodeCache:
    """A folder of contents by their keys; those that were not used for longest go first."""

    def __init__(self, folder: Path, limit: float) -> None:
        """
        Args:
            folder: of this node; processes share it.
            limit: gigabytes that may lie there, beside what is in use.
        """
        self._kept, self._locks = folder / KEPT, folder / LOCKS
        self._limit = limit * 1e9
        for each in (self._kept, self._locks):
            each.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def holding(self, wanted: list[Content], read: Reader) -> Iterator[dict[str, Path]]:
        """Where contents lie, by their paths; brought if need be, and not deleted meanwhile."""
        with ExitStack() as held:
            found = {}
            for content in wanted:
                lock = held.enter_context((self._locks / content.key).open("a"))
                found[content.path] = self._hold(content, read, lock)
            self._trim()
            yield found

    def _hold(self, content: Content, read: Reader, lock: IO[str]) -> Path:
        path = self._kept / content.key
        while True:
            # Shared for as long as a job runs: who asks for more must not wait for its end.
            fcntl.flock(lock, fcntl.LOCK_SH)
            if path.exists():
                os.utime(path)
                return path
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                self._bring(content, read, path)
            # Between the two locks it may be deleted: so it is looked for again.

    def _bring(self, content: Content, read: Reader, path: Path) -> None:
        partial = path.with_name(f"{path.name}.partial")
        _delete(partial)
        partial.parent.mkdir(parents=True, exist_ok=True)
        if content.files != (("", content.size),):
            partial.mkdir()
        for name, size in content.files:
            target = partial / name if name else partial
            put_piece(target, 0, b"")
            for offset in range(0, size, PIECE):
                put_piece(target, offset, read(content.path, name, offset))
            if target.stat().st_size != size:
                raise RuntimeError(f"{content.path}/{name}: changed while it travelled")
        partial.rename(path)

    def _trim(self) -> None:
        """Delete what is not in use, oldest first, until the rest is within the limit."""
        by_age = sorted(self._kept.iterdir(), key=lambda path: path.stat().st_mtime)
        sizes = {path: _size(path) for path in by_age}
        total = sum(sizes.values())
        for path in by_age:
            if total <= self._limit:
                return
            with (self._locks / path.name.removesuffix(".partial")).open("a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                _delete(path)
                total -= sizes[path]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(each.stat().st_size for each in files if each.is_file())


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
