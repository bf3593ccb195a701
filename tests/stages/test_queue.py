"""Experiments in DVC's queue, whose copies of the project are deleted after them."""

import re
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.conftest import Project, environment

RUN = ("dvc", "exp", "run", "--queue", "-S", "epochs=60")


def wait_until(done: Callable[[], bool], said: Callable[[], object]) -> None:
    """However slow the machine is; by far not forever."""
    for _ in range(3000):
        if done():
            return
        time.sleep(0.1)
    pytest.fail(str(said()))


def start(project: Project) -> None:
    """Start a worker, which holds on to the streams that it is given."""
    null = subprocess.DEVNULL
    command = ("dvc", "queue", "start")
    subprocess.run(
        command, cwd=project.path, env=environment(), stdout=null, stderr=null, check=True
    )


@pytest.mark.slow
def test_what_was_killed_goes_on_where_it_was_when_queued_again(copied: Project) -> None:
    """By the checkpoints of the project; of two rates, one is killed and one is not."""

    def logs() -> list[str]:
        found = (copied.path / ".dvc/tmp/exps/run").glob("*/*.out")
        return [each.read_text() for each in sorted(found, key=lambda path: path.stat().st_mtime)]

    def statuses() -> list[tuple[str, str]]:
        table = copied.run("dvc", "queue", "status").stdout
        return sorted(re.findall(r"^\w+ +(\w+) +\S+ \S+ +(\w+)$", table, re.MULTILINE))

    def ended() -> bool:
        return not {"Queued", "Running"} & {each for _, each in statuses()}

    checkpoints = copied.path / ".checkpoints"
    # A shell's background job ignores Ctrl-C, by which DVC kills, and what it starts inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        copied.run(*RUN, "-n", "low", "-S", "lr=0.02", "train@cnn-0")
        start(copied)
        wait_until(lambda: any("epoch 2/60" in each for each in logs()), logs)
        copied.run("dvc", "queue", "kill", "low")
        wait_until(ended, statuses)
        assert statuses() == [("low", "Failed")]
        (kept,) = checkpoints.iterdir()
        assert (kept / "last.ckpt").exists()

        for name, rate in (("low", "0.02"), ("high", "0.03")):
            copied.run(*RUN, "-n", name, "-S", f"lr={rate}", "train@cnn-0")
        start(copied)
        wait_until(ended, statuses)
    finally:
        copied.run("dvc", "queue", "stop", "--kill", code=None)
        signal.signal(signal.SIGINT, before)
    assert statuses() == [("high", "Success"), ("low", "Failed"), ("low", "Success")]
    _, low, high = logs()
    assert "resumed after epoch" in low
    assert "epoch 1/60:" not in low
    assert "epoch 1/60:" in high
    assert not any(checkpoints.iterdir())
    assert not list((copied.path / ".dvc/tmp/exps").glob("tmp*"))
    for name in ("low", "high"):
        copied.run("dvc", "exp", "apply", name)
        assert (copied.path / "plots/train/cnn/0/metrics.json").read_text().count("train_loss") == 1
