"""What a node keeps: brought once, whole, within a limit, and never from under a job."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from foldwise.cluster.cache import NodeCache
from foldwise.cluster.contents import PIECE, Content, contents, put_piece, read_piece
from foldwise.cluster.tasks import InputSource
from foldwise.core.errors import UserError


class Counted:
    """Reads from a folder, and counts."""

    def __init__(self, root: Path) -> None:
        self.pieces: list[tuple[str, str, int]] = []
        self._root = root

    def __call__(self, path: str, name: str, offset: int) -> bytes:
        self.pieces.append((path, name, offset))
        whole = self._root / path
        return read_piece(whole / name if name else whole, offset)


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Content]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    (tmp_path / "images/deep").mkdir(parents=True)
    (tmp_path / "images/a.bin").write_bytes(os.urandom(2 * PIECE + 5))
    (tmp_path / "images/deep/b.bin").write_bytes(b"")
    (tmp_path / "labels").write_bytes(b"labels")
    return contents(["images", "labels"])


def test_inputs_come_once_and_in_pieces(inputs: list[Content], tmp_path: Path) -> None:
    read = Counted(tmp_path)
    cache = NodeCache(tmp_path / "cache", 1.0)
    for _ in range(2):
        with cache.holding(inputs, read) as found:
            wanted = (tmp_path / "images/a.bin").read_bytes()
            assert (found["images"] / "a.bin").read_bytes() == wanted
            assert (found["images"] / "deep/b.bin").read_bytes() == b""
            assert found["labels"].read_bytes() == b"labels"
    assert [offset for *_, offset in read.pieces] == [0, PIECE, 2 * PIECE, 0]


def test_two_jobs_at_once_bring_an_input_once(inputs: list[Content], tmp_path: Path) -> None:
    read = Counted(tmp_path)

    def take() -> None:
        with NodeCache(tmp_path / "cache", 1.0).holding(inputs, read):
            pass

    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(read.pieces) == 4


def test_a_job_does_not_wait_for_the_end_of_another(inputs: list[Content], tmp_path: Path) -> None:
    read = Counted(tmp_path)
    entered = threading.Event()

    def take() -> None:
        with NodeCache(tmp_path / "cache", 1.0).holding(inputs, read):
            entered.set()

    with NodeCache(tmp_path / "cache", 1.0).holding(inputs, read):
        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        assert entered.wait(10)
    thread.join()


def test_keys_are_of_content_not_of_name(inputs: list[Content], tmp_path: Path) -> None:
    (tmp_path / "again").write_bytes(b"labels")
    (tmp_path / "other").write_bytes(b"labelz")
    again, other = contents(["again", "other"])
    assert again.key == inputs[1].key != other.key
    (tmp_path / "images/deep/b.bin").rename(tmp_path / "images/deep/c.bin")
    assert contents(["images"])[0].key != inputs[0].key
    with pytest.raises(UserError, match="nothing: is not there; run `dvc repro`"):
        contents(["nothing"])


def test_the_oldest_goes_first_but_not_what_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    named = [f"input{number}" for number in range(4)]
    for number, name in enumerate(named):
        (tmp_path / name).write_bytes(bytes([number]) * 1000)
    made = contents(named)
    read = Counted(tmp_path)
    cache = NodeCache(tmp_path / "cache", 2500 / 1e9)
    kept = tmp_path / "cache/kept"
    with cache.holding(made[:1], read) as first:
        for content in made[1:]:
            with cache.holding([content], read):
                pass
            for age, each in enumerate(made):
                if (kept / each.key).exists():
                    os.utime(kept / each.key, (age, age))
        # The oldest is held.
        assert first["input0"].read_bytes() == bytes(1000)
        assert {each.name for each in kept.iterdir()} == {made[0].key, made[3].key}
    with cache.holding(made[1:2], read):
        assert {each.name for each in kept.iterdir()} == {made[1].key, made[3].key}


def test_an_input_that_was_cut_on_its_way_is_none(inputs: list[Content], tmp_path: Path) -> None:
    cache = NodeCache(tmp_path / "cache", 1.0)
    whole = Counted(tmp_path)

    def cut(path: str, name: str, offset: int) -> bytes:
        return whole(path, name, offset)[:-1]

    with (
        pytest.raises(RuntimeError, match="changed while it travelled"),
        cache.holding(inputs, cut),
    ):
        pass
    with cache.holding(inputs, whole) as found:
        assert found["labels"].read_bytes() == b"labels"


def test_a_source_gives_its_inputs_alone(inputs: list[Content], tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    source = InputSource(str(tmp_path))
    source.offer(("labels",))
    source.offer(("images",))
    assert source.read("labels", "", 0) == b"labels"
    assert source.read("images", "deep/b.bin", 0) == b""
    asked: list[Callable[[], bytes]] = [
        lambda: source.read("secret", "", 0),
        lambda: source.read("images", "../secret", 0),
        lambda: source.read("images", str(tmp_path / "secret"), 0),
    ]
    for each in asked:
        with pytest.raises(PermissionError, match="is no input of this job"):
            each()


def test_pieces_may_come_again(tmp_path: Path) -> None:
    path = tmp_path / "a/b"
    put_piece(path, 0, b"abcdef")
    put_piece(path, 3, b"DEF")
    assert path.read_bytes() == b"abcDEF"
    put_piece(path, 0, b"ab")
    assert path.read_bytes() == b"ab"
