"""`apply` on many images: `python -m benchmarks.apply_many [IMAGES [KILLS]]`.

Trains the default's network for an epoch on few images, in a copy of its own; composes IMAGES small
images (20,000) in a folder and labels them by one fold's model, into a folder of parts. Prints, as
Markdown: images per second of one process, and of two nodes of one core each; the peak memory of
one process for a tenth of the images and for all; and of a run that was killed KILLS times (10) at
random moments and started again, whether every image has one row, with the values of the run that
nobody disturbed.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import yaml

from benchmarks.cluster import two_nodes
from benchmarks.in_process import default_params
from benchmarks.machine import machine
from foldwise.cluster.job import CLUSTER
from tests.conftest import Project, environment, make_project

IMAGES = 20_000
KILLS = 10
SIDE = 64
"""Pixels of an image, high and wide."""
SLICE = 100
"""Images per part: many parts, so that kills meet all moments."""


def trained(folder: Path) -> Project:
    """A project whose ensemble is of the default's kind, hardly trained."""
    project = make_project(folder)
    params = default_params()
    params["epochs"] = 1
    params["data"]["glyphs"]["images"] = {"train": 120, "test": 40}
    project.write_params(params)
    project.run("dvc", "repro", "threshold")
    return project


def write_images(folder: Path, count: int) -> None:
    """Noise of few grey levels, in folders of a thousand."""
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:04}" / f"{number:08}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 8, (SIDE, SIDE), np.uint8) * 32)


def command(images: Path, out: Path) -> list[str]:
    """What is measured."""
    told = [sys.executable, "-m", "foldwise", "apply", str(images), "--out", f"{out}/"]
    return [*told, "--folds", "0", "--slice", str(SLICE)]


def measured(project: Project, images: Path, out: Path) -> tuple[float, float]:
    """Seconds, and peak memory in MiB, of one run in a process of its own."""
    # The peak of all children that ended is what the system tells: so a parent for this one alone.
    code = (
        "import json, resource, subprocess, sys, time\n"
        "start = time.monotonic()\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([time.monotonic() - start, usage.ru_maxrss]))\n"
    )
    said = project.run(sys.executable, "-c", code, *command(images, out)).stdout
    seconds, peak = yaml.safe_load(said.splitlines()[-1])
    return seconds, peak / (2**20 if sys.platform == "darwin" else 2**10)


def by_nodes(project: Project, few: Path, images: Path, folder: Path) -> float:
    """Images per second of two nodes, without their start; all into a folder `nodes`."""
    took = []
    with two_nodes(folder / "caches") as more:
        for each, out in ((few, folder / "nodes_few"), (images, folder / "nodes")):
            start = time.monotonic()
            told = [*command(each, out), "--cluster", more[CLUSTER]]
            project.run(*told)
            took.append(time.monotonic() - start)
    counts = [sum(1 for _ in each.rglob("*.png")) for each in (few, images)]
    return (counts[1] - counts[0]) / (took[1] - took[0])


def killed(project: Project, images: Path, out: Path, kills: int, seconds: float) -> int:
    """Run it, killed at random moments, until it ends well; how many kills met it alive."""
    rng = random.Random(0)
    met = 0
    for _ in range(kills):
        process = subprocess.Popen(
            command(images, out),
            cwd=project.path,
            env=environment(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # From within its start to a few slices on: most kills must find work left.
        before = len(list(out.glob("part-*")))
        until = time.monotonic() + seconds
        while time.monotonic() < until and process.poll() is None:
            if len(list(out.glob("part-*"))) > before:
                break
            time.sleep(0.01)
        time.sleep(rng.random() * seconds / kills)
        met += process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    project.run(*command(images, out))
    return met


def rows(folder: Path) -> dict[str, list[Any]]:
    """Every image's values; each row that comes again counts as another image."""
    found: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("part-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            name = row.pop("image")
            twice = f"{name} again in {path.name}"
            found[twice if name in found else name] = list(row.values())
    return found


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else KILLS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        project = trained(folder / "project")
        write_images(folder / "images", images)
        write_images(folder / "few", images // 10)
        few_seconds, few = measured(project, folder / "few", folder / "out_few")
        seconds, peak = measured(project, folder / "images", folder / "out")
        met = killed(project, folder / "images", folder / "killed", kills, seconds)
        nodes = by_nodes(project, folder / "few", folder / "images", folder)
        wanted, found = rows(folder / "out"), rows(folder / "killed")
        remote = rows(folder / "nodes")
        shutil.rmtree(folder / "images")
    # Without its start, which both have.
    rate = (images - images // 10) / (seconds - few_seconds)
    same = ["the same" if each == wanted else "OTHERS" for each in (found, remote)]
    print(f"{images} images of {SIDE} x {SIDE} pixels, {SLICE} per part. {machine()}\n")
    print("| what | found |\n|---|--:|")
    print(f"| images per second, one process | {rate:.0f} |")
    print(f"| images per second, two nodes | {nodes:.0f} |")
    print(f"| peak memory, {images // 10} images | {few:.0f} MiB |")
    print(f"| peak memory, {images} images | {peak:.0f} MiB |")
    print(f"| rows, undisturbed | {len(wanted)} |")
    print(f"| rows, killed {met} times | {len(found)} |")
    print(f"| their values | {same[0]} |")
    print(f"| rows, two nodes | {len(remote)} |")
    print(f"| their values | {same[1]} |")


if __name__ == "__main__":
    main()
