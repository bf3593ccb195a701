"""A study that is killed five times: `python -m benchmarks.killed_study [kills] [trials]`.

A tiny project is tuned, and killed (SIGKILL, the driver alone) at random moments; the same command
goes on. Beside it a study that nobody kills. Prints, as Markdown, where it was killed, whether each
trial is there once, and whether both studies drew, scored and chose the same.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import yaml

from benchmarks.machine import machine
from foldwise.tuning.study import NAME, STORAGE
from tests.conftest import Project, environment, make_project

SPACE = {
    "lr": {"log": [0.003, 0.1]},
    "threshold.calibration": {"choice": ["none", "temperature"]},
    "tta.views": {"choice": [["identity"], ["identity", "rot90"]]},
}
PAUSE = (5.0, 60.0)
"""Seconds after which it is killed."""


def start(project: Project, trials: int) -> "subprocess.Popen[str]":
    """The study, which goes on where it was."""
    return subprocess.Popen(
        [sys.executable, "-m", "foldwise", "tune", "space.yaml", "--trials", str(trials)],
        cwd=project.path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def tuned(project: Project, trials: int, kills: int, rng: random.Random) -> list[str]:
    """Where it was when it was killed; then it is left to end."""
    moments = []
    for _ in range(kills):
        process = start(project, trials)
        time.sleep(rng.uniform(*PAUSE))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        moments.append((said.strip().splitlines() or ["before its first line"])[-1][:60])
    process = start(project, trials)
    _, said = process.communicate()
    assert process.returncode == 0, said
    return moments


def told(project: Project) -> dict[str, Any]:
    """What is left of it: per trial its state, score and values; names of its experiments."""
    storage = f"sqlite:///{project.path}/.tune/space/{STORAGE}"
    study = optuna.load_study(study_name=NAME, storage=storage)
    trials = [(each.number, each.state.name, each.value, each.user_attrs.get("values"))
              for each in study.trials]  # fmt: skip
    names = project.run("dvc", "exp", "list", "--name-only", "--all-commits").stdout.split()
    return {"trials": trials, "experiments": sorted(names)}


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kills, trials = (int(each) for each in (*sys.argv[1:], *("5", "8")[len(sys.argv) - 1 :]))
    rng = random.Random(0)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("whole", 0), ("killed", kills)):
            project = make_project(Path(folder) / name)
            (project.path / "space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False))
            project.run("dvc", "repro")
            project.commit("Run")
            moments = tuned(project, trials, count, rng)
            found.append(told(project))
    whole, killed = found
    print(f"{machine()} {trials} trials of a tiny project, killed {kills} times, after:\n")
    print("\n".join(f"- {each}" for each in moments))
    numbers = [number for number, *_ in killed["trials"]]
    once = numbers == list(range(trials + 1)) and len(killed["experiments"]) == trials + 1
    print(f"\nEach trial once, and its experiment: {'yes' if once else 'NO'}. Numbers, states, "
          f"scores and drawn values are those of a study that nobody killed: "
          f"{'yes' if whole == killed else 'NO'}.")  # fmt: skip


if __name__ == "__main__":
    main()
