"""What a cluster costs, and how well it is used.

`python -m benchmarks.cluster folds` trains and predicts the default's folds one after another, by
two local workers, and by a cluster of two nodes of one core each. `costs` says what the engine
takes for a task that does nothing. `places [SECONDS [GPUS ...]]` lets 20 jobs that sleep (5 folds
of 4 members, as long as a fold's training on a GPU) through the same engine on 1, 4, 8 and 20 GPUs
that exist in name only. All print a table as Markdown.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.in_process import ROOT, cloned
from benchmarks.machine import machine
from foldwise.cluster.client import Remote, Supplies
from foldwise.cluster.connection import LOCAL, LOOPBACK, QUIET, connected
from foldwise.cluster.job import CLUSTER, Job, versions
from foldwise.cluster.tasks import Needs

JOBS = 20
SLEEPS = 20.0
"""Seconds."""
GPUS = (1, 4, 8, 20)
OWN: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 200 * 2**20}
"""Of each node of a cluster."""
OUTS = ("data/features", "data/models", "data/predictions", "plots/train")
SLEEPER = """
import sys, time
time.sleep(float(sys.argv[1]))
print("slept", flush=True)
open("out", "w").close()
"""


def one(number: int, seconds: float, supplies: Supplies, gpus: float = 1) -> None:
    """A job that sleeps on a GPU."""
    out = f"out{number}"
    code = SLEEPER.replace('"out"', repr(out)).encode()
    job = Job("sleeper", (str(seconds),), {"sleeper.py": code}, (), (out,), versions())
    needs = Needs(0.01, gpus)
    Remote(job, f"job {number}", needs, Path(f"state{number}"), supplies).run()


def places(seconds: float, counts: Sequence[int]) -> None:
    """The table of jobs that sleep, for clusters of so many GPUs."""
    print(f"{JOBS} jobs of {seconds:g} s.\n")
    print("| GPUs | start, s | seconds | ideal | share of it |\n|---:|---:|---:|---:|---:|")
    for gpus in counts:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            begun = time.perf_counter()
            with connected(LOCAL, cpus=1, gpus=gpus):
                start = time.perf_counter()
                with ThreadPoolExecutor(gpus + 1) as pool:
                    list(pool.map(one, range(JOBS), [seconds] * JOBS, [Supplies()] * JOBS))
                took = time.perf_counter() - start
        ideal = ceil(JOBS / gpus) * seconds
        row = f"| {gpus} | {start - begun:.1f} | {took:.1f} | {ideal:.1f} | {ideal / took:.3f} |"
        print(row, flush=True)


@contextmanager
def two_nodes(folder: Path) -> Iterator[dict[str, str]]:
    """A cluster of a head and two nodes of one CPU each, processes of this machine.

    Args:
        folder: for what nodes keep.

    Yields:
        The environment of whoever uses it.
    """
    os.environ |= LOOPBACK | QUIET
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=OWN | {"num_cpus": 0})
    try:
        for name in ("one", "other"):
            os.environ["FOLDWISE_NODE_CACHE"] = str(folder / name)
            cluster.add_node(num_cpus=1, **OWN)
        yield {CLUSTER: cluster.address}
    finally:
        cluster.shutdown()


def undone() -> None:
    """Bring the project to where its images are split, and nothing is trained."""
    subprocess.run(["git", "checkout", "-q", "dvc.lock"], check=True)
    for folder in (".dvc/cache", *OUTS):
        shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["dvc", "repro", "-q", "split"], check=True, capture_output=True)
    lock = Path("dvc.lock")
    made = yaml.safe_load(lock.read_text())
    made["stages"] = {name: made["stages"][name] for name in ("fetch", "split")}
    lock.write_text(yaml.safe_dump(made, sort_keys=False))


def timed(title: str, *command: str, more: Mapping[str, str] | None = None) -> None:
    """A row: a command in the project, nothing trained before."""
    undone()
    wire = psutil.net_io_counters(pernic=True)["lo"].bytes_sent
    start = time.perf_counter()
    # Each of two at once has a core; so has the one that runs alone.
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | dict(more or {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    moved = (psutil.net_io_counters(pernic=True)["lo"].bytes_sent - wire) / 1e6
    print(f"| {title} | {took:.1f} | {moved:.0f} | {summed(OUTS)} |", flush=True)


def summed(folders: tuple[str, ...]) -> str:
    """A hash of all bytes below some folders."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            found.update(path.as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:8]


def size(folder: Path) -> float:
    """Megabytes below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def folds() -> None:
    """The table of the default's folds."""
    print("| folds | seconds | MB over loopback | sha256 of all outs |\n|---|---:|---:|---|")
    both = (sys.executable, "-m", "foldwise", "folds-parallel")
    with tempfile.TemporaryDirectory() as name, cloned(Path(name) / "project"):
        timed("one after another", "dvc", "repro", "predict")
        timed("two local workers", *both, "2")
        start = time.perf_counter()
        with two_nodes(Path(name)) as more:
            begun = time.perf_counter() - start
            timed("two nodes", *both, more=more)
        kept = " and ".join(f"{size(Path(name) / node / 'kept'):.1f}" for node in ("one", "other"))
        written = sum(size(Path(folder)) for folder in OUTS)
    print(f"\nThe cluster of two nodes started in {begun:.1f} s. Their caches hold {kept} MB of")
    print(f"inputs; {written:.1f} MB of outs came back, and each epoch's checkpoint.")


def costs() -> None:
    """The table of jobs that do nothing: what the engine takes for each."""
    print("| what | seconds |\n|---|---:|")
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        with two_nodes(Path(name)) as more, chdir(name):
            print(f"| start of a cluster of two nodes | {time.perf_counter() - start:.1f} |")
            start = time.perf_counter()
            with connected(more[CLUSTER]):
                print(f"| connect to it | {time.perf_counter() - start:.1f} |")
                supplies = Supplies()
                for number, which in enumerate(("first", "second", "third", "fourth")):
                    start = time.perf_counter()
                    one(number, 0, supplies, gpus=0)
                    print(f"| {which} task of a process | {time.perf_counter() - start:.1f} |")
            code = (
                "import os; from benchmarks.cluster import *\n"
                "with connected(os.environ[CLUSTER]): one(9, 0, Supplies(), gpus=0)"
            )
            both = []
            for script in (code, "import pandas, pyarrow, pydantic, yaml"):
                start = time.perf_counter()
                environment = os.environ | more | {"PYTHONPATH": str(ROOT)}
                subprocess.run([sys.executable, "-c", script], check=True, env=environment)
                both.append(time.perf_counter() - start)
            print(f"| a process of its own, with one task | {both[0]:.1f} |")
            print(f"| such a process without Ray | {both[1]:.1f} |")


def main() -> None:
    which = sys.argv[1]
    print(f"# A cluster\n\n{machine()}\n")
    if which == "places":
        seconds, counts = sys.argv[2:3], [int(each) for each in sys.argv[3:]]
        places(float(seconds[0]) if seconds else SLEEPS, counts or GPUS)
    elif which == "costs":
        costs()
    else:
        folds()


if __name__ == "__main__":
    main()
