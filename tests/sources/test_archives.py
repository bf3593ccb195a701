"""Archives: read in place like folders; nothing unsafe in them is."""

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldwise.core.errors import UserError
from foldwise.sources import archive_checks, archives, zip_archive
from foldwise.sources import tree as tree_module
from foldwise.sources.tree import Tree
from foldwise.sources.tree_mount import open_tree
from tests.pictures import write

FILES = {"set/a.txt": b"one", "set/sub/b.txt": b"two", "set/.hidden": b"", "__MACOSX/x": b""}


def make_zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes] = FILES) -> Path:
    openers: dict[str, Any] = {".gz": gzip.open, ".tgz": gzip.open}
    openers |= {".bz2": bz2.open, ".xz": lzma.open, ".tar": open}
    with openers[path.suffix](path, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def content(tree: Tree) -> dict[str, bytes]:
    return {name: tree.read(name) for name in tree.files}


@pytest.mark.parametrize("name", ["set.zip", *(f"set{each}" for each in archives.SUFFIXES[1:])])
def test_an_archive_is_read_like_the_folder(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    make: Callable[..., Path] = make_zip if name.endswith(".zip") else make_tar
    path = make(tmp_path / "in" / name)
    write(tmp_path / "in", {"table.csv": "x"})
    inside = {"set/a.txt": b"one", "set/sub/b.txt": b"two", "table.csv": b"x"}
    assert content(open_tree([tmp_path / "in"])) == inside
    # The archive itself as data.path, and one that was packed without its folder.
    assert content(open_tree([path])) == {"a.txt": b"one", "sub/b.txt": b"two"}
    path.unlink()
    make(path, {"a.txt": b"one", "sub/b.txt": b"two"})
    assert content(open_tree([tmp_path / "in"])) == inside
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


def test_a_folder_comes_before_its_archive(tmp_path: Path) -> None:
    make_zip(tmp_path / "set.zip")
    write(tmp_path, {"set/a.txt": "unpacked"})
    assert content(open_tree([tmp_path])) == {"set/a.txt": b"unpacked"}


def test_several_archives_make_one_tree(tmp_path: Path) -> None:
    one = make_tar(tmp_path / "one.tar", {"kit/a": b"1", "kit/same": b"s"})
    two = make_zip(tmp_path / "two.zip", {"kit/b": b"2", "kit/same": b"s"})
    single = write(tmp_path, {"c.json": "3"}) / "c.json"
    tree = open_tree([one, two, single])
    assert content(tree) == {"kit/a": b"1", "kit/b": b"2", "kit/same": b"s", "c.json": b"3"}
    make_zip(two, {"kit/same": b"other"})
    with pytest.raises(UserError, match=r"two\.zip: kit/same: differs from .*one\.tar: kit/same"):
        open_tree([one, two])


def test_links_to_folders_are_told_at_once(tmp_path: Path) -> None:
    """DVC hashes nothing behind them; behind links to files, and `data.path` itself, it does."""
    write(tmp_path, {"elsewhere/x": "1", "in/a/own": "2", "in/.cache/x": "3"})
    make_zip(tmp_path / "kit.zip", {"z": b"4"})
    (tmp_path / "in/a/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/.hidden").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError) as error:
        open_tree([tmp_path / "in"])
    assert sorted(line.split(": ")[0] for line in error.value.args) == [
        str(tmp_path / "in/a/up"),
        str(tmp_path / "in/b"),
    ]
    assert all("is a link to a folder" in line and "cp -al" in line for line in error.value.args)
    (tmp_path / "in/a/up").unlink()
    (tmp_path / "in/b").unlink()
    (tmp_path / "in/file").symlink_to(tmp_path / "elsewhere/x")
    (tmp_path / "in/set.zip").symlink_to(tmp_path / "kit.zip")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert content(open_tree([tmp_path / "link"])) == {"a/own": b"2", "file": b"1", "set/z": b"4"}


def test_a_link_to_itself_is_named_and_hides_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, {"in/a/x": "1", "in/b/y": "2", "else/z": "3"})
    (tmp_path / "in/a/loop").symlink_to("loop")
    (tmp_path / "in/a/.hidden").symlink_to(".hidden")
    (tmp_path / "in/a/zoo").symlink_to(tmp_path / "else")
    with pytest.raises(UserError) as error:
        open_tree([tmp_path / "in"])
    loop, zoo = error.value.args
    assert loop.startswith(f"{tmp_path}/in/a/loop: cannot be read (Too many levels")
    assert zoo.startswith(f"{tmp_path}/in/a/zoo: is a link to a folder")
    (tmp_path / "in/a/loop").unlink()
    (tmp_path / "in/a/zoo").unlink()
    assert list(open_tree([tmp_path / "in"]).files) == ["a/x", "b/y"]


def test_what_is_no_file_is_refused_when_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    tree = open_tree([tmp_path])
    with pytest.raises(ValueError, match="a device or a pipe"):
        tree.read("pipe")
    with pytest.raises(ValueError, match="cannot be read"):
        tree.read("nowhere")
    write(tmp_path, {"a\tb.png": "x"})
    with pytest.raises(UserError, match="control characters"):
        open_tree([tmp_path])


def test_a_tar_without_its_end_is_cut_off(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "set.tar", {"a": bytes(512), "b": bytes(512)})
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(UserError, match=r"set\.tar: has no end mark, so it is cut off"):
        open_tree([path])


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.txt", "a/../../up.txt", "C:/x", "a\\b"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_paths_that_lead_out_are_refused(
    tmp_path: Path, name: str, make: Callable[..., Path]
) -> None:
    path = make(tmp_path / ("set.zip" if make is make_zip else "set.tar"), {"ok": b"", name: b"x"})
    with pytest.raises(UserError, match=r"absolute|leads out") as error:
        open_tree([path])
    assert str(path) in str(error.value)
    assert len(error.value.args) == 1


