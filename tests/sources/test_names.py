"""Names of classes, ids and groups, and what archives make of names in code pages."""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldwise.commands import apply
from foldwise.core.errors import UserError
from foldwise.evaluation.submission import submission
from foldwise.evaluation.tables import MEAN
from foldwise.sources.annotations import load_annotations
from foldwise.sources.class_names import RESERVED, check_names
from foldwise.sources.folder import load_folder
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.table import load_table
from foldwise.sources.tree_mount import open_tree
from tests.pictures import load, write
from tests.sources.hostile_archives import named, with_field

HANGUL = "한글.png"


def source(**changed: Any) -> Source:
    given: dict[str, Any] = {
        "name": "s",
        "task": "multilabel",
        "classes": ["cat", "dog"],
        "ids": ["1", "2"],
        "parts": ["train", "train"],
        "labels": np.array([[1, 0], [0, 1]], np.int8),
        "read": lambda _: b"",
        "label": lambda position: f"image {position}",
    }
    return Source(**(given | changed))


def test_columns_beside_classes_are_reserved() -> None:
    table = source(groups=["a", "b"], folds=[0, 1]).table([0, 1])
    assert set(table.columns) - {"cat", "dog"} <= RESERVED
    assert MEAN in RESERVED
    for column in ("image", "labels", "agreement"):
        assert f"`{column}`" in (apply.__doc__ or "")
        assert column in RESERVED


@pytest.mark.parametrize("name", [*sorted(RESERVED), "row", "answer"])
def test_reserved_classes_are_refused(name: str) -> None:
    form = {"index": "row", "class": "answer"}
    with pytest.raises(UserError, match=f"^in: class '{name}': is called like a column .*{name}_"):
        check_names(source(classes=["cat", name], submission=form), "in")
    check_names(source(classes=["cat", name.title()], submission=form), "in")


def test_the_header_of_the_submission_is_reserved() -> None:
    """What would otherwise be a second column of one name."""
    given = source(classes=["cat", "photo"], submission={"index": "photo"})
    dataset = {"classes": given.classes, "submission": {"columns": given.classes, "index": "photo"}}
    with pytest.raises(ValueError, match="already exists"):
        submission(dataset, given.ids, np.zeros(2, int), given.labels)
    with pytest.raises(UserError, match="class 'photo'"):
        check_names(given, "in")


ODD = ["\x1b[2J", "a\0", "a\nb", "\u2028", "\u2029", "\ud800", "\x85", "\x7f"]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("where", ["classes", "ids", "groups"])
def test_control_characters_are_refused_in_every_name(where: str, name: str) -> None:
    with pytest.raises(UserError, match="holds control characters; rename it") as error:
        check_names(source(**{where: ["ok", name]}), "in")
    assert error.value.args[0].isprintable()
    assert ascii(name)[1:-1] in error.value.args[0]


@pytest.mark.parametrize("name", ["\u202eabc", '"a", <b>', "=1+1", "a\u200bb", "🐈", "a;b|c", "-1"])
def test_any_other_text_is_a_name(name: str) -> None:
    check_names(source(classes=["x", name], ids=["1", name], groups=["", name]), "in")


def test_blank_names_and_names_there_twice_are_refused() -> None:
    for changed, said in (
        ({"classes": ["a", " "]}, "number 1 has no name"),
        ({"classes": ["a", "a"]}, "'a': is there twice"),
        ({"ids": ["1", "\u3000"]}, "image 1: has no name"),
    ):
        with pytest.raises(UserError, match=said):
            check_names(source(**changed), "in")


def test_odd_names_are_refused_in_tables_and_annotations(tmp_path: Path) -> None:
    write(tmp_path, {"i/a.png": 1, "t.csv": "file,x\x1b,y\na.png,1,1\n"})
    table = {"file": "t.csv", "images": "i", "labels": "columns"}
    with pytest.raises(UserError, match=r"t\.csv: header 'x\\x1b' holds control characters"):
        load(load_table, {"source": "table", "path": str(tmp_path), "table": table})
    write(
        tmp_path,
        {"answer.json": r'{"annotations": [{"file_name": "a.png", "category": "\ud800"}]}'},
    )
    settings = {"train_images": "i", "test_images": None}
    given = {"source": "annotations", "path": str(tmp_path), "annotations": settings}
    with pytest.raises(UserError, match=r"annotations\[0\]: needs .* without control characters"):
        load(load_annotations, given)


def test_classes_of_the_settings_are_read_like_those_of_the_data(tmp_path: Path) -> None:
    write(tmp_path, {"e\u0301/a.png": 1, "b/a.png": 2})
    data = {"source": "folder", "path": str(tmp_path), "classes": ["\u00e9 ", "b"]}
    assert load(load_folder, data).classes == ["\u00e9", "b"]
    data["classes"] = ["b", "\x1b"]
    with pytest.raises(UserError, match=r"'\\x1b'") as error:
        load(load_folder, data)
    assert all(line.isprintable() for line in error.value.args)


def zip_of(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("encoding", ["cp949", "utf-8", "euc-kr"])
def test_names_in_the_code_page_that_was_told(tmp_path: Path, encoding: str) -> None:
    path = zip_of(tmp_path / "s.zip", named(HANGUL.encode(encoding)))
    assert list(open_tree([path], encoding).files) == [HANGUL]
    assert open_tree([path], encoding).read(HANGUL) == b"x"
    # Beside other files too, as downloads and as an archive in data.path.
    assert list(open_tree([tmp_path], encoding).files) == [f"s/{HANGUL}"]


def test_names_in_a_code_page_that_nobody_told_are_refused(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "s.zip", named(HANGUL.encode("cp949")))
    for encoding in (None, "ascii"):
        with pytest.raises(UserError, match=r"s\.zip: .*set data\.zip_encoding") as error:
            open_tree([path], encoding)
        assert len(error.value.args) == 1
    path = zip_of(path, named(HANGUL.encode(), 0x800))
    assert list(open_tree([path], "cp949").files) == [HANGUL]


def test_info_zips_own_name_counts(tmp_path: Path) -> None:
    field = struct.pack("<BI", 1, zlib.crc32(b"plain.png")) + HANGUL.encode()
    path = zip_of(tmp_path / "s.zip", with_field("plain.png", 0x7075, field))
    assert list(open_tree([path]).files) == [HANGUL]


def test_zips_that_python_writes_need_no_setting(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(HANGUL, b"x")
    assert list(open_tree([tmp_path / "s.zip"]).files) == [HANGUL]


@pytest.mark.parametrize("name", ["cp9499", "hex", "utf-16", "", "a\0b"])
def test_unknown_code_pages_are_refused_in_the_settings(name: str) -> None:
    with pytest.raises(ValueError, match="is no code page"):
        Data.model_validate(
            {"source": "folder", "path": "in", "extra_path": "extra", "zip_encoding": name}
        )
