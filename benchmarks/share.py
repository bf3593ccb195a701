"""Folds of one member on one GPU, one after another and side by side.

`python -m benchmarks.share MEMBER FOLD FOLD ...`, in a project that `fetch` and `split` have run
in, trains these folds by `stages.train`, each in a process of its own that has its share of the
cores: one after another, then all at once. It prints, as Markdown, the seconds of both, those of
their epochs, and the share of the time in which the GPU computed, as NVML tells it every 0.1 s.
"""

import os
import re
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib

from benchmarks.machine import machine


class Watch:
    """Looks at the first GPU until it is told to stop; without one it sees nothing."""

    def __init__(self) -> None:
        self.busy: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        try:
            # Which only who measures installs: nvidia-ml-py.
            import pynvml  # type: ignore[import-untyped,import-not-found,unused-ignore]
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
            gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        except pynvml.NVMLError:
            return
        while not self._stop.wait(0.1):
            self.busy.append(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def share(self) -> str:
        """Of the time."""
        return f"{statistics.mean(self.busy) / 100:.0%}" if self.busy else ""


def started(member: str, fold: str, cores: int) -> "subprocess.Popen[str]":
    """A fold's training."""
    command = [sys.executable, "-m", "stages.train", "--member", member, "--fold", fold]
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": str(cores)}
    return subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE)


def ended(process: "subprocess.Popen[str]") -> float:
    """Seconds of its epochs."""
    text = process.communicate()[1]
    print(text, file=sys.stderr)
    if process.returncode:
        sys.exit("a fold failed")
    return sum(map(float, re.findall(r"\(([\d.]+) s\)$", text, re.MULTILINE)))


def main(member: str, *folds: str) -> None:
    cores = joblib.cpu_count()
    print(f"{member}, folds {', '.join(folds)}. {machine()}\n")
    print(
        "| folds | seconds | of a fold's epochs | the GPU computes |\n|---|--:|--:|--:|", flush=True
    )
    for name, at_once in (("one after another", 1), ("side by side", len(folds))):
        for path in Path(".checkpoints").glob("*"):
            sys.exit(f"{path}: left by another run; remove it")
        start = time.perf_counter()
        with Watch() as watch:
            epochs = []
            for first in range(0, len(folds), at_once):
                some = folds[first : first + at_once]
                running = [started(member, each, cores // at_once) for each in some]
                epochs += [ended(each) for each in running]
        seconds = time.perf_counter() - start
        print(
            f"| {name} | {seconds:.1f} | {statistics.mean(epochs):.1f} | {watch.share()} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