@pytest.mark.parametrize("kind", ["SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"])
def test_links_and_devices_in_tar_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("odd")
        member.type = getattr(tarfile, kind)
        member.linkname = "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UserError, match=r"set\.tar: odd: is a link, a device"):
        open_tree([path])


def test_links_and_repeated_files_in_zip_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("odd")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
        archive.writestr("twice", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("twice", "2")
    with pytest.raises(UserError) as error:
        open_tree([path])
    link, twice = error.value.args
    assert "set.zip: odd: is a link or a device" in link
    assert "set.zip: twice: is in the archive twice" in twice


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", {"a": b"x"})
    data = bytearray(path.read_bytes())
    # The flag's place in the central directory's entry.
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="a: is encrypted"):
        open_tree([path])


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz"])
def test_bombs_are_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_checks, "SMALL", 10**6)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros", bytes(5 * 10**6))
    else:
        make_tar(path, {"zeros": bytes(5 * 10**6)})
    with pytest.raises(UserError, match=r"bomb.*: would unpack to .* times its size"):
        open_tree([path])
    monkeypatch.setattr(archive_checks, "SMALL", 10**8)
    assert len(open_tree([path]).read("zeros")) == 5 * 10**6


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz", "set.tar.xz"])
def test_damaged_archives_are_named(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make: Callable[..., Path] = make_zip if name.endswith(".zip") else make_tar
    path = make(tmp_path / name, {"a": os.urandom(5000), "b": os.urandom(5000)})
    whole = path.read_bytes()
    for damaged in (b"", b"nonsense" * 100, whole[:3000]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=f"{name}: .*get it anew"):
            open_tree([path])


KINDS = {"set.zip": "a zip", "set.tar": "a plain tar", "set.tgz": "a gzip"}
KINDS |= {"set.tar.gz": "a gzip", "set.tar.bz2": "a bzip2", "set.tar.xz": "an xz"}


@pytest.mark.parametrize("called", KINDS)
@pytest.mark.parametrize("made", KINDS)
def test_an_archive_called_like_another_kind_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, called: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make: Callable[..., Path] = make_zip if made.endswith(".zip") else make_tar
    path = make(tmp_path / made).rename(tmp_path / called)
    if KINDS[made] == KINDS[called]:
        assert len(open_tree([path]).files) == 2
        return
    with pytest.raises(UserError) as error:
        open_tree([path])
    suffix = {"set.tgz": ".tar.gz"}.get(made, made[3:])
    assert error.value.args == (
        f"{path}: is {KINDS[made]} file by its content, not {KINDS[called]} file; rename it to end "
        f"in {suffix}",
    )


def test_a_damaged_member_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "set.zip", {"a": b"content of a file"})
    path.write_bytes(path.read_bytes().replace(b"content of", b"contents f"))
    tree = open_tree([path])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        tree.read("a")
    with pytest.raises(UserError, match=r"set\.zip: a: cannot be unpacked"):
        tree.require("a")


def test_paths_that_are_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such file or folder; set data\.path"):
        open_tree([tmp_path / "nowhere"])
    write(tmp_path, {"data.rar": ""})
    with pytest.raises(UserError, match=r"data\.rar: is neither a folder nor an archive"):
        open_tree([tmp_path / "data.rar"])
    with pytest.raises(UserError, match=r"a\.csv: no such file"):
        open_tree([tmp_path]).require("a.csv")


def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything: another's error is raised in its place."""
    write(tmp_path, {"in/a/x": "1", "in/b/x": "2"})
    archive = make_zip(tmp_path / "s.zip")
    packed = make_tar(tmp_path / "s.tar.gz")

    def refuse(path: Any = "", *_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    scan = os.scandir
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", lambda path: (refuse if path.name == "b" else scan)(path))
        with pytest.raises(UserError, match=r"in/b: cannot be read \(Permission denied\)"):
            open_tree([tmp_path / "in"])
    with monkeypatch.context() as patch:
        patch.setattr(io, "FileIO", refuse)
        with pytest.raises(UserError, match=r"s\.zip: cannot be read \(Permission denied\)"):
            open_tree([archive])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        tree = open_tree([tmp_path / "in"])
        with pytest.raises(UserError, match=r"in/a/x: cannot be read \(Permission denied\)"):
            tree.require("a/x")
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", refuse)
        with pytest.raises(UserError, match=r"cannot be written .*s\.tar\.gz is unpacked here"):
            open_tree([packed])


def test_a_file_may_only_be_so_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"small": bytes(100), "large": bytes(3 * 2**20)}
    paths = [make_zip(tmp_path / "s.zip", files), make_tar(tmp_path / "s.tar", files)]
    for module in (archive_checks, tree_module):
        monkeypatch.setattr(module, "LARGEST", 2**20)
    for path in paths:
        with pytest.raises(UserError, match="large: has 3 MiB, over the 1 of any single file"):
            open_tree([path])
    write(tmp_path / "in", {**files})
    tree = open_tree([tmp_path / "in"])
    assert tree.read("small") == files["small"]
    with pytest.raises(ValueError, match="has 3 MiB"):
        tree.read("large")


@pytest.mark.parametrize("method", sorted(zip_archive.METHODS))
@pytest.mark.parametrize("size", [0, 1, 3 * 2**20 + 7])
def test_every_way_to_pack_a_zip_is_read(tmp_path: Path, method: int, size: int) -> None:
    files = {"a": b"\1\2\3" * (size // 3), "b": os.urandom(size), "c": bytes(size)}
    with zipfile.ZipFile(tmp_path / "s.zip", "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert content(open_tree([tmp_path / "s.zip"])) == files
