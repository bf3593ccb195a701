"""What a node does: one stage of the pipeline, in a folder of its own."""

import importlib.metadata
import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foldwise.cluster.cache import NodeCache, Reader
from foldwise.cluster.contents import PIECE, Content, put_piece, read_piece
from foldwise.core import files

CODE = ("foldwise", "stages")
"""Folders of this project that a node needs."""
SUFFIX, TEXT, TENSORS = ".ckpt", ".json", ".safetensors"
"""Of a checkpoint, and of what it travels as."""
CLUSTER = "FOLDWISE_CLUSTER"
"""Variable of the environment that takes the place of `compute.cluster`."""
HERE = "null"
"""Its value where a stage is to run in its own process."""
SAME = ("torch", "torchvision", "lightning", "timm", "numpy")
"""Libraries whose versions decide what training gives."""
PAUSE = 0.5
"""Seconds between two looks at what a stage has written."""
BEGUN, LINE, STATE, STATES, OUT = "begun", "line", "state", "states", "out"
END, OTHER = "end", "other"
"""Of an event: the job has a node; a line for people; a piece of a checkpoint; the names of all
that there are, once their pieces have come; a piece of an output; the exit code; versions that
differ."""
Event = tuple[Any, ...]


def versions() -> dict[str, str]:
    """Of Python, and of the libraries that decide results."""
    found = {"Python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in SAME}


def different(head: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Versions that are others here than on the head: this node's, and the head's, by name."""
    own = versions()
    return {name: (own[name], theirs) for name, theirs in head.items() if own[name] != theirs}


def other_versions(node: str, differ: Mapping[str, tuple[str, str]]) -> str:
    """The line for a node that `different` told of.

    >>> other_versions("n1", {"torch": ("1.0", "2.0")})
    'node n1 has torch 1.0 (here 2.0); install one requirements.txt on every node'
    """
    said = ", ".join(f"{name} {its} (here {own})" for name, (its, own) in differ.items())
    return f"node {node} has {said}; install one requirements.txt on every node"


@dataclass(frozen=True)
class Job:
    """A stage to run."""

    module: str
    """As `python -m` has it."""
    arguments: tuple[str, ...]
    small: Mapping[str, bytes]
    """Files that belong to this job alone, by their paths."""
    inputs: tuple[Content, ...]
    outs: tuple[str, ...]
    """Paths that it writes."""
    versions: Mapping[str, str]
    """The head's."""
    environment: Mapping[str, str] = field(default_factory=dict)
    cache_gb: float = 50.0
    state: Content | None = None
    """Checkpoints that it goes on from, as they travel."""


def cache_folder() -> Path:
    """Where a node keeps inputs."""
    default = Path.home() / ".cache" / "foldwise"
    return Path(os.environ.get("FOLDWISE_NODE_CACHE", default))


def events(job: Job, read: Reader) -> Iterator[Event]:
    """Run a job, and say what happens.

    Args:
        job: which.
        read: gives pieces of its inputs, and of its state.
    """
    yield (BEGUN,)
    differ = different(job.versions)
    if differ:
        yield OTHER, platform.node(), differ
        return
    cache = NodeCache(cache_folder(), job.cache_gb)
    with (
        tempfile.TemporaryDirectory(prefix="foldwise-") as folder,
        cache.holding(list(job.inputs), read) as found,
    ):
        place = Path(folder)
        lay_out(place, found, job.small)
        if job.state is not None:
            _restore(place, job.state, read)
        yield from _run(place, job)


def lay_out(place: Path, found: Mapping[str, Path], small: Mapping[str, bytes]) -> None:
    """Make a workspace as stages expect it.

    Args:
        place: an existing folder.
        found: where inputs lie, by their paths.
        small: more files, by their paths.
    """
    # Ray unpacked the code where its worker runs; it may be deleted when the driver ends.
    for name in CODE:
        shutil.copytree(Path.cwd() / name, place / name)
    for path, content in found.items():
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(content)
    for path, data in small.items():
        put_piece(place / path, 0, data)
    # What frozen backbones made of images is addressed by content as well.
    features = cache_folder() / "features"
    features.mkdir(parents=True, exist_ok=True)
    (place / files.FEATURES).symlink_to(features)


def _restore(place: Path, state: Content, read: Reader) -> None:
    """Write checkpoints to go on from."""
    import torch

    from foldwise.cluster.plain import unpacked

    def whole(name: str) -> bytes:
        pieces = range(0, sizes[name], PIECE)
        return b"".join(read(state.path, name, offset) for offset in pieces)

    sizes = dict(state.files)
    for name in (each.removesuffix(TEXT) for each in sizes if each.endswith(TEXT)):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(unpacked(whole(f"{name}{TEXT}"), whole(f"{name}{TENSORS}")), path)


def _run(place: Path, job: Job) -> Iterator[Event]:
    # Ray would have one thread, and a stage the number that it has everywhere. No DVC runs it here.
    own = {name: value for name, value in os.environ.items()
           if name != "OMP_NUM_THREADS" and not name.startswith("DVC_")}  # fmt: skip
    environment = own | dict(job.environment) | {CLUSTER: HERE, "PYTHONPATH": str(place)}
    lines: queue.Queue[str | None] = queue.Queue()
    with subprocess.Popen(
        [sys.executable, "-m", job.module, *job.arguments],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None

        def follow(stream: Any) -> None:
            for line in stream:
                lines.put(line.rstrip("\n"))
            lines.put(None)

        threading.Thread(target=follow, args=(process.stdout,), daemon=True).start()
        watched = _Watched(place)
        try:
            open_ = True
            while open_:
                try:
                    line = lines.get(timeout=PAUSE)
                except queue.Empty:
                    line = ""
                open_ = line is not None
                # A line says that an epoch is done: what it can be gone on from comes first.
                yield from watched.news()
                if line:
                    yield LINE, line
            code = process.wait()
        finally:
            process.kill()
    if code == 0:
        yield from _outs(place, job.outs)
    yield END, code


def _outs(place: Path, outs: tuple[str, ...]) -> Iterator[Event]:
    for out in outs:
        path = place / out
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file():
                name = file.relative_to(place).as_posix()
                for offset in range(0, file.stat().st_size or 1, PIECE):
                    yield OUT, name, offset, read_piece(file, offset)


class _Watched:
    """Checkpoints of a running stage, as soon as there are new ones."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._seen = self._look()

    def _look(self) -> dict[Path, tuple[int, int, int]]:
        found = {}
        for path in sorted(self._place.glob(f"{files.CHECKPOINTS}/*/*")):
            if path.suffix == SUFFIX:
                stat = path.stat()
                found[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        return found

    def news(self) -> Iterator[Event]:
        """What changed, all of one moment."""
        try:
            now = self._look()
            if now == self._seen:
                return
            new = [path for path, stat in now.items() if self._seen.get(path) != stat]
            content = {name: data for path in new for name, data in self._packed(path)}
            if self._look() != now:
                return
        except FileNotFoundError:
            # It has just been replaced: next time.
            return
        self._seen = now
        for name, data in content.items():
            for offset in range(0, len(data) or 1, PIECE):
                yield STATE, name, offset, data[offset : offset + PIECE]
        yield STATES, tuple(self._name(path) for path in now)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._place).as_posix()

    def _packed(self, path: Path) -> Iterator[tuple[str, bytes]]:
        # Here, as whoever predicts, or talks to nodes, has no checkpoints.
        import torch

        from foldwise.cluster.plain import packed

        text, tensors = packed(torch.load(path, map_location="cpu", weights_only=True))
        yield f"{self._name(path)}{TEXT}", text
        yield f"{self._name(path)}{TENSORS}", tensors
