"""Folds side by side: the pending train and predict stages, several at once.

`python -m foldwise folds-parallel JOBS` (or `make folds-parallel JOBS=n`) runs what comes before
them, then each member's and fold's train and predict through DVC, JOBS at a time, on a GPU each
where there are any: by a Ray of this machine's own, which it starts and ends, or on the nodes of a
cluster, as many as there are GPUs (or CPUs) for. dvc.lock is afterwards what it would be after
`dvc repro predict`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import joblib
import yaml
from dvc.utils.serialize import modify_yaml

from foldwise.checks import check_params
from foldwise.cluster.connection import LOCAL, chosen, engine
from foldwise.cluster.exchange import Exchange
from foldwise.commands.doctor import mend, running_dvc
from foldwise.core import files
from foldwise.core.damage import LOCK
from foldwise.core.errors import UserError
from foldwise.core.receipts import only_dvc
from foldwise.core.settings import Folds, Members, read
from foldwise.model.settings import Compute

STAGES = ("train", "predict")


def dvc(target: str, environment: Mapping[str, str]) -> int:
    """Reproduce one stage alone, its lines marked with its name; DVC's exit code.

    Args:
        target: DVC's name of the stage.
        environment: what is added to this process's own.
    """
    with subprocess.Popen(
        ["dvc", "--wait-for-lock", "repro", "--single-item", target],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                print(f"{target}: {line.rstrip()}", file=sys.stderr, flush=True)
    return process.returncode


def sort_lock(before: list[str], names: list[str]) -> None:
    """Put dvc.lock's new stages in the order in which `dvc repro` adds them.

    Args:
        before: stages that it had, which keep their places.
        names: `<member>-<fold>` in order.
    """
    # DVC writes it in place; a kill in that moment would leave half of it.
    with only_dvc(), files.replacing(LOCK) as temporary:
        shutil.copyfile(LOCK, temporary)
        with modify_yaml(temporary) as content:
            stages = content["stages"]
            order = [*before, *(f"{stage}@{name}" for stage in STAGES for name in names), *stages]
            found = {name: stages[name] for name in dict.fromkeys(order) if name in stages}
            content["stages"] = found


def all_folds(jobs: int, stages: list[str], environment: Mapping[str, str]) -> list[str]:
    """Reproduce train and predict of each of `stages` (`<member>-<fold>`); those that failed."""

    def both(name: str) -> str | None:
        for stage in STAGES:
            if dvc(f"{stage}@{name}", environment):
                return f"{stage}@{name}"
        return None

    # One more than run at once: its DVC and its inputs are ready when a place is free.
    with ThreadPoolExecutor(jobs + 1) as pool:
        return [failed for failed in pool.map(both, stages) if failed is not None]


def wait_for_others() -> None:
    """Until no DVC works here: what a killed run has left running ends within seconds."""
    told: set[int] = set()
    while others := running_dvc():
        if others - told:
            numbers = ", ".join(map(str, sorted(others)))
            print(f"waiting for DVC's process {numbers}, which works here", file=sys.stderr)
            told |= others
        time.sleep(0.2)
        mend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=int, nargs="?", help="folds at once; left out: one per GPU")
    parser.add_argument("--cluster", help="address of a Ray cluster; left out: compute.cluster")
    arguments = parser.parse_args()
    jobs: int | None = arguments.jobs
    if jobs is not None and jobs < 1:
        raise UserError(f"JOBS: got {jobs}; write how many folds are trained at once, as in JOBS=2")
    members, folds = read("members", Members), read("folds", Folds)
    compute = read("compute", Compute, Compute())
    check_params()
    mend()
    wait_for_others()
    if subprocess.run(["dvc", "--wait-for-lock", "repro", "split"], check=False).returncode:
        raise UserError("dvc repro split: failed; see above")
    names = [f"{member}-{fold}" for member in members for fold in folds]
    before = list(yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"])
    cluster = arguments.cluster or chosen(compute.cluster) or LOCAL
    with engine(cluster, jobs, compute) as (gpus, places), Exchange(gpus, places) as exchange:
        environment = exchange.environment
        if cluster == LOCAL:
            # Of one machine's cores, what reads images has a share in every fold.
            cores = max(1, joblib.cpu_count() // min(places, len(names)))
            environment["LOKY_MAX_CPU_COUNT"] = str(cores)
        failed = all_folds(places, names, environment)
    sort_lock(before, names)
    if failed:
        raise UserError(f"{', '.join(failed)}: failed; see above, and run this again to go on")
