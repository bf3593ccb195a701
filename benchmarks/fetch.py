"""What many images cost: `python -m benchmarks.fetch [images] [folder]`.

Composes images of 256x256 in the competition's layout (50,000 unless told otherwise: about 3 GB,
and four times that in copies; in a temporary folder unless one is named). Prints, as Markdown, how
fast `fetch` is beside `cp -r` and `dvc add` of the same files, what `dvc repro` takes with nothing
to do, and the peak memory of `fetch` and of a training epoch, for these images and for a tenth.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.machine import machine
from foldwise.core.progress import track
from foldwise.sources.dacon import ANSWERS, SAMPLE, TEST, TRAIN
from foldwise.sources.glyphs.source import load_glyphs
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree

ROOT = Path(__file__).parents[1]
TEST_IMAGES = 100


@cache
def composed(images: int) -> Source:
    described = {"from": "fonts", "preset": "dirty_mnist"}
    parts = {"images": {"train": images, "test": TEST_IMAGES}}
    data = {"source": "glyphs", "path": ".", "extra_path": "extra", "glyphs": described | parts}
    return load_glyphs(Data.model_validate(data), Tree(".", {}), Problems(), keep=Path())


def write_image(images: int, folder: Path, position: int) -> None:
    part = TRAIN if position < images else TEST
    (folder / part / f"{position:05d}.png").write_bytes(composed(images).read(position))


def compose(images: int, folder: Path) -> None:
    """The competition's layout, of so many train images, as folders."""
    source = composed(images)
    for part in (TRAIN, TEST):
        (folder / part).mkdir(parents=True)
    count = len(source.ids)
    with ProcessPoolExecutor() as pool:
        done = pool.map(
            write_image, [images] * count, [folder] * count, range(count), chunksize=100
        )
        for _ in track(done, count, "compose"):
            pass
    table = pd.DataFrame(source.labels, columns=source.classes)
    table.insert(0, "index", range(count))
    table[:images].to_csv(folder / ANSWERS, index=False)
    table[images:].assign(**dict.fromkeys(source.classes, 0)).to_csv(folder / SAMPLE, index=False)


def pack(folder: Path, packed: Path, images: int) -> None:
    """The same as the competition's zip files, of the first `images` train images."""
    packed.mkdir()
    for part, count in ((TRAIN, images), (TEST, TEST_IMAGES)):
        with zipfile.ZipFile(packed / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((folder / part).iterdir())[:count]:
                archive.write(path, path.name)
    pd.read_csv(folder / ANSWERS)[:images].to_csv(packed / ANSWERS, index=False)
    shutil.copy(folder / SAMPLE, packed / SAMPLE)


def measured(command: list[str], where: Path) -> tuple[float, float]:
    """Seconds and peak memory (MB) of a command; it must succeed."""
    start = time.perf_counter()
    with (where / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, cwd=where, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed:\n{(where / 'log.txt').read_text()[-2000:]}")
    return time.perf_counter() - start, usage.ru_maxrss / 1000


def project(path: Path, data: Path) -> Path:
    """A clone of the pipeline that reads `data` and trains as little as can be."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(path)], check=True)
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {
        "epochs": 1,
        "folds": [0],
        "data": {"source": "dacon", "path": str(data), "extra_path": "data/extra"},
        "split": {"method": "holdout", "fraction": 0.1},
        "tta": {"views": ["identity"], "merge": "mean_probability"},
    }
    params["models"]["cnn"] |= {"options": {"widths": [4, 8], "pools": [0]}, "image_size": 32}
    (path / "params.yaml").write_text(yaml.safe_dump(params))
    return path


STAGE = [sys.executable, "-m"]
TRAINING = ["stages.train", "--member", "cnn", "--fold", "0"]


def peaks(where: Path) -> tuple[float, float, float]:
    """Seconds of `fetch`, and the peak memory (MB) of `fetch` and of a training epoch."""
    seconds, fetching = measured([*STAGE, "stages.fetch"], where)
    measured([*STAGE, "stages.split"], where)
    _, training = measured([*STAGE, *TRAINING], where)
    return seconds, fetching, training


def nothing_to_do(where: Path) -> float:
    """Seconds of a `dvc repro` that finds all up to date; the best of three."""
    measured(["dvc", "repro"], where)
    return min(measured(["dvc", "repro"], where)[0] for _ in range(3))


def main(images: int, folder: Path) -> None:
    files = folder / "files"
    compose(images, files)
    pack(files, folder / "zip", images)
    pack(files, folder / "tenth", images // 10)
    size = sum(path.stat().st_size for path in (files / TRAIN).iterdir()) / 1e6
    copying, _ = measured(["cp", "-r", str(files / TRAIN), str(folder / "copy")], folder)
    repository = folder / "repository"
    shutil.copytree(folder / "copy", repository / TRAIN)
    shutil.rmtree(folder / "copy")
    measured(["git", "init", "-q"], repository)
    measured(["dvc", "init", "-q"], repository)
    adding, _ = measured(["dvc", "add", "-q", TRAIN], repository)
    idle_files = min(measured(["dvc", "status", "-q"], repository)[0] for _ in range(3))
    shutil.rmtree(repository)
    from_files = measured([*STAGE, "stages.fetch"], project(folder / "a", files))[0]
    shutil.rmtree(folder / "a")
    few = peaks(project(folder / "b", folder / "tenth"))
    shutil.rmtree(folder / "b")
    many = peaks(project(folder / "c", folder / "zip"))
    idle = nothing_to_do(folder / "c")

    print(f"{images:,} images of 256x256, {size:,.0f} MB as PNG. {machine()}\n")
    print("| | seconds | images/s | of `cp -r` |\n|---|--:|--:|--:|")
    rows = {
        "`cp -r` of the files": copying,
        "`dvc add` of the files": adding,
        "`fetch`, files": from_files,
        "`fetch`, zip": many[0],
    }
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.1f} | {images / seconds:,.0f} | {seconds / copying:.1f} |")
    print("\n| nothing to do | seconds |\n|---|--:|")
    print(f"| `dvc repro`, images as zip | {idle:.2f} |")
    print(f"| `dvc status`, images as files that DVC tracks | {idle_files:.2f} |")
    print(f"\n| peak memory, MB | {images // 10:,} images | {images:,} images |\n|---|--:|--:|")
    print(f"| `fetch` | {few[1]:,.0f} | {many[1]:,.0f} |")
    print(f"| training epoch | {few[2]:,.0f} | {many[2]:,.0f} |")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    with tempfile.TemporaryDirectory() as temporary:
        main(count, Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary))
