"""Slices over actors of a local Ray, some of which die."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from foldwise.cluster.apply_pool import AHEAD, TRIES, over_actors
from foldwise.core.errors import UserError
from foldwise.deploy.depths import DeepImages
from foldwise.deploy.items import Item
from foldwise.deploy.slices import Done, Slice, SliceRunner, cut_up
from tests.conftest import ROOT

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    yield
    ray.shutdown()


class Labeller:
    """Says which process labelled an image; misbehaves at one slice, as it is told."""

    def __init__(
        self, notes: Path, at: int = -1, does: str = "", times: int = 1, company: int = 1
    ) -> None:
        self._notes, self._at, self._does, self._times = notes, at, does, times
        self._company = company
        note(notes / "loads", str(os.getpid()))

    def __call__(self, slice: Slice) -> Done:
        time.sleep(0.05)
        # On a busy machine one could be done with all before the other has loaded.
        while len(lines(self._notes / "loads")) < self._company:
            time.sleep(0.05)
        note(self._notes / "slices", str(slice.number))
        if slice.number == self._at and len(lines(self._notes / "at")) < self._times:
            note(self._notes / "at", str(os.getpid()))
            if self._does == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            raise (UserError if self._does == "refuses" else ValueError)("is not for me")
        table = pa.table({"image": [item.name for item in slice.items], "by": [os.getpid()] * 10})
        return Done(slice.number, slice.digest, table, [], DeepImages())


def note(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def slices(count: int) -> Iterator[Slice]:
    return cut_up((Item(str(each), str(each)) for each in range(10 * count)), 10)


def check(found: list[Done], count: int) -> None:
    """Every slice once, as it was handed out."""
    assert sorted(done.number for done in found) == list(range(count))
    for done, slice in zip(sorted(found, key=lambda done: done.number), slices(count), strict=True):
        assert done.digest == slice.digest
        assert done.table["image"].to_pylist() == [item.name for item in slice.items]


def test_every_slice_once_and_no_more_are_taken_than_actors_have(tmp_path: Path) -> None:
    taken, found = [], []

    def counted() -> Iterator[Slice]:
        for each in slices(30):
            taken.append(each)
            yield each

    # A third actor finds no room among two cores, for ever.
    for done in over_actors(counted(), lambda: Labeller(tmp_path, company=2), 3, {"num_cpus": 1}):
        found.append(done)
        assert len(taken) - len(found) < 2 * AHEAD + 1
    check(found, 30)
    assert len({each for done in found for each in done.table["by"].to_pylist()}) == 2
    assert len(lines(tmp_path / "loads")) == 2
    assert list(over_actors(iter(()), lambda: Labeller(tmp_path), 2)) == []
    assert len(lines(tmp_path / "loads")) == 2


def test_slices_of_an_actor_that_dies_are_anothers(tmp_path: Path) -> None:
    make = partial(Labeller, tmp_path, at=5, does="dies", times=TRIES - 1)
    check(list(over_actors(slices(20), make, 2, {"num_cpus": 1})), 20)
    dead = set(lines(tmp_path / "at"))
    assert len(dead) == TRIES - 1
    # An actor for each that died, whether or not it had loaded when the last slice was done.
    assert 2 <= len(lines(tmp_path / "loads")) <= 2 + len(dead)


def test_an_actor_killed_from_outside(tmp_path: Path) -> None:
    found, killed = [], 0
    for done in over_actors(slices(30), lambda: Labeller(tmp_path), 2, {"num_cpus": 1}):
        found.append(done)
        if len(found) == 4:
            killed = done.table["by"][0].as_py()
            os.kill(killed, signal.SIGKILL)
    check(found, 30)
    by = [done.table["by"][0].as_py() for done in found]
    # What it had finished before may be told after.
    assert 1 <= by.count(killed) <= 4 + AHEAD


@pytest.mark.parametrize(
    ("make", "error", "calls"),
    [
        (lambda notes: Labeller(notes, 2, "refuses", 9), UserError, 1),
        (lambda notes: Labeller(notes, 2, "fails", 9), ValueError, 1),
        (lambda notes: Labeller(notes, 2, "dies", 9), UserError, TRIES),
    ],
)
def test_what_fails_for_its_own_reason_is_not_tried_again(
    make: Callable[[Path], SliceRunner], error: type[Exception], calls: int, tmp_path: Path
) -> None:
    said = "ran slice 2 died" if calls > 1 else "is not for me"
    with pytest.raises(error, match=said):
        list(over_actors(slices(20), lambda: make(tmp_path), 2, {"num_cpus": 1}))
    assert len(lines(tmp_path / "at")) == calls


def test_models_that_cannot_be_loaded(tmp_path: Path) -> None:
    def refuse() -> SliceRunner:
        note(tmp_path / "loads", "")
        raise UserError("data/models: is not there")

    with pytest.raises(UserError, match=r"\Adata/models: is not there\Z"):
        list(over_actors(slices(20), refuse, 1))
    assert len(lines(tmp_path / "loads")) == 1

    def die() -> SliceRunner:
        note(tmp_path / "loads", "")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    with pytest.raises(UserError, match=f"{TRIES} processes that loaded the ensemble died"):
        list(over_actors(slices(20), die, 1))
    assert len(lines(tmp_path / "loads")) == 1 + TRIES
