"""Slices, and the folder of parts that a second run completes."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldwise.core.errors import UserError
from foldwise.deploy.depths import DeepImages
from foldwise.deploy.items import Item
from foldwise.deploy.parts import PartsFolder, RunFile
from foldwise.deploy.slices import BadImage, Done, Slice, cut_up, whole_batches
from foldwise.deploy.table_file import NAMED, TableFile

RUN = RunFile(ensemble="e", listing="l", slice=10)


def items(count: int) -> list[Item]:
    return [Item(f"{number}.png", f"{number}.png") for number in range(count)]


def label(slice: Slice) -> Done:
    """Every seventh image is bad, and every fifth is deep."""
    numbers = [int(item.name.partition(".")[0]) for item in slice.items]
    good = [each for each in numbers if each % 7]
    table = pa.table(
        {"image": [f"{each}.png" for each in good], "x": [float(each) for each in good]}
    )
    bad = [BadImage(f"{each}.png", "is seven's") for each in numbers if each % 7 == 0]
    deep = DeepImages(dark=sum(each % 5 == 0 for each in good), largest_dark=max(numbers))
    return Done(slice.number, slice.digest, table, bad, deep)


def apply(folder: Path, listed: Sequence[Item], stop: int | None = None) -> list[int]:
    """What a run does, as far as `stop` slices; which slices it ran, tallied."""
    ran: list[int] = []
    with PartsFolder(folder, RUN) as parts:
        for slice in parts.missing(cut_up(listed, 10)):
            if stop is not None and len(ran) == stop:
                return ran
            parts.write(label(slice))
            ran.append(slice.number)
        parts.finish()
    good = [each for each in range(len(listed)) if each % 7]
    assert (parts.tally.images, parts.tally.bad) == (len(good), len(listed) - len(good))
    assert parts.tally.deep.dark == sum(each % 5 == 0 for each in good)
    assert parts.tally.deep.largest_dark == len(listed) - 1
    assert f"{len(listed) - len(good)} images cannot be used" in parts.problems()[0]
    return ran


def check(folder: Path, count: int) -> None:
    """Every image once, in its own part or among its bad ones; and no other file."""
    found = {
        kind: [
            name
            for path in sorted(folder.glob(f"{kind}-*.parquet"))
            for name in pq.read_table(path)["image"].to_pylist()
        ]
        for kind in ("part", "bad")
    }
    for kind, seventh in (("part", False), ("bad", True)):
        assert found[kind] == [f"{each}.png" for each in range(count) if (each % 7 == 0) == seventh]
    slices = -(-count // 10)
    parts = {f"part-{number:06}.parquet" for number in range(slices)}
    names = {each.name for each in folder.iterdir()}
    assert {each for each in names if not each.startswith("bad-")} == parts | {"run.json"}


def test_a_second_run_does_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert apply(folder, items(95), stop=4) == [0, 1, 2, 3]
    assert apply(folder, items(95)) == [4, 5, 6, 7, 8, 9]
    check(folder, 95)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert apply(folder, items(95)) == []
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    (folder / "part-000002.parquet").unlink()
    (folder / "bad-000005.parquet").unlink()
    part = folder / "part-000007.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    (folder / "bad-000008.parquet").write_bytes(b"")
    assert apply(folder, items(95)) == [2, 5, 7, 8]
    check(folder, 95)
    # More images, others, fewer.
    assert apply(folder, items(101)) == [9, 10]
    check(folder, 101)
    assert apply(folder, items(42)) == [4]
    check(folder, 42)
    changed = items(42)
    changed[13] = Item("13.png", "elsewhere/13.png")
    assert apply(folder, changed) == [1]
    check(folder, 42)


class Killed(BaseException):
    """In the place of a kill: nothing that we wrote tidies up after it."""


def test_no_row_is_lost_or_doubled_whatever_moment_a_run_ends_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every call that changes the disk, before and after."""
    folder = tmp_path / "out"
    rng = random.Random(0)
    left = 0
    changes = {
        (Path, "replace"): Path.replace,
        (Path, "unlink"): Path.unlink,
        (pq, "write_table"): pq.write_table,
    }

    def mortal(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                # What a dead process does no more.
                raise Killed
            found = change(*arguments, **options)
            left -= 1
            if left < 0:
                raise Killed
            return found

        return run

    for (owner, name), change in changes.items():
        monkeypatch.setattr(owner, name, mortal(change))
    kills = 0
    for attempt in range(400):
        left = rng.randrange(1, 25)
        try:
            apply(folder, items(95))
        except Killed:
            kills += 1
            if attempt % 3 == 0:
                # As a run that was killed while it wrote leaves it.
                (folder / ".part-000003.parquet.partial").write_bytes(b"half")
            continue
        break
    left = 10**9
    assert kills > 5
    assert apply(folder, items(95)) == []
    check(folder, 95)


def test_other_runs_are_refused_in_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    apply(folder, items(20))
    for key, value, line in (
        ("ensemble", "f", "out/: is of other models or settings; name another folder"),
        ("slice", 20, "out/: has slices of 10 images, not of 20; give --slice"),
        ("listing", "m", "out/: is of other images; name the same files"),
    ):
        with (
            pytest.raises(UserError, match=line),
            PartsFolder(folder, RUN.model_copy(update={key: value})),
        ):
            pass
    with PartsFolder(folder, RUN), pytest.raises(UserError, match="out/: another run writes here"):
        PartsFolder(folder, RUN).__enter__()
    (folder / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"out/run.json: is damaged"), PartsFolder(folder, RUN):
        pass
    (folder / "run.json").unlink()
    with pytest.raises(UserError, match=r"out/: holds other things"), PartsFolder(folder, RUN):
        pass
    check_parts_are_left = sorted(each.name for each in folder.iterdir())
    assert "part-000001.parquet" in check_parts_are_left
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / ".run.json.partial").write_text("{")
    assert apply(fresh, items(20)) == [0, 1]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/: cannot be written \(File exists"):
        PartsFolder(tmp_path / "file", RUN).__enter__()


def test_slices_are_cut_as_they_are_asked_for() -> None:
    taken = []

    def counted() -> Iterator[Item]:
        for each in items(25):
            taken.append(each)
            yield each

    slices = cut_up(counted(), 10)
    first = next(slices)
    assert len(taken) == 10
    sizes = [len(first.items), *(len(each.items) for each in slices)]
    assert sizes == [10, 10, 5]
    assert first.digest != Slice(0, first.items[:9]).digest
    assert first.digest != Slice(0, (first.items[0]._replace(row=1), *first.items[1:])).digest
    assert [whole_batches(1000, each) for each in (1, 64, 1000, 1001)] == [1000, 1024, 1000, 1001]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_one_file_is_there_once_all_went_well(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_text("before")
    with suppress(Killed), TableFile(path) as file:
        for slice in cut_up(items(60), 10):
            file.write(label(slice))
            assert path.read_text() == "before"
        raise Killed
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with TableFile(path) as file:
        for slice in cut_up(items(95), 10):
            file.write(label(slice))
    good = [each for each in range(95) if each % 7]
    if suffix == ".parquet":
        assert pq.read_table(path)["x"].to_pylist() == good
    else:
        rows = [f"{each}.png,{float(each)}" for each in good]
        assert path.read_text().splitlines() == ["image,x", *rows]
    assert len(file.problems()) == 14
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_bad_images_are_named_up_to_a_limit(tmp_path: Path) -> None:
    done = label(Slice(0, tuple(items(10))))
    many = done._replace(bad=[BadImage(f"{each}.png", "is bad") for each in range(NAMED + 5)])
    with TableFile(tmp_path / "out.csv") as file:
        file.write(many)
        file.write(many)
    said = file.problems()
    assert len(said) == NAMED + 1
    assert said[0] == "0.png: is bad; it is left out"
    assert said[-1].partition("out.csv: ")[2].startswith(f"{NAMED + 10} more images cannot be used")
    assert replace(done.deep, dark=0).warning() is None
