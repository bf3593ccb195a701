"""What a data set is, found out without a flag; and the flags, where two readings are possible."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldwise.core.errors import UserError
from foldwise.starting.finding import DataSet, Given, find
from foldwise.starting.reading import Wishes
from tests.pictures import write
from tests.starting import layouts, tables
from tests.starting.layouts import LAYOUTS
from tests.starting.wanted import Wanted, numbered


def found(path: Path, **wishes: Any) -> DataSet:
    return find(Given([path], str(path)), Wishes(**wishes), "extra")


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_layout_is_found_without_a_flag(make: Callable[[Path], Wanted], tmp_path: Path) -> None:
    wanted = make(tmp_path)
    data = found(tmp_path)
    section = {wanted.source: wanted.keys} if wanted.keys else {}
    own = {"source": wanted.source, "path": str(tmp_path), "extra_path": "extra"}
    assert data.data == own | section | wanted.more
    assert data.reading.split == wanted.split
    assert data.source.classes == wanted.classes
    assert data.source.task == wanted.task
    parts = Counter(data.source.parts)
    assert (parts["train"], parts["test"]) == (wanted.train, wanted.test)
    assert data.dropped == []
    assert data.others == []
    assert len(set(data.source.ids)) == len(data.source.ids)


def lesions(path: Path) -> Path:
    tables.lesions(path)
    return path


def test_a_flag_decides_between_columns(tmp_path: Path) -> None:
    lesions(tmp_path)
    said = "\n".join(found(tmp_path).reading.choices)
    assert "--label-column dx_type" in said
    assert "--label-column localization" in said
    assert "'age'" not in said
    data = found(tmp_path, label_column=("localization",), group_column="")
    assert data.source.classes == ["back", "face"]
    assert data.source.groups is None
    assert data.reading.split == {}
    data = found(tmp_path, label_column=("dx_type",), group_column="dx", id_column="image_id")
    assert data.source.classes == ["follow_up", "histo"]
    assert data.source.groups is not None


def test_other_columns_are_told_with_their_flag(tmp_path: Path) -> None:
    rows = [f"{each}.png,{'xy'[each % 2]},{'abc'[each % 3]}" for each in range(12)]
    write(tmp_path, {"t.csv": "\n".join(["file,label,category", *rows])})
    write(tmp_path, {f"{each}.png": each for each in range(12)})
    data = found(tmp_path)
    assert data.source.classes == ["x", "y"]
    assert "--label-column category" in "\n".join(data.reading.choices)
    data = found(tmp_path, label_column=("category",))
    assert data.source.classes == ["a", "b", "c"]
    assert data.reading.choices == []


def test_class_folders_beside_a_table_are_told(tmp_path: Path) -> None:
    rows = [f"{'ab'[each % 2]}/{each}.png,{'xyz'[each % 3]}" for each in range(12)]
    write(tmp_path, {"t.csv": "\n".join(["file,label", *rows])})
    write(tmp_path, {f"{'ab'[each % 2]}/{each}.png": each for each in range(12)})
    data = found(tmp_path)
    assert data.data["source"] == "table"
    assert [each.data["source"] for each in data.others] == ["folder"]
    assert found(tmp_path, source="folder").source.classes == ["a", "b"]


def test_another_test_part_or_none(tmp_path: Path) -> None:
    tables.kaggle_columns(tmp_path)
    data = found(tmp_path, test="")
    assert "test" not in data.data["table"]
    # Images of the test part have no row then.
    assert len(data.dropped) == 4
    assert data.data["on_error"] == "skip"


def test_rows_without_an_image_are_told(tmp_path: Path) -> None:
    lesions(tmp_path)
    (tmp_path / "images/I7.jpg").unlink()
    data = found(tmp_path)
    assert len(data.dropped) == 1
    assert "I7" in data.dropped[0]["reason"]
    assert data.data["on_error"] == "skip"


def test_a_code_page_is_asked_for_and_taken(tmp_path: Path) -> None:
    trees = "B\u00e4ume"
    rows = [f"{each}.png,{(trees, 'x')[each % 2]}" for each in range(6)]
    text = "\n".join(["file,label", *rows]).encode("cp1252")
    write(tmp_path, {"t.csv": text, **{f"a/{each}.png": each for each in range(3)}})
    write(tmp_path, {f"b/{each}.png": each for each in range(3, 6)})
    with pytest.raises(
        UserError, match=r"t.csv: row 2: is not UTF-8; .*--encoding.*--source folder"
    ):
        found(tmp_path)
    assert found(tmp_path, source="folder").source.classes == ["a", "b"]
    data = found(tmp_path, encoding="cp1252")
    assert data.source.classes == [trees, "x"]
    assert data.data["table"]["encoding"] == "cp1252"
    assert data.data["table"]["images"] == "**"
    (tmp_path / "a").rename(tmp_path / "b/a")
    for named in ({}, {"table": "t.csv"}):
        with pytest.raises(UserError, match=r"t.csv: row 2: is not ascii; name another"):
            found(tmp_path, encoding="ascii", **named)


def test_a_code_page_is_no_matter_where_no_table_is_wanted(tmp_path: Path) -> None:
    layouts.voc(tmp_path)
    write(tmp_path, {"notes.csv": "f\u00fcr,x\n".encode("cp1252")})
    assert found(tmp_path).data["source"] == "voc"


@pytest.mark.parametrize("names", [("100APPLE", "101APPLE"), ("2026-07", "2026-08-01")])
def test_folders_of_a_camera_are_no_classes(names: tuple[str, str], tmp_path: Path) -> None:
    write(tmp_path, {f"DCIM/{names[each % 2]}/{each}.png": each for each in range(6)})
    with pytest.raises(UserError, match="no labels were found"):
        found(tmp_path)
    assert found(tmp_path, source="folder").source.classes == list(names)


def test_answers_beside_the_images_are_no_table(tmp_path: Path) -> None:
    layouts.class_folders(tmp_path)
    rows = [f"cat/{each}.png,{'dog' if each % 2 else 'cat'},0,0,t,right" for each in range(6)]
    write(tmp_path, {"corrections.csv": "\n".join(["id,class,was,is,when,why", *rows])})
    assert found(tmp_path).data["source"] == "folder"


def test_names_in_two_folders_are_told_with_the_flag(tmp_path: Path) -> None:
    """A camera's counter began anew: of most names there are two."""
    rows = [f"IMG_{each:04d}.JPG,{'ab'[each % 2]}" for each in range(12)]
    write(tmp_path, {"t.csv": "\n".join(["file,label", *rows])})
    write(tmp_path, {f"DCIM/100APPLE/IMG_{each:04d}.JPG": each for each in range(10)})
    write(tmp_path, {f"DCIM/101APPLE/IMG_{each:04d}.JPG": 50 + each for each in range(12)})
    data = found(tmp_path)
    assert data.data["table"]["images"] == "DCIM/101APPLE"
    said = "\n".join([*data.reading.choices, *data.reading.why])
    assert "10 of these names are in DCIM/100APPLE too: --images DCIM/100APPLE" in said
    assert "10 images elsewhere are not used, such as DCIM/100APPLE/" in said
    other = found(tmp_path, images="DCIM/100APPLE")
    assert other.data["table"]["images"] == "DCIM/100APPLE"
    assert len(other.source.ids) == 10
    # Anywhere: then it is the rows that must say where.
    both = found(tmp_path, images="DCIM/**")
    assert len(both.source.ids) == 2
    reasons = "\n".join(each["reason"] for each in both.dropped)
    assert "may be DCIM/100APPLE/IMG_0003.JPG or DCIM/101APPLE/IMG_0003.JPG" in reasons


