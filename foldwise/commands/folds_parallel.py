"""Folds side by side: the pending train and predict stages, several at once.

`python -m foldwise folds-parallel JOBS` (or `make folds-parallel JOBS=n`) runs what comes before
them, then each member's and fold's train and predict through DVC, JOBS at a time, on a GPU each
where there are any. dvc.lock is afterwards what it would be after `dvc repro predict`.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import joblib
import yaml
from dvc.utils.serialize import modify_yaml

from foldwise.checks import check_params
from foldwise.commands.doctor import mend, running_dvc
from foldwise.core import files
from foldwise.core.damage import LOCK
from foldwise.core.errors import UserError
from foldwise.core.receipts import only_dvc
from foldwise.core.settings import Folds, Members, read

STAGES = ("train", "predict")


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [each.strip() for each in named.split(",") if each.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    if listed.returncode:
        return []
    gpus = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index, _ in enumerate(gpus)]


def dvc(target: str, gpu: str | None, cores: int) -> int:
    """Reproduce one stage alone, its lines marked with its name; DVC's exit code.

    Args:
        target: DVC's name of the stage.
        gpu: as CUDA_VISIBLE_DEVICES names it; None: all that are seen.
        cores: that `compute.workers: auto` may use, as others run beside it.
    """
    chosen = {"LOKY_MAX_CPU_COUNT": str(cores)}
    if gpu is not None:
        chosen["CUDA_VISIBLE_DEVICES"] = gpu
    with subprocess.Popen(
        ["dvc", "--wait-for-lock", "repro", "--single-item", target],
        env=os.environ | chosen,
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


def all_folds(jobs: int, stages: list[str]) -> list[str]:
    """Reproduce train and predict of each of `stages` (`<member>-<fold>`); those that failed."""
    free: queue.Queue[str | None] = queue.Queue()
    gpus = visible_gpus()
    cores = max(1, joblib.cpu_count() // max(1, min(jobs, len(stages))))
    for index in range(jobs):
        free.put(gpus[index % len(gpus)] if gpus else None)

    def both(name: str) -> str | None:
        gpu = free.get()
        try:
            for stage in STAGES:
                if dvc(f"{stage}@{name}", gpu, cores):
                    return f"{stage}@{name}"
        finally:
            free.put(gpu)
        return None

    with ThreadPoolExecutor(jobs) as pool:
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
    parser.add_argument("jobs", type=int, nargs="?", default=max(1, len(visible_gpus())))
    jobs = parser.parse_args().jobs
    if jobs < 1:
        raise UserError(f"JOBS: got {jobs}; write how many folds are trained at once, as in JOBS=2")
    members, folds = read("members", Members), read("folds", Folds)
    check_params()
    mend()
    wait_for_others()
    if subprocess.run(["dvc", "--wait-for-lock", "repro", "split"], check=False).returncode:
        raise UserError("dvc repro split: failed; see above")
    names = [f"{member}-{fold}" for member in members for fold in folds]
    before = list(yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"])
    failed = all_folds(jobs, names)
    sort_lock(before, names)
    if failed:
        raise UserError(f"{', '.join(failed)}: failed; see above, and run this again to go on")
