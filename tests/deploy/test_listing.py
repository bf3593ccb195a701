"""What is to be labelled: folders, lists, tables, archives, and the same by address."""

import io
import random
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldwise.core.errors import UserError
from foldwise.deploy import folders
from foldwise.deploy.containers import ParquetRows
from foldwise.deploy.listing import Listing
from foldwise.images.decode import SUFFIXES

CONTENT = {f"{number}.png": f"image {number}".encode() for number in range(40)}


def write_tar(path: Path, content: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in content.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))


def names(*named: str, lists: tuple[str, ...] = ()) -> list[str]:
    listing = Listing(named, lists)
    found = [item.name for item in listing]
    assert [item.name for item in listing] == found
    return found


@pytest.mark.parametrize("held", [3, 1000])
def test_a_folder_is_in_pathlibs_order_however_few_names_are_held(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "HELD", held)
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    odd = [
        "a.png",
        "a/z.png",
        "a-b/y.png",
        "a b.png",
        "é.jpg",
        "n\udcff.png",
        "li\nne.png",
        "A.PNG",
    ]
    for name in [
        *odd,
        *(f"{rng.choice('ab')}/{rng.random()}/{rng.random()}.png" for _ in range(30)),
    ]:
        path = Path("in") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("in/link").symlink_to("a")
    Path("in/folder.png").mkdir()
    Path("in/other.png").symlink_to("a")
    wanted = [
        str(each)
        for each in sorted(Path("in").rglob("*"))
        if each.suffix.lower() in SUFFIXES and not each.is_dir()
    ]
    assert len(wanted) == 38
    assert names("in") == wanted
    assert names(".", "./in/") == wanted
    # Links to folders are not followed, so what is behind them is listed once it is named.
    assert names("in", "in/link/z.png", "in/a/z.png", "in/gone.png") == [
        *wanted,
        "in/link/z.png",
        "in/gone.png",
    ]
    assert sorted(names("in/a", "in", "in/a")) == sorted(wanted)


def test_lists_hold_paths_and_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tar(Path("x.tar"), {"b.png": b"b", "a.png": b"a"})
    Path("l.txt").write_bytes(b"\xef\xbb\xbf1.png\r\n\nn\xff.png\nx.tar\n1.png")
    wanted = ["1.png", "n\udcff.png", "x.tar/b.png", "x.tar/a.png", "1.png"]
    assert names("l.txt") == wanted
    Path("l.txt").rename("l")
    assert names("2.png", lists=("l",)) == ["2.png", *wanted]
    assert Listing([], ["l"]).count() == 5
    Path("void.txt").touch()
    listing = Listing(["void.txt"])
    assert list(listing) == []
    assert listing.problems == ["void.txt: holds no images; it is left out"]
    with pytest.raises(UserError, match=r"\Agone.txt: cannot be read \(No such file"):
        names("gone.txt")


def test_a_tar_file_is_read_in_place(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    extra = {"./c/d.jpg": b"d", ".hidden/e.png": b"e", "f.txt": b"f", "c/._d.jpg": b"g"}
    write_tar(path, CONTENT | extra)
    with tarfile.open(path, "a") as archive:
        linked = tarfile.TarInfo("link.png")
        linked.type, linked.linkname = tarfile.SYMTYPE, "0.png"
        archive.addfile(linked)
    items = list(Listing([str(path)]))
    assert [item.name for item in items] == [f"{path}/{each}" for each in [*CONTENT, "c/d.jpg"]]
    data = path.read_bytes()
    for item, wanted in zip(items, [*CONTENT.values(), b"d"], strict=True):
        assert item.start is not None
        assert item.size is not None
        assert data[item.start : item.start + item.size] == wanted
    path.write_bytes(data[: len(data) // 2 - 300])
    with pytest.raises(UserError, match=r"x.tar: is damaged \(.*get it anew"):
        list(Listing([str(path)]))
    path.write_bytes(b"no tar file" * 100)
    with pytest.raises(UserError, match=r"x.tar: is damaged"):
        Listing([str(path)]).count()


STRUCT = [{"bytes": data, "path": name} for name, data in CONTENT.items()]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"bytes": list(CONTENT.values())}, False),
        ({"image": pa.array(CONTENT.values(), pa.large_binary())}, False),
        ({"label": [1] * 40, "bytes": list(CONTENT.values()), "path": list(CONTENT)}, True),
        ({"image": STRUCT}, True),
    ],
)
def test_rows_of_bytes_are_read_in_any_order(
    columns: dict[str, Any], named: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=17)
    items = list(Listing([str(path)]))
    wanted = list(CONTENT) if named else [f"{path}#{row}" for row in range(40)]
    assert [item.name for item in items] == wanted
    rows = ParquetRows()
    order = [*range(40), 5, 6, 39, 16, 17, 0, 20, 33, 34]
    for row in order:
        assert items[row].row == row
        assert rows.read(str(path), row) == list(CONTENT.values())[row]