def test_the_folder_that_is_named_is_the_train_parts(tmp_path: Path) -> None:
    tables.kaggle_two_folders(tmp_path)
    data = found(tmp_path, images="train_images")
    assert data.data["table"]["test_images"] == "test_images"
    assert data.source.parts.count("test") == 4


def test_rows_without_a_class_are_told_and_left_out(tmp_path: Path) -> None:
    labels = ["x", "y", "", "x", "y", "x", "", "y", "x", "y"]
    rows = [f"{each}.png,{label},{each % 3}" for each, label in enumerate(labels)]
    write(tmp_path, {"t.csv": "\n".join(["file,label,rating", *rows])})
    write(tmp_path, numbered("", 10))
    data = found(tmp_path)
    assert data.source.classes == ["x", "y"]
    assert len(data.source.ids) == 8
    assert data.data["on_error"] == "skip"
    assert [each["reason"] for each in data.dropped] == ["has no class in 'label'"] * 2


def test_columns_of_true_and_false_are_labels(tmp_path: Path) -> None:
    rows = [f"{each}.png;{'TRUE' if each % 2 else 'FALSE'};{'FALSE' if each % 3 else 'TRUE'}"
            for each in range(6)]  # fmt: skip
    write(tmp_path, {"t.csv": "\n".join(["file;Has dog;Has cat", *rows])})
    write(tmp_path, numbered("", 6))
    data = found(tmp_path)
    assert data.source.classes == ["Has dog", "Has cat"]
    assert data.source.labels.tolist() == [[each % 2, each % 3 == 0] for each in range(6)]


def test_a_few_rows_that_come_twice_are_no_rows_of_classes(tmp_path: Path) -> None:
    rows = [f"{each}.png,{'ab'[each % 2]}" for each in range(60)]
    write(tmp_path, {"t.csv": "\n".join(["file,label", *rows, "7.png,a"])})
    write(tmp_path, numbered("", 60))
    with pytest.raises(UserError, match=r"row 62: file '7\.png' appears a second time"):
        found(tmp_path)


