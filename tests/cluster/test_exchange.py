"""Stages that share one process's way to a cluster: lines, ends, and who may ask."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import pytest

from foldwise.cluster import exchange
from foldwise.cluster.exchange import KEY, Exchange, ask
from foldwise.cluster.job import CLUSTER, Job
from foldwise.cluster.tasks import Needs
from foldwise.core.errors import UserError

NEEDS = Needs(2, 0, 3)
GPUS = 0.5


class Spoken:
    """In a node's place: says a line, then does what the job's module names."""

    ended: str = ""

    def __init__(
        self,
        job: Job,
        title: str,
        needs: Needs,
        state: Path,
        supplies: Any,
        say: Callable[[str], None],
        gone: Callable[[], bool],
    ) -> None:
        self._job, self._say, self._gone = job, say, gone
        self._line = f"{title} {needs.cpus:g} {needs.gpus:g} {needs.nodes} {state}"

    def run(self) -> None:
        self._say(self._line)
        if self._job.module == "refuses":
            raise UserError("one", "two")
        if self._job.module == "fails":
            raise ValueError("a bug")
        while self._job.module == "waits":
            time.sleep(0.01)
            if self._gone():
                type(self).ended = self._line
                raise KeyboardInterrupt


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(exchange, "Remote", Spoken)
    with Exchange(GPUS, 2) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made.environment[CLUSTER]


def job(module: str) -> Job:
    return Job(module, (), {"a": b"b"}, (), (), {})


def test_lines_and_the_end_come_to_whoever_asked(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for title in ("cnn fold 0", "cnn fold 1"):
        ask(address, job("ends"), title, NEEDS, Path("state"))
        assert capsys.readouterr().err == f"{title} 2 0.5 3 state\n"
    with pytest.raises(UserError) as error:
        ask(address, job("refuses"), "t", NEEDS, Path("state"))
    assert error.value.args == ("one", "two")
    with pytest.raises(RuntimeError):
        ask(address, job("fails"), "t", NEEDS, Path("state"))
    assert "ValueError: a bug" in capsys.readouterr().err


def test_jobs_of_several_run_at_once_and_end_with_whoever_wanted_them(
    address: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = bytes.fromhex(os.environ[KEY])
    waiting = Client(address.removeprefix(exchange.PREFIX), "AF_UNIX", authkey=key)
    waiting.send((job("waits"), "first", NEEDS, Path("state")))
    assert waiting.recv() == (exchange.SAID, "first 2 0.5 3 state")
    ask(address, job("ends"), "second", NEEDS, Path("state"))
    assert Spoken.ended == ""
    waiting.close()
    until = time.monotonic() + 60
    while not Spoken.ended and time.monotonic() < until:
        time.sleep(0.01)
    assert Spoken.ended.startswith("first")
    monkeypatch.setattr(Spoken, "ended", "")
    # Nothing of a thread's end comes to people.
    assert "Traceback" not in capfd.readouterr().err


def test_no_more_run_at_once_than_there_are_places(address: str) -> None:
    key = bytes.fromhex(os.environ[KEY])
    path = address.removeprefix(exchange.PREFIX)
    running = [Client(path, "AF_UNIX", authkey=key) for _ in range(3)]
    for number, each in enumerate(running):
        each.send((job("waits"), str(number), NEEDS, Path("state")))
        if number < 2:
            assert each.recv() == (exchange.SAID, f"{number} 2 0.5 3 state")
    assert not running[2].poll(1.5)
    running[0].close()
    assert running[2].recv() == (exchange.SAID, "2 2 0.5 3 state")
    for each in running[1:]:
        each.close()


def test_who_has_no_key_and_what_is_gone(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = os.environ[KEY]
    monkeypatch.setenv(KEY, "00" * 32)
    with pytest.raises(UserError, match="which ran this, is gone"):
        ask(address, job("ends"), "t", NEEDS, Path("state"))
    monkeypatch.setenv(KEY, own)
    # It still serves who has one.
    ask(address, job("ends"), "t", NEEDS, Path("state"))
    with pytest.raises(UserError, match=r"\At: `folds-parallel`, which ran this, is gone; run it"):
        ask(f"unix:{tmp_path}/nothing", job("ends"), "t", NEEDS, Path("state"))


def test_code_that_changed_meanwhile_is_a_line(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "code_digest", lambda: "another")
    with pytest.raises(UserError, match="changed since `folds-parallel` was started"):
        ask(address, job("ends"), "t", NEEDS, Path("state"))


def test_it_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with Exchange(0, 1) as made:
        path = Path(made.environment[CLUSTER].removeprefix(exchange.PREFIX))
        assert path.is_socket()
        assert path.parent.stat().st_mode & 0o077 == 0
    assert not path.parent.exists()
    assert set(threading.enumerate()) <= before
