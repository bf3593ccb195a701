"""What one decoding instead of two saves: `python -m benchmarks.fetch_formats`.

Composes pictures like photographs, of each format and size, and takes them into a store as `fetch`
does: as it is, and with every file judged by Pillow and then decoded by OpenCV, in turns with
`cp -r` of the same files. Prints the best of three of each as Markdown.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import PIL.Image

from benchmarks.machine import machine
from benchmarks.zoo import saved
from foldwise.images.decoding import Decoding
from foldwise.images.store import ImageWriter
from foldwise.sources.problems import Problems
from foldwise.sources.source import Source, copy_images

SETS = {"64 to 128": (2000, 64, 129), "500": (300, 500, 501)}
"""Images of each format, and from and up to what side."""
FORMATS = ("PNG", "JPEG", "WEBP")
ROUNDS = 3


def picture(number: int, smallest: int, largest: int) -> PIL.Image.Image:
    """A square of soft colours with some noise, of a side below `largest`."""
    rng = np.random.default_rng(number)
    side = int(rng.integers(smallest, largest))
    soft = rng.normal(0, 1, (side // 8, side // 8, 3)).astype(np.float32)
    found = cv2.resize(soft, (side, side), interpolation=cv2.INTER_CUBIC) * 40 + 128
    noisy = found + rng.normal(0, 6, found.shape)
    return PIL.Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def composed(format: str, smallest: int, largest: int, number: int) -> bytes:
    return saved(picture(number, smallest, largest), format)


def taken_over(files: list[Path], folder: Path) -> None:
    count = len(files)
    source = Source(
        name="photos",
        task="multilabel",
        classes=["a"],
        ids=[path.name for path in files],
        parts=["train"] * count,
        labels=np.ones((count, 1), np.int8),
        read=lambda position: files[position].read_bytes(),
        label=str,
    )
    with ImageWriter(folder) as writer:
        assert len(copy_images(source, 10**8, writer, Problems(), Decoding())) == count


def by_two_decodings(files: list[Path], folder: Path) -> None:
    with patch("foldwise.images.decode.is_whole", lambda _: False):
        taken_over(files, folder)


def copied(files: list[Path], folder: Path) -> None:
    subprocess.run(["cp", "-r", str(files[0].parent), str(folder)], check=True)


def main(folder: Path) -> None:
    print(f"{machine()}\n")
    print(
        "| images | MB | `cp -r`, s | two decodings, s | of `cp -r` | one, s | of `cp -r` | saved |"
    )
    print("|---|" + "--:|" * 7)
    ways: list[Callable[[list[Path], Path], None]] = [copied, by_two_decodings, taken_over]
    for size, (count, smallest, largest) in SETS.items():
        for format in FORMATS:
            (folder / "files").mkdir()
            files = [folder / "files" / f"{number:05d}" for number in range(count)]
            with ThreadPoolExecutor() as pool:
                made = pool.map(partial(composed, format, smallest, largest), range(count))
                for path, content in zip(files, made, strict=True):
                    path.write_bytes(content)
            best = dict.fromkeys(ways, float("inf"))
            for way in ways * ROUNDS:
                start = time.perf_counter()
                way(files, folder / "there")
                best[way] = min(best[way], time.perf_counter() - start)
                shutil.rmtree(folder / "there")
            copying, two, one = best.values()
            megabytes = sum(path.stat().st_size for path in files) / 1e6
            print(
                f"| {count:,} {format} of {size} px | {megabytes:,.0f} | {copying:.2f} | {two:.2f} "
                f"| {two / copying:.1f} | {one:.2f} | {one / copying:.1f} | {1 - one / two:.0%} |",
                flush=True,
            )
            shutil.rmtree(folder / "files")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