def test_opinions_of_several_people_of_a_class_and_a_column_that_is_named(tmp_path: Path) -> None:
    rows = [
        f"{each}.png,{who},{'xyz'[(each + who) % 3]},{'pq'[each % 2]}"
        for each in range(8)
        for who in range(2)
    ]
    write(tmp_path, {"t.csv": "\n".join(["file,who,finding,kind", *rows]), **numbered("", 8)})
    data = found(tmp_path)
    assert data.data["table"] | {"label": "finding", "labels": "rows"} == data.data["table"]
    assert data.source.labels.sum(1).tolist() == [2] * 8
    # The same in all rows of an image: one class each, whoever says it.
    data = found(tmp_path, label_column=("kind",))
    assert data.data["table"]["labels"] == "rows"
    assert data.source.labels.sum(1).tolist() == [1] * 8


TITLED = "Photos of our garden\n\nfile,label\n" + "\n".join(f"{each}.png,x" for each in range(4))


def test_a_title_above_the_header_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"t.csv": TITLED, **numbered("", 4)})
    said = r"t\.csv: row 1: has 1 cell where most rows have 2; .*delete a title"
    with pytest.raises(UserError, match=said):
        found(tmp_path)
    # Where there is another way to read it, beside that.
    for each in range(4):
        (tmp_path / "ab"[each % 2]).mkdir(exist_ok=True)
        (tmp_path / f"{each}.png").rename(tmp_path / "ab"[each % 2] / f"{each}.png")
    data = found(tmp_path)
    assert data.data["source"] == "folder"
    assert "t.csv: row 1: has 1 cell" in data.reading.choices[-1]
    with pytest.raises(UserError, match=said):
        found(tmp_path, source="table")
    # Another table is no answer where this one is named.
    rows = [f"{'ab'[each % 2]}/{each}.png,{'xy'[each % 2]}" for each in range(4)]
    write(tmp_path, {"other.csv": "\n".join(["file,label", *rows])})
    assert found(tmp_path).data["table"]["file"] == "other.csv"
    with pytest.raises(UserError, match=said):
        found(tmp_path, table="t.csv")


@pytest.mark.parametrize(
    ("make", "wishes", "said"),
    [
        (layouts.class_folders, {"table": "t.csv", "source": "folder"}, "--table: is for a table"),
        (layouts.class_folders, {"label_column": ("x",)}, "--label-column: is for a table"),
        (layouts.class_folders, {"id_column": "x"}, "--id-column: is for a table"),
        (layouts.parts_of_folders, {"test": ""}, "--test: the test part of folder"),
        (tables.kaggle_columns, {"test": "nope.csv"}, "--test: no table 'nope.csv'"),
        (layouts.coco, {"test": "nope.json"}, "--test: no annotations 'nope.json'"),
        (layouts.voc, {"test": "nope"}, "--test: no list 'nope'"),
        (layouts.voc, {"encoding": "cp949"}, "--encoding: is for a table"),
    ],
)
def test_a_flag_that_decides_nothing_is_refused(
    make: Callable[[Path], Wanted], wishes: dict[str, object], said: str, tmp_path: Path
) -> None:
    make(tmp_path)
    with pytest.raises(UserError, match=said):
        found(tmp_path, **wishes)


REFUSED: dict[str, tuple[dict[str, str | bytes | int], str]] = {
    "heic": ({"a.HEIC": "ftypheic", "t.csv": "file,label\na.HEIC,x"}, "1 photos are HEIC"),
    "nothing": ({"a.txt": "a"}, "holds no images"),
    "images alone": ({"a.png": 0, "b.png": 1}, "no labels were found"),
    "yolo": ({"a.png": 0, "a.txt": "0 0.5 0.5 1 1"}, "YOLO"),
    "xml": ({"a.png": 0, "a.xml": "<annotation/>"}, "export it as COCO"),
    "excel": ({"a.png": 0, "a.xlsx": "PK"}, "save it as CSV"),
    "a single class": ({"cat/a.png": 0, "cat/b.png": 1}, "no labels were found"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    files, said = REFUSED[name]
    write(tmp_path, files)
    with pytest.raises(UserError, match=said) as error:
        found(tmp_path)
    assert len(error.value.args) == 1


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"source": "voc"}, "--source voc"),
        ({"table": "other.csv"}, "--table.*HAM10000_metadata.csv"),
        ({"label_column": ("colour",)}, "--label-column.*'colour'"),
        ({"id_column": "name"}, "--id-column.*'name'"),
        ({"group_column": "doctor"}, "--group-column.*'doctor'"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(
    wishes: dict[str, object], said: str, tmp_path: Path
) -> None:
    lesions(tmp_path)
    with pytest.raises(UserError, match=said):
        found(tmp_path, **wishes)


def test_of_two_columns_that_name_images_the_one_that_names_more_is_taken(tmp_path: Path) -> None:
    """The rows' numbers are names of half of the images."""
    names = [*(str(each) for each in range(6)), *(f"x{each}" for each in range(6))]
    rows = [f"{name},{each},{'ab'[each % 2]}" for each, name in enumerate(names)]
    write(tmp_path, {"t.csv": "\n".join(["name,row,label", *rows])})
    write(tmp_path, {f"{name}.png": each for each, name in enumerate(names)})
    data = found(tmp_path)
    assert data.data["table"]["column"] == "name"
    assert data.dropped == []
