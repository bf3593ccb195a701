"""Features never take more of the disk than they may; the longest unused go."""

import os
from pathlib import Path

import numpy as np

from foldwise.features import kept
from foldwise.features.kept import (
    remove_oldest,
)
from tests.features.asking import IMAGES, Asked


def write_kept(path: Path, size: int, used: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    path.with_name(f"{path.name}.sha256").write_text("sum")
    os.utime(path, (used, used))
    return path


def test_the_longest_unused_go_until_the_rest_fits(tmp_path: Path) -> None:
    made = [write_kept(tmp_path / f"{each:016x}-0.npy", 100, 10 - each) for each in range(5)]
    remove_oldest(tmp_path, 500)
    assert all(each.exists() for each in made)
    remove_oldest(tmp_path, 250)
    assert [each.exists() for each in made] == [True, True, False, False, False]
    assert len(list(tmp_path.glob("*.sha256"))) == 2
    # What is used stays, whatever it takes; the rest goes as far as is needed.
    remove_oldest(tmp_path, 50, used=[made[1]])
    assert [each.exists() for each in made] == [False, True, False, False, False]


def test_folders_of_earlier_versions_count_and_go(tmp_path: Path) -> None:
    old = write_kept(tmp_path / "0123456789abcdef" / "features.npy", 100, 1)
    new = write_kept(tmp_path / f"{1:016x}-0.npy", 100, 2)
    remove_oldest(tmp_path, 150)
    assert not old.parent.exists()
    assert new.exists()


def test_what_another_process_computes_or_opens_stays(tmp_path: Path) -> None:
    mine = write_kept(tmp_path / f"{1:016x}-0.npy", 100, 1)
    half = write_kept(tmp_path / f"{1:016x}-1.partial.npy", 100, 1)
    other = write_kept(tmp_path / f"{2:016x}-0.npy", 100, 2)
    with kept._locked(tmp_path, f"{1:016x}"):
        remove_oldest(tmp_path, 0)
        assert mine.exists()
        assert half.exists()
        assert not other.exists()
    remove_oldest(tmp_path, 0)
    assert not mine.exists()
    assert not half.exists()


def test_features_never_take_more_than_their_limit(asked: Asked) -> None:
    asked()
    (path,) = asked.files
    one = path.stat().st_size
    for views, wanted in ((1, 1), (2, 2), (3, 3), (1, 3), (2, 3)):
        names = ("identity", "hflip", "vflip")[:views]
        asked(views=names, features_gb=3.5 * one / 1e9)
        assert len(asked.files) == wanted
    os.utime(path)  # `identity` was used last
    rotated = ("rot90", "rot180", "rot270", "transpose")
    found = asked(views=rotated, features_gb=2.5 * one / 1e9)
    # Those of this call stay, beyond the limit; nothing else does.
    assert len(asked.files) == 4
    assert path not in asked.files
    asked(views=("rot90",), features_gb=2.5 * one / 1e9)
    assert len(asked.files) == 2
    # Who has opened them reads on.
    assert np.allclose(found.through(1, asked.ids), asked.by_network("rot180"), atol=1e-2)


def test_use_is_what_counts_not_age(asked: Asked) -> None:
    for view in ("identity", "hflip", "vflip"):
        asked(views=(view,))
    (path, *_) = asked.files
    one = path.stat().st_size
    for number, each in enumerate(asked.files):
        os.utime(each, (number, number))
    asked(views=("identity",))
    asked(views=("rot90",), features_gb=2.5 * one / 1e9)
    assert asked.passes(views=("identity",)) == 0
    assert asked.passes(views=("hflip", "vflip")) == IMAGES * 2
