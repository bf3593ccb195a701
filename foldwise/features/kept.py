"""Features of frozen backbones: computed once per image and view, kept on disk, shared by all."""

import fcntl
import hashlib
import os
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.core.damage import file_sum
from foldwise.features.extract import autocast_type, write_features
from foldwise.features.keys import key_of
from foldwise.model.classifier import Classifier
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import choose_device
from foldwise.model.saved import weights_sum
from foldwise.model.settings import Compute
from foldwise.view_names import corner_of

CODE = (
    "foldwise/core",
    "foldwise/features",
    "foldwise/images",
    "foldwise/inference/last_features.py",
    "foldwise/inference/onnx.py",
    "foldwise/inference/runtime.py",
    "foldwise/model",
    "foldwise/view_names.py",
)
"""What decides features: how a head is trained on them does not."""
INPUT = {
    "backbone",
    "options",
    "pooling",
    "views",
    "image_size",
    "shortest_edge",
    "channels",
    "normalize",
}
"""Of a model's settings those that do, beside its weights."""
LOCKS = 64


@dataclass(frozen=True)
class FeatureFolder:
    """Where features are kept, which any stage, fold, member and run may use."""

    path: Path
    sets: tuple[tuple[str, ...], ...] = ()
    """Ids of images whose features are computed together: who asks for one gets all made."""


def image_sets(folds: pd.DataFrame, ids: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """The sets in which stages and folds ask for images, each wholly or not at all by all of them.

    Args:
        folds: `id` and `fold`, -1 where no fold holds an image out.
        ids: of all images of the data set, extra data's not among them.

    Returns:
        Those that some fold holds out, those that all train on, and the rest, which is the test
        part; empty ones are left out.

    >>> image_sets(pd.DataFrame({"id": ["a", "b"], "fold": [0, -1]}), ["a", "b", "c"])
    (('a',), ('b',), ('c',))
    """
    held, always = (set(folds.loc[rows, "id"]) for rows in (folds["fold"] >= 0, folds["fold"] < 0))
    parts = (held, always, set(ids) - held - always)
    return tuple(tuple(sorted(part)) for part in parts if part)


class FrozenFeatures:
    """Features of images through some views, mapped from files."""

    def __init__(self, arrays: Sequence[Sequence[np.ndarray]], sets: Sequence[Sequence[str]]):
        """
        Args:
            arrays: of every set and view (images, [crops,] features).
            sets: the ids of every set, in order.
        """
        self._arrays = arrays
        self._places = {
            id: (number, row) for number, ids in enumerate(sets) for row, id in enumerate(ids)
        }

    def of(self, id: str, view: int) -> np.ndarray:
        """float32 ([crops,] features) of one image, through the view of that position."""
        number, row = self._places[id]
        return np.array(self._arrays[number][view][row], np.float32)

    def through(self, view: int, ids: Sequence[str]) -> np.ndarray:
        """float32 (images, [crops,] features) of some images, through one view."""
        places = np.array([self._places[id] for id in ids]).reshape(-1, 2)
        found = np.empty((len(ids), *self._arrays[0][view].shape[1:]), np.float32)
        for number in np.unique(places[:, 0]):
            own = places[:, 0] == number
            found[own] = self._arrays[number][view][places[own, 1]]
        return found


def frozen_features(
    folder: FeatureFolder,
    network: Classifier,
    images: ImageDataset,
    views: Sequence[str],
    compute: Compute,
) -> FrozenFeatures:
    """The features of images through views; what no file has yet is computed.

    The names of files say all that decides what is in them: images, view, weights, code, and what
    they were computed by. A second process waits for the first.

    Args:
        folder: where they are kept.
        network: whose backbone is frozen.
        images: cut to what the views need, neither augmented nor mixed.
        views: names.
        compute: where it runs, and how much of the disk all features may take.
    """
    wanted = set(images.ids)
    sets = [ids for ids in folder.sets if not wanted.isdisjoint(ids)]
    others = wanted.difference(*sets)
    if others:
        sets.append(tuple(sorted(others)))
    # Else what is cut into crops is one input of five crops, all of which are seen.
    cut = any(map(corner_of, views))
    backbone = [*_backbone_parts(network, images, compute), cut]
    shas = images.store.sha256()
    folder.path.mkdir(parents=True, exist_ok=True)
    found: list[list[np.ndarray]] = []
    used: list[Path] = []
    for ids in sets:
        key = key_of(CODE, *backbone, [(id, shas[id]) for id in ids])
        files = {view: folder.path / f"{key}-{_view_key(view)}.npy" for view in views}
        every = ImageDataset(images.store, ids, np.empty((len(ids), 0)), images.model)
        with _locked(folder.path, key):
            missing = {view: path for view, path in files.items() if not _features_intact(path)}
            if missing:
                _compute(missing, network, every, compute, cut)
            found.append([np.lib.format.open_memmap(path, "r") for path in files.values()])
            for path in files.values():
                os.utime(path)
        used += files.values()
    remove_oldest(folder.path, int(compute.features_gb * 1e9), used)
    return FrozenFeatures(found, sets)


def _backbone_parts(network: Classifier, images: ImageDataset, compute: Compute) -> list[Any]:
    return [
        images.model.model_dump(include=INPUT),
        weights_sum(network.backbone),
        choose_device(compute.accelerator).type,
        str(autocast_type(compute)),
        compute.engine,
    ]


def _view_key(view: str) -> str:
    return hashlib.sha256(view.encode()).hexdigest()[:8]


@contextmanager
def _locked(folder: Path, key: str, wait: bool = True) -> Iterator[None]:
    """Hold the files of a key. Raises `BlockingIOError` if another does, and not to `wait`."""
    with (folder / f"lock-{zlib.crc32(key.encode()) % LOCKS:02d}").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _compute(
    files: dict[str, Path],
    network: Classifier,
    images: ImageDataset,
    compute: Compute,
    cut: bool,
) -> None:
    partial = {view: path.with_name(f"{path.stem}.partial.npy") for view, path in files.items()}
    try:
        write_features(partial, network, images, compute, cut)
        for view, path in files.items():
            _sum_file(path).write_text(file_sum(partial[view]) + "\n", encoding="utf-8")
            partial[view].replace(path)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)