def test_rows_of_paths(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"path": pa.array(["a.png", None, "b.png"]).dictionary_encode()}), path)
    items = list(Listing([str(path)]))
    assert [item.name for item in items] == ["a.png", f"{path}#1", "b.png"]
    assert [item.source for item in items] == ["a.png", "", "b.png"]
    pq.write_table(pa.table({"label": [1], "other": ["x"]}), path)
    with pytest.raises(
        UserError, match=r"x.parquet: has no column `bytes`.* it has label, other\Z"
    ):
        list(Listing([str(path)]))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"x.parquet: (is damaged|cannot be read) \("):
        list(Listing([str(path)]))
    with pytest.raises(UserError, match=r"gone.parquet: cannot be read \(No such file"):
        list(Listing([str(tmp_path / "gone.parquet")]))


def to_memory(folder: Path) -> str:
    fs = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            fs.pipe(f"/bucket/{path.relative_to(folder)}", path.read_bytes())
    return "memory://bucket"


@pytest.mark.parametrize("store", [Path.as_uri, to_memory])
def test_stores_are_listed_as_folders_are(store: Callable[[Path], str], tmp_path: Path) -> None:
    for name in ("b/2.png", "b/1.JPG", "a.png", "b/c/3.webp", "b/.git/4.png", "b/read.me"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    write_tar(tmp_path / "x.tar", CONTENT)
    pq.write_table(pa.table({"bytes": list(CONTENT.values())}), tmp_path / "x.parquet")
    address = store(tmp_path)
    (tmp_path / "l.txt").write_text(f"{address}/a.png\n{address}/x.tar\n")
    store(tmp_path)
    wanted = ["a.png", "b/1.JPG", "b/2.png", "b/c/3.webp"]
    assert [
        name.partition("bucket/")[2] or name[len(address) + 1 :] for name in names(address)
    ] == wanted
    items = list(Listing([f"{address}/x.tar", f"{address}/x.parquet", f"{address}/b/*.png"]))
    assert len(items) == 2 * len(CONTENT) + 1
    assert items[-1].name.endswith("b/2.png")
    assert len(names(f"{address}/l.txt")) == 1 + len(CONTENT)
    rows = ParquetRows()
    assert rows.read(items[50].source, 10) == CONTENT["10.png"]
    assert Listing([address]).count() is None
    assert Listing([f"{address}/a.png"]).count() == 1
    with pytest.raises(UserError, match=r"gone.tar: cannot be read"):
        names(f"{address}/gone.tar")


def test_a_store_without_its_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)
    for address, line in {
        "s3://bucket/photos": r"\As3://bucket/photos: needs s3fs; `pip install s3fs`, then again\Z",
        "gs://bucket/x.tar": r"\Ags://bucket/x.tar: needs gcsfs; `pip install gcsfs`",
        "quark://a/l.txt": r"\Aquark://a/l.txt: is no address of a store \(Protocol not known",
    }.items():
        with pytest.raises(UserError, match=line):
            names(address)
