"""Images read at random from the store, beside `cv2.imread`: `python -m benchmarks.read [images]`.

Prints, as Markdown, images per second of both (decoding included) for 0, 1 and 2 workers; each pair
is run in turn five times, and the medians are given.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset

from benchmarks.fetch import composed
from benchmarks.machine import machine
from foldwise.images.decode import inspect
from foldwise.images.store import ImageStore, ImageWriter

ROUNDS = 5


class Files(Dataset[int]):
    """Decodes files; gives only their size, so that nothing is timed but reading."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> int:
        pixels = cv2.imread(self.paths[position], cv2.IMREAD_COLOR_RGB)
        assert pixels is not None
        return pixels.size


class Stored(Dataset[int]):
    """The same from the store."""

    def __init__(self, store: ImageStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, position: int) -> int:
        return self.store.pixels(self.store.ids[position], 3).size


def rate(dataset: Dataset[int], order: list[int], workers: int) -> float:
    """Images per second, the start of workers left out."""
    loader = DataLoader(dataset, batch_size=32, sampler=order, num_workers=workers)
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    read = sum(len(batch) for batch in batches)
    return read / (time.perf_counter() - start)


def main(images: int, folder: Path) -> None:
    source = composed(images)
    paths = []
    with ImageWriter(folder / "store") as writer:
        for position in range(images):
            data = source.read(position)
            writer.add(source.ids[position], data, inspect(data, 10**9))
            path = folder / f"{position:05d}.png"
            path.write_bytes(data)
            paths.append(str(path))
    order = np.random.default_rng(0).permutation(images).tolist()
    datasets = {"imread": Files(paths), "store": Stored(ImageStore(folder / "store"))}
    print(f"{images:,} PNG images of 256x256, read in random order. {machine()}\n")
    print("| workers | `cv2.imread`, images/s | store, images/s | ratio |\n|--:|--:|--:|--:|")
    for workers in (0, 1, 2):
        rounds = [
            {name: rate(each, order, workers) for name, each in datasets.items()}
            for _ in range(ROUNDS)
        ]
        imread, store = (statistics.median(each[name] for each in rounds) for name in datasets)
        ratio = statistics.median(each["store"] / each["imread"] for each in rounds)
        print(f"| {workers} | {imread:,.0f} | {store:,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000, Path(temporary))