def _sum_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _features_intact(path: Path) -> bool:
    """Whether features are there and what was computed, by the sum beside them; else they go."""
    try:
        whole = _sum_file(path).read_bytes().strip() == file_sum(path).encode()
        if whole:
            np.lib.format.open_memmap(path, "r")
            return True
    except (FileNotFoundError, ValueError, EOFError):
        pass
    if path.exists():
        print(f"{path}: is damaged; computed anew", file=sys.stderr)
        path.unlink()
    return False


def remove_oldest(folder: Path, limit: int, used: Sequence[Path] = ()) -> None:
    """Remove the features whose last use is longest ago until the rest takes no more than a limit.

    A process that still reads removed features is not disturbed: its map of them lives on. What one
    computes or opens at this moment stays.

    Args:
        folder: of features; what earlier versions kept in folders of its own counts too.
        limit: in bytes.
        used: these stay, whatever they take.
    """
    kept = {}
    for path in folder.rglob("*.npy"):
        try:
            kept[path] = path.stat()
        except FileNotFoundError:  # another process was faster
            continue
    total = sum(each.st_size for each in kept.values())
    for path in sorted(set(kept) - set(used), key=lambda path: kept[path].st_mtime_ns):
        if total <= limit:
            break
        try:
            with _locked(folder, path.name.partition("-")[0], wait=False):
                _remove_kept(path, folder)
        except BlockingIOError:
            continue
        total -= kept[path].st_size


def _remove_kept(path: Path, folder: Path) -> None:
    if path.parent == folder:
        path.unlink(missing_ok=True)
        _sum_file(path).unlink(missing_ok=True)
    else:
        shutil.rmtree(path.parent, ignore_errors=True)
