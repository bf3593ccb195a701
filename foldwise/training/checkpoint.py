"""What survives a kill: checkpoints, checked before they are gone on from."""

import fcntl
import os
import pickle
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from foldwise.training.distributed import is_main_process

LAST = "last.ckpt"
SUFFIX = ".ckpt"
SOUP = "soup-"
"""How names of checkpoints begin that hold weights alone: no training goes on from them."""
NEEDED = {"epoch", "state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers"}
# What zipfile and torch raise for files that were cut, changed, or hold something else.
READING = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    EOFError,
    TypeError,
)


@contextmanager
def checkpoint_folder(folder: Path) -> Iterator[Path]:
    """Hold a checkpoint folder for one process; delete it when training ended well.

    A second process waits: when DVC is killed outright, the training that it started notices
    only at its next batch (see `StopWhenOrphaned`). Processes that help this one hold nothing.
    """
    if not is_main_process():
        yield folder
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", errors="replace") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"waiting for process {lock.read()}, which trains this fold", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def load_checkpoint(path: Path, map_location: Any = "cpu") -> Any:
    """What a checkpoint holds: tensors and plain values alone, so that nothing in it is run."""
    return torch.load(path, map_location=map_location, weights_only=True)


def drop_damaged(folder: Path, title: str) -> None:
    """Delete checkpoints that cannot be gone on from, and say so; training then starts over.

    Args:
        folder: of one run's checkpoints. The best epoch's is as much needed as the last one's.
        title: of the training, for people.
    """
    found = sorted(folder.glob(f"*{SUFFIX}"))
    damaged = [path for path in found if not _is_intact(path)]
    if not damaged and (folder / LAST).exists():
        damaged = [path for path in _named_by(folder / LAST) if path not in found]
    if damaged:
        print(f"{title}: {damaged[0]} is damaged; training starts over", file=sys.stderr)
        for path in found:
            path.unlink()


def _is_intact(path: Path) -> bool:
    """Whether a checkpoint holds what was written: torch itself compares no sums."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        needed = {"epoch", "state_dict"} if path.name.startswith(SOUP) else NEEDED
        return {*load_checkpoint(path)} >= needed
    except READING:
        return False


def _named_by(last: Path) -> list[Path]:
    """The checkpoints that the last one cannot do without, wherever they lay then.

    Of those that are kept as the best, the worst is one more than needed.
    """
    states = [
        each for each in load_checkpoint(last)["callbacks"].values() if isinstance(each, dict)
    ]
    named = [
        path
        for each in states
        for path in (each.get("best_model_path"), *each.get("best_k_models", ()))
        if path and (path == each["best_model_path"] or path != each.get("kth_best_model_path"))
    ]
    names = dict.fromkeys(Path(each).name for each in named)
    return [last.with_name(name) for name in names if name != LAST]


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside the one that it replaces, and reads nothing but plain values.

    Lightning's own way goes through the system's temporary folder: from another file system it is
    copied, and a kill leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        temporary = Path(f"{path}.partial")
        temporary.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                # Else the name could reach the disk before the content.
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:
            temporary.unlink()
            raise _with_name(error, temporary) from error
        temporary.replace(path)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        content: dict[str, Any] = load_checkpoint(path, map_location)
        states = content["callbacks"]
        here = os.path.realpath(Path(path).parent)
        content["callbacks"] = {name: _moved(each, here) for name, each in states.items()}
        return content


def _moved(state: Any, here: str) -> Any:
    """A callback's state whose paths lead to this folder, wherever it lay when they were written.

    Lightning would forget which epoch was the best one.
    """
    if not isinstance(state, dict) or not state.get("dirpath"):
        return state

    def path(value: Any) -> Any:
        inside = isinstance(value, str) and Path(value).is_relative_to(state["dirpath"])
        return str(here / Path(value).relative_to(state["dirpath"])) if inside else value

    moved = {name: path(value) for name, value in state.items()}
    if "best_k_models" in state:
        moved["best_k_models"] = {path(name): x for name, x in state["best_k_models"].items()}
    return moved


def _with_name(error: Exception, path: Path) -> Exception:
    """The operating system's error that torch may hide behind its own, naming the file."""
    for each in (error, error.__context__):
        if isinstance(each, OSError) and each.errno is not None:
            return OSError(each.errno, os.strerror(each.errno), str(path))
    return error
