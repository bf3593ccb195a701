"""What a cluster costs, and how well it is used.

`python -m benchmarks.cluster folds` runs the default's folds one after another, by two local
workers, and one after another by a local cluster that every stage starts and ends. `python -m
benchmarks.cluster places [SECONDS]` lets 20 jobs that sleep (5 folds of 4 members, as long as a
fold's training on a GPU) through the same engine on 1, 4, 8 and 20 GPUs that exist in name only.
Both print a table as Markdown.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.in_process import cloned
from benchmarks.machine import machine
from foldwise.cluster.client import Remote
from foldwise.cluster.connection import LOCAL, connected
from foldwise.cluster.job import Job, versions
from foldwise.cluster.tasks import Needs

JOBS = 20
SLEEPS = 20.0
"""Seconds."""
GPUS = (1, 4, 8, 20)
SLEEPER = """
import sys, time
time.sleep(float(sys.argv[1]))
print("slept", flush=True)
open("out", "w").close()
"""


def one(number: int, seconds: float) -> None:
    """A job that sleeps on a GPU."""
    out = f"out{number}"
    code = SLEEPER.replace('"out"', repr(out)).encode()
    job = Job("sleeper", (str(seconds),), {"sleeper.py": code}, (), (out,), versions())
    needs = Needs(0.01, 1)
    Remote(job, f"job {number}", needs, Path(f"state{number}")).run()


def places(seconds: float) -> None:
    """The table of jobs that sleep."""
    print(f"{JOBS} jobs of {seconds:g} s.\n")
    print("| GPUs | start, s | seconds | ideal | share of it |\n|---:|---:|---:|---:|---:|")
    for gpus in GPUS:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            begun = time.perf_counter()
            with connected(LOCAL, cpus=1, gpus=gpus):
                start = time.perf_counter()
                with ThreadPoolExecutor(gpus + 1) as pool:
                    list(pool.map(one, range(JOBS), [seconds] * JOBS))
                took = time.perf_counter() - start
        ideal = ceil(JOBS / gpus) * seconds
        row = f"| {gpus} | {start - begun:.1f} | {took:.1f} | {ideal:.1f} | {ideal / took:.3f} |"
        print(row, flush=True)


def timed(title: str, *command: str, **more: str) -> None:
    """A row: a command in the project, its folds undone before."""
    quiet: dict[str, Any] = {"check": True, "capture_output": True}
    subprocess.run(["git", "checkout", "-q", "dvc.lock"], check=True)
    subprocess.run(["rm", "-rf", ".dvc/cache", "data/models", "data/predictions", "plots/train"],
                   check=True)  # fmt: skip
    subprocess.run(["dvc", "repro", "-q", "split"], **quiet)
    lock = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(lock[: lock.index("  train@")] if "  train@" in lock else lock)
    start = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | more, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    print(f"| {title} | {time.perf_counter() - start:.1f} |", flush=True)


def folds() -> None:
    """The table of the default's folds."""
    print("| folds | seconds |\n|---|---:|")
    with tempfile.TemporaryDirectory() as folder, cloned(Path(folder) / "project"):
        timed("one after another", "dvc", "repro", "predict")
        both = (sys.executable, "-m", "foldwise", "folds-parallel")
        timed("two local workers", *both, "2")
        with tempfile.TemporaryDirectory() as cache:
            more = {"FOLDWISE_NODE_CACHE": cache}
            timed("one after another, by a local cluster", "dvc", "repro", "predict",
                  **more, FOLDWISE_CLUSTER=LOCAL)  # fmt: skip


def main() -> None:
    which = sys.argv[1]
    print(f"# A cluster\n\n{machine()}\n")
    if which == "places":
        places(float(sys.argv[2]) if len(sys.argv) > 2 else SLEEPS)
    else:
        folds()


if __name__ == "__main__":
    main()
