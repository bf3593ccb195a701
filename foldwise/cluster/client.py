"""The head's side of a job that a node does: its inputs go out, its lines and bytes come back."""

import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from foldwise.cluster.contents import Content, put_piece
from foldwise.cluster.job import (
    END,
    LINE,
    OTHER,
    OUT,
    STATE,
    STATES,
    TENSORS,
    TEXT,
    Event,
    Job,
    other_versions,
)
from foldwise.cluster.tasks import PATIENCE, InputSource, Needs, beside_driver, started
from foldwise.core import files
from foldwise.core.errors import Terminated, UserError

TRIES = 3
"""Nodes that may be lost, one after another, without an epoch done in between."""
LOOK = 1.0
"""Seconds between two looks whether anybody still wants the job."""
KILLED = (-9, 137)
"""Exit codes of a process that was ended without its doing: for want of memory, most often."""


class _LostError(Exception):
    """The node that had the job is gone, or its process was killed."""


def to_stderr(line: str) -> None:
    """Say a line to people."""
    print(line, file=sys.stderr, flush=True)


class Supplies:
    """What gives nodes their inputs; started once for all jobs of this process."""

    def __init__(self) -> None:
        self._source: Any = None
        self._lock = threading.Lock()

    def of(self, paths: tuple[str, ...]) -> Any:
        """The actor, which gives these paths too."""
        import ray

        with self._lock:
            if self._source is not None:
                try:
                    ray.get(self._source.offer.remote(paths))
                except ray.exceptions.RayActorError:
                    self._source = None
            if self._source is None:
                self._source = beside_driver(InputSource, str(Path.cwd()))
                ray.get(self._source.offer.remote(paths))
            return self._source


class _Interrupts:
    """Ctrl-C, kept in mind: what a library swallows of it is raised at the next event."""

    def __init__(self, gone: Callable[[], bool]) -> None:
        self._came = False
        self._gone = gone

    def __enter__(self) -> "_Interrupts":
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        self._came = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise what came and was lost; SIGTERM's end likewise."""
        if self._came or self._gone():
            raise KeyboardInterrupt
        if Terminated.came:
            raise Terminated


class Remote:
    """One job, on one node after another until it ends."""

    def __init__(
        self,
        job: Job,
        title: str,
        needs: Needs,
        state: Path,
        supplies: Supplies | None = None,
        say: Callable[[str], None] = to_stderr,
        gone: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            job: what is run.
            title: for people.
            needs: what it takes of the cluster.
            state: folder of checkpoints as they travel, which another run goes on from.
            supplies: of inputs; None: its own.
            say: takes lines for people.
            gone: whether whoever wanted it does so no more, which ends it like Ctrl-C.
        """
        self._job, self._title, self._needs, self._state = job, title, needs, state
        self._supplies, self._tell, self._gone = supplies or Supplies(), say, gone

    def run(self) -> None:
        """Run it, and put its outputs where they belong.

        Raises:
            UserError: it failed, having said so; its node differs; nodes are lost again and again.
        """
        lost = 0
        while True:
            before = self._told()
            try:
                return self._once()
            except _LostError as error:
                lost = 1 if self._told() != before else lost + 1
                if lost >= TRIES:
                    raise UserError(
                        f"{self._title}: {lost} nodes were lost at it ({error}); see `ray status` "
                        "and the nodes' memory, and run again to go on"
                    ) from None
                self._say(f"{error}; it goes on elsewhere")

    def _told(self) -> list[tuple[str, int]]:
        return [(each.name, each.stat().st_mtime_ns) for each in _files_below(self._state)]

    def _going_on(self) -> Job:
        """The job, from what came of it before."""
        kept = [(each.relative_to(self._state).as_posix(), each.stat().st_size)
                for each in _files_below(self._state)]  # fmt: skip
        state = Content(self._state.as_posix(), "", tuple(kept)) if kept else None
        return replace(self._job, state=state)

    def _once(self) -> None:
        import ray

        lost = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.RayActorError,
            ray.exceptions.RaySystemError,
        )
        paths = (*(each.path for each in self._job.inputs), self._state.as_posix())
        source = self._supplies.of(paths)
        with (
            tempfile.TemporaryDirectory(prefix=".remote-", dir=".") as temporary,
            started(self._going_on(), source, self._needs, self._say) as tasks,
            _Interrupts(self._gone) as interrupts,
        ):
            try:
                for event in self._received(ray, interrupts, *tasks):
                    if self._take(Path(temporary), *event):
                        return
            except lost as error:
                # What a task met with comes with the task's whole traceback, in colours.
                met = getattr(error, "cause", error)
                first = str(met).strip().split("\n", 1)[0]
                raise _LostError(f"its node was lost ({first[:100]})") from None
            raise _LostError("its node said nothing of an end")

    def _received(
        self, ray: Any, interrupts: _Interrupts, stream: Any, others: list[Any]
    ) -> Iterator[Event]:
        """Events of the first task; whatever becomes of others is raised."""
        silent, told = 0.0, False
        while True:
            ready, _ = ray.wait([stream, *others], timeout=LOOK, fetch_local=False)
            interrupts.check()
            if not ready:
                silent += LOOK
                if silent >= PATIENCE and not told:
                    self._say(self._needs.wait(ray.nodes()))
                    told = True
                continue
            for other in set(ready) & set(others):
                others.remove(other)
                self._helped(*ray.get(other))
            if stream in ready:
                try:
                    reference = next(stream)
                except StopIteration:
                    return
                yield ray.get(reference)

    def _helped(self, event: Event, last: str) -> None:
        """Take note of the end of another node's process."""
        if event[0] == OTHER:
            self._refuse(*event[1:])
        elif event[1] in KILLED:
            raise _LostError("one of its processes was killed, for want of memory perhaps")
        elif event[1]:
            raise UserError(f"{self._title}: failed on another node: {last}")

    def _say(self, line: str) -> None:
        self._tell(f"{self._title}: {line}")

    def _take(self, temporary: Path, kind: str, *what: Any) -> bool:
        """Take note of an event; whether it was the last one."""
        if kind == LINE:
            self._tell(what[0])
        elif kind in (STATE, OUT):
            name, offset, data = what
            put_piece(_contained(temporary / kind, name), offset, data)
        elif kind == STATES:
            self._keep(temporary / STATE, what[0])
        elif kind == OTHER:
            self._refuse(*what)
        elif kind == END:
            self._end(what[0], temporary / OUT)
            return True
        return False

    def _keep(self, come: Path, names: tuple[str, ...]) -> None:
        """Put a state in the place of the one before; what did not change is not sent again."""
        with files.replacing(self._state) as whole:
            whole.mkdir(parents=True)
            for name in names:
                for part in (f"{name}{TEXT}", f"{name}{TENSORS}"):
                    new = _contained(come, part)
                    kept = new if new.exists() else _contained(self._state, part)
                    target = _contained(whole, part)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(kept, target)

    def _refuse(self, node: str, differ: Mapping[str, tuple[str, str]]) -> NoReturn:
        raise UserError(f"{self._title}: {other_versions(node, differ)}")

    def _end(self, code: int, outs: Path) -> None:
        if code in KILLED:
            raise _LostError("its process was killed, for want of memory perhaps")
        if code:
            # It has said why, in its own line.
            raise UserError()
        for name in self._job.outs:
            target = Path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(target) as place:
                _contained(outs, name).rename(place)
        shutil.rmtree(self._state, ignore_errors=True)


def _files_below(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file())


def _contained(folder: Path, name: str) -> Path:
    """A path in a folder, by a name that came from a node."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise RuntimeError(f"a node names a file '{name}'")
    return folder / path
