"""Archives that were made to do harm: refused in a line or read within bounds, all of them."""

import tracemalloc
from pathlib import Path

import pytest

from foldwise.core.errors import UserError
from foldwise.sources import archive_checks
from foldwise.sources.tree_mount import open_tree
from tests.sources.hostile_archives import READ, hostile_archives

BIG = 20 * 2**20
RESERVES = {"tar.xz dictionary"}
"""LZMA reserves its dictionary, of which the system backs only what is written."""
ARCHIVES = hostile_archives(BIG)


def lines_of(path: Path) -> tuple[str, ...]:
    """What is wrong with an archive, if anything is. Another error fails the test."""
    try:
        tree = open_tree([path])
        for name in tree.files:
            tree.require(name)
    except UserError as error:
        return error.args
    return ()


@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_archives_are_refused_or_read_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(archive_checks, "SMALL", 10**6)
    path = tmp_path / f"set.{name.split()[0]}"
    path.write_bytes(ARCHIVES[name])
    tracemalloc.start()
    said = lines_of(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (not said) == (name in READ)
    assert all(str(path) in line for line in said[:20])
    assert all(line.isprintable() and len(line) < 2000 for line in said)
    # What is unpacked at once, whatever there would be of it, and the index of many files.
    assert most < 16 * 2**20 or name in RESERVES
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
