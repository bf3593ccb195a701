"""The head's side of a job that a node does: its inputs go out, its lines and bytes come back."""

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from foldwise.cluster.connection import imported
from foldwise.cluster.contents import Content, put_piece, read_piece
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
    events,
)
from foldwise.core import files
from foldwise.core.errors import Terminated, UserError

TRIES = 3
"""Nodes that may be lost, one after another, without an epoch done in between."""
PATIENCE = 15.0
"""Seconds without a word before people are told that a job waits."""
KILLED = 9
"""Signal that ends a process without its doing: for want of memory, most often."""


class Source:
    """Gives pieces of a job's inputs, from the head's disk; runs on the head."""

    def __init__(self, root: str, paths: tuple[str, ...]) -> None:
        """
        Args:
            root: of the project.
            paths: that may be asked for.
        """
        self._root, self._paths = Path(root), paths

    def read(self, path: str, name: str, offset: int) -> bytes:
        """A piece of a file, as `Reader` has it."""
        if path not in self._paths or ".." in Path(name).parts or Path(name).is_absolute():
            raise PermissionError(f"{path}/{name}: is no input of this job")
        whole = self._root / path
        return read_piece(whole / name if name else whole, offset)


def serve(job: Job, source: Any) -> Iterator[Event]:
    """A job's events, on a node."""
    ray = imported()

    def read(path: str, name: str, offset: int) -> bytes:
        data: bytes = ray.get(source.read.remote(path, name, offset))
        return data

    yield from events(job, read)


class _LostError(Exception):
    """The node that had the job is gone, or its process was killed."""


class Remote:
    """One job, on one node after another until it ends."""

    def __init__(self, job: Job, title: str, cpus: float, gpus: float, state: Path) -> None:
        """
        Args:
            job: what is run.
            title: for people.
            cpus: of a node that the job takes.
            gpus: likewise; may be a part of one.
            state: folder of checkpoints as they travel, which another run goes on from.
        """
        self._job, self._title = job, title
        self._cpus, self._gpus = cpus, gpus
        self._state = state

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
                print(f"{self._title}: {error}; it goes on elsewhere", file=sys.stderr, flush=True)

    def _told(self) -> list[tuple[str, int]]:
        return [(each.name, each.stat().st_mtime_ns) for each in _files(self._state)]

    def _submit(self) -> Any:
        ray = imported()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        kept = [(each.relative_to(self._state).as_posix(), each.stat().st_size)
                for each in _files(self._state)]  # fmt: skip
        state = Content(self._state.as_posix(), "", tuple(kept)) if kept else None
        paths = (*(each.path for each in self._job.inputs), self._state.as_posix())
        actor = ray.remote(Source).options(num_cpus=0, scheduling_strategy=here)
        self._source = actor.remote(str(Path.cwd()), paths)
        task = ray.remote(serve).options(
            num_returns="streaming",
            max_retries=0,
            num_cpus=self._cpus,
            num_gpus=self._gpus,
            # The driver is no slower than a stage, and memory is not to fill up.
            _generator_backpressure_num_objects=8,
        )
        return task.remote(replace(self._job, state=state), self._source)

    def _once(self) -> None:
        ray = imported()
        lost = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.RayActorError,
            ray.exceptions.RaySystemError,
        )
        stream = self._submit()
        with tempfile.TemporaryDirectory(prefix=".remote-", dir=".") as temporary:
            try:
                for event in self._received(ray, stream):
                    if self._take(Path(temporary), *event):
                        return
            except lost as error:
                first = str(error).strip().split("\n", 1)[0]
                raise _LostError(
                    f"its node was lost ({type(error).__name__}: {first[:100]})"
                ) from None
            except (KeyboardInterrupt, Terminated):
                ray.cancel(stream, force=False)
                raise
            raise _LostError("its node said nothing of an end")

    def _received(self, ray: Any, stream: Any) -> Iterator[Event]:
        told = False
        while True:
            ready, _ = ray.wait([stream], timeout=PATIENCE, fetch_local=False)
            if not ready:
                if not told and not self._fits(ray):
                    print(
                        f"{self._title}: waits for a node with {self._cpus:g} free CPUs and "
                        f"{self._gpus:g} GPUs; the cluster has none by now",
                        file=sys.stderr,
                        flush=True,
                    )
                    told = True
                continue
            try:
                reference = next(stream)
            except StopIteration:
                return
            yield ray.get(reference)

    def _fits(self, ray: Any) -> bool:
        """Whether some node has at all what the job needs."""
        nodes = [each["Resources"] for each in ray.nodes() if each["Alive"]]
        return any(
            each.get("CPU", 0) >= self._cpus and each.get("GPU", 0) >= self._gpus for each in nodes
        )

    def _take(self, temporary: Path, kind: str, *what: Any) -> bool:
        """Take note of an event; whether it was the last one."""
        if kind == LINE:
            print(what[0], file=sys.stderr, flush=True)
        elif kind in (STATE, OUT):
            name, offset, data = what
            put_piece(_inside(temporary / kind, name), offset, data)
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
                    new = _inside(come, part)
                    kept = new if new.exists() else _inside(self._state, part)
                    target = _inside(whole, part)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(kept, target)

    def _refuse(self, node: str, differ: Mapping[str, tuple[str, str]]) -> NoReturn:
        said = ", ".join(f"{name} {its} (here {own})" for name, (its, own) in differ.items())
        raise UserError(
            f"{self._title}: node {node} has {said}; install one requirements.txt on "
            f"{platform.node()} and on every node"
        )

    def _end(self, code: int, outs: Path) -> None:
        if code in (-KILLED, 128 + KILLED):
            raise _LostError("its process was killed, for want of memory perhaps")
        if code:
            # It has said why, in its own line.
            raise UserError()
        for name in self._job.outs:
            target = Path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(target) as place:
                _inside(outs, name).rename(place)
        shutil.rmtree(self._state, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file())


def _inside(folder: Path, name: str) -> Path:
    """A path in a folder, by a name that came from a node."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise RuntimeError(f"a node names a file '{name}'")
    return folder / path
