"""What each source reads, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldwise.core.errors import UserError
from foldwise.sources.annotations import load_annotations
from foldwise.sources.folder import load_folder
from foldwise.sources.source import UNLABELLED, Source
from foldwise.sources.table import load_table
from foldwise.sources.voc import load_voc
from tests.pictures import load, picture, write

NONE = int(UNLABELLED)


def xml(*objects: tuple[str, int]) -> str:
    inner = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult></object>"
        for name, difficult in objects
    )
    return f"<annotation>{inner}</annotation>"


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """VOC2007 with per-class lists for train and test, and annotations alone for val."""
    top = "VOCdevkit/VOC2007"
    main = f"{top}/ImageSets/Main"
    write(tmp_path, {f"{top}/JPEGImages/{index:06d}.jpg": index for index in range(7)})
    write(
        tmp_path,
        {
            f"{main}/train.txt": "000002\n000000\n000001\n",
            f"{main}/cat_train.txt": "000000  1\n000001 -1\n000002  0\n",
            f"{main}/dog_train.txt": "000000 -1\n000001 -1\n000002  1\n",
            f"{main}/val.txt": "000003\n000004\n",
            f"{top}/Annotations/000003.xml": xml(("dog", 1), ("cat", 0), ("cat", 1)),
            f"{top}/Annotations/000004.xml": xml(),
            f"{main}/test.txt": "000005\n000006\n",
            f"{main}/cat_test.txt": "000005 1\n000006 0\n",
            f"{main}/dog_test.txt": "000005 -1\n000006 -1\n",
        },
    )
    return tmp_path


VOC = {"train_list": "train", "valid_list": "val", "test_list": "test"}


def voc_source(root: Path, **settings: Any) -> Source:
    return load(load_voc, {"source": "voc", "path": str(root), "voc": VOC | settings})


def test_voc_lists_difficult_and_annotations(devkit: Path) -> None:
    source = voc_source(devkit)
    assert source.classes == ["cat", "dog"]
    assert source.ids == ["000002", "000000", "000001", "000003", "000004", "000005", "000006"]
    assert source.parts == ["train"] * 5 + ["test"] * 2
    assert source.folds == [-1, -1, -1, 0, 0, -1, -1]
    assert source.labels.tolist() == [
        [-1, 1],
        [1, 0],
        [0, 0],
        [1, -1],
        [0, 0],
        [1, 0],
        [-1, 0],
    ]
    assert source.read(0) == picture(2, ".jpg")
    assert source.task == "multilabel"


def test_voc_test_list_without_labels_and_other_places(devkit: Path) -> None:
    for path in (devkit / "VOCdevkit/VOC2007/ImageSets/Main").glob("*_test.txt"):
        path.unlink()
    source = voc_source(devkit / "VOCdevkit" / "VOC2007", valid_list=None)
    assert source.labels[3:].tolist() == [[NONE, NONE]] * 2
    assert source.folds is None


def test_voc_years_are_told_apart(devkit: Path) -> None:
    write(devkit, {"VOCdevkit/VOC2012/ImageSets/Main/train.txt": "1\n"})
    with pytest.raises(UserError, match=r"2007, 2012.*data\.voc\.year"):
        voc_source(devkit)
    assert len(voc_source(devkit, year=2007).ids) == 7
    with pytest.raises(UserError, match="holds no VOC2011"):
        voc_source(devkit, year=2011)


MAIN = "VOCdevkit/VOC2007/ImageSets/Main"
VOC_BREAKS: dict[str, tuple[dict[str, str | None], str]] = {
    "no list": ({f"{MAIN}/val.txt": None}, r"no list ImageSets/Main/val\.txt"),
    "empty list": ({f"{MAIN}/val.txt": "\n"}, r"val\.txt: names no image"),
    "repeated": ({f"{MAIN}/val.txt": "000003\n000003\n"}, "a second time"),
    "in two lists": ({f"{MAIN}/val.txt": "000000\n"}, "000000 is in another list"),
    "no image": (
        {f"{MAIN}/val.txt": "000099\n", "VOCdevkit/VOC2007/Annotations/000099.xml": xml()},
        "image 000099: has no file",
    ),
    "bad cell": (
        {f"{MAIN}/cat_train.txt": "000000 2\n000001 -1\n000002 1\n"},
        r"cat_train\.txt: row 1: .*1, 0 or -1",
    ),
    "class file with another image": (
        {f"{MAIN}/cat_train.txt": "000000 1\n000001 -1\n000002 1\n000005 1\n"},
        r"row 4: 000005 is not in train\.txt",
    ),
    "class file with an image twice": (
        {f"{MAIN}/cat_train.txt": "000000 1\n000001 -1\n000002 1\n000000 -1\n"},
        "row 4: 000000 is there a second time",
    ),
    "no class file of one list": (
        {f"{MAIN}/dog_test.txt": None},
        r"dog_test\.txt: no such file, though other lists",
    ),
    "class file without an image": (
        {f"{MAIN}/cat_train.txt": "000000 1\n000001 -1\n"},
        r"cat_train\.txt: has no row for 000002",
    ),
    "no annotation": ({"VOCdevkit/VOC2007/Annotations/000004.xml": None}, r"000004\.xml: no such"),
    "broken annotation": (
        {"VOCdevkit/VOC2007/Annotations/000004.xml": "<annotation>"},
        r"000004\.xml: is no readable XML",
    ),
    "object without a name": (
        {"VOCdevkit/VOC2007/Annotations/000004.xml": xml(("", 0))},
        r"000004\.xml: has an object without a name",
    ),
    "class of the test list alone": (
        {f"{MAIN}/cow_test.txt": "000005 1\n000006 1\n"},
        r"cow_train\.txt: no such file, though other lists",
    ),
}


@pytest.mark.parametrize("name", VOC_BREAKS)
def test_voc_refuses(devkit: Path, name: str) -> None:
    changes, said = VOC_BREAKS[name]
    for file, content in changes.items():
        if content is None:
            (devkit / file).unlink()
        else:
            write(devkit, {file: content})
    with pytest.raises(UserError, match=said):
        voc_source(devkit)


def course(root: Path, entries: Any, images: int = 3, **settings: Any) -> Source:
    """The course project's layout."""
    write(root, {f"train_data/{index}.jpg": index for index in range(images)})
    write(root, {"answer.json": json.dumps({"annotations": entries})})
    data = {"source": "annotations", "path": str(root), **settings}
    return load(load_annotations, data)


def entry(file: str, category: Any) -> dict[str, Any]:
    return {"file_name": file, "category": category}


def test_course_project(tmp_path: Path) -> None:
    write(tmp_path, {f"test_data/{index}.jpg": index for index in (9, 10)})
    source = course(tmp_path, [entry("0.jpg", 10), entry("1.jpg", 9), entry("2.jpg", 10)])
    assert source.classes == ["9", "10"]
    assert source.task == "multiclass"
    assert source.labels.tolist() == [[0, 1], [1, 0], [0, 1], [NONE, NONE], [NONE, NONE]]
    assert source.ids[3:] == ["test_data/9.jpg", "test_data/10.jpg"]
    assert source.read(3) == picture(9, ".jpg")
    names = course(tmp_path, [entry(f"{index}.jpg", name) for index, name in enumerate("yxy")])
    assert names.classes == ["x", "y"]


def test_both_parts_in_one_folder(tmp_path: Path) -> None:
    write(tmp_path, {"test.json": json.dumps({"annotations": [entry("2.jpg", "x")]})})
    settings = {"test": "test.json", "test_images": None}
    entries = [entry("0.jpg", "x"), entry("1.jpg", "y")]
    source = course(tmp_path, entries, annotations=settings)
    assert source.parts == ["train", "train", "test"]
    with pytest.raises(UserError, match=r"3\.jpg: has no row in answer\.json or test\.json"):
        course(tmp_path, entries, images=4, annotations=settings)


def test_both_parts_in_one_form(tmp_path: Path) -> None:
    content: dict[str, Any] = {"images": [], "categories": [], "annotations": []}
    content["images"] = [{"id": 1, "file_name": "2.jpg"}]
    write(tmp_path, {"test.json": json.dumps(content)})
    with pytest.raises(UserError, match=r"test\.json: is of another form than answer\.json"):
        course(tmp_path, GOOD, annotations={"test": "test.json"})


def test_annotations_of_a_test_part(tmp_path: Path) -> None:
    write(tmp_path, {"test_data/0.jpg": 5})
    write(tmp_path, {"truth.json": json.dumps({"annotations": [entry("0.jpg", 1)]})})
    entries = [entry("0.jpg", 0), entry("1.jpg", 1), entry("2.jpg", 1)]
    source = course(tmp_path, entries, annotations={"test": "truth.json"})
    assert source.labels[3:].tolist() == [[0, 1]]
    write(tmp_path, {"truth.json": json.dumps({"annotations": [entry("0.jpg", 7)]})})
    with pytest.raises(UserError, match=r"truth\.json: class '7' is not in the train part"):
        course(tmp_path, entries, annotations={"test": "truth.json"})


GOOD = [entry("0.jpg", 1), entry("1.jpg", 2), entry("2.jpg", 1)]
COURSE_BREAKS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no list": ("nothing", {}, 'no list "annotations"'),
    "empty": ([], {}, "has no images"),
    "repeated": ([*GOOD, entry("0.jpg", 2)], {}, r"'0\.jpg' appears a second time"),
    "no image": (
        [*GOOD, entry("7.jpg", 2)],
        {},
        r"annotations\[3\]: has no image .*train_data/7\.jpg",
    ),
    "no row": (GOOD[:2], {}, r"train_data/2\.jpg: has no row in answer\.json"),
    "two kinds": ([*GOOD[:2], entry("2.jpg", "x")], {}, "numbers here and texts there"),
    "no category": ([*GOOD[:2], {"file_name": "2.jpg"}], {}, r"annotations\[2\].*\"category\""),
    "bad category": ([*GOOD[:2], entry("2.jpg", True)], {}, r"annotations\[2\]"),
    "unknown class": (GOOD, {"classes": ["1"]}, "class '2' is not among data.classes"),
    "missing class": (GOOD, {"classes": ["1", "2", "3"]}, "no image shows class '3'"),
    "no test folder": (GOOD, {"annotations": {"test_images": "tset"}}, "tset: no such folder"),
    "vast number": ([*GOOD[:2], entry("2.jpg", "7" * 10 + "x")], {}, "numbers here"),
    "no folder": (GOOD, {"annotations": {"train_images": "photos"}}, "of its 3 images none"),
}


@pytest.mark.parametrize("name", COURSE_BREAKS)
def test_course_project_refuses(tmp_path: Path, name: str) -> None:
    entries, settings, said = COURSE_BREAKS[name]
    with pytest.raises(UserError, match=said):
        course(tmp_path, entries, **settings)


@pytest.mark.parametrize("text", ["{", '{"annotations": [' + "9" * 5000 + "]}", "[" * 99999])
def test_broken_json_is_named(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"answer.json": text, "train_data/0.jpg": 0})
    with pytest.raises(UserError, match=r"answer\.json: is no readable JSON"):
        load(load_annotations, {"source": "annotations", "path": str(tmp_path)})


def coco(root: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Source:
    content: dict[str, Any] = {
        "images": [{"id": 8, "file_name": "b.jpg"}, {"id": 3, "file_name": "a.jpg"}],
        "categories": [{"id": 90, "name": "apple"}, {"id": 2, "name": "zebra"}],
        "annotations": [
            {"image_id": 8, "category_id": 90, "iscrowd": 1},
            {"image_id": 8, "category_id": 2},
            {"image_id": 8, "category_id": 2},
        ],
    }
    change(content)
    write(root, {"coco/a.jpg": 1, "coco/b.jpg": 2, "instances.json": json.dumps(content)})
    settings = {"train": "instances.json", "train_images": "coco", "test_images": None}
    return load(
        load_annotations,
        {"source": "annotations", "path": str(root), "annotations": settings},
    )


def test_coco(tmp_path: Path) -> None:
    source = coco(tmp_path)
    assert source.classes == ["zebra", "apple"]
    assert source.ids == ["coco/b.jpg", "coco/a.jpg"]
    assert source.labels.tolist() == [[1, 1], [0, 0]]
    assert source.task == "multilabel"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it["annotations"][0].update(image_id=5), "image_id 5"),
        (lambda it: it["annotations"][0].update(image_id=[8]), r"annotations\[0\]: image_id"),
        (lambda it: it["annotations"][0].pop("category_id"), "category_id None is not among"),
        (lambda it: it["categories"][0].update(id=2), r"categories\[1\]: id 2 is there a second"),
        (lambda it: it["categories"][0].update(name=None), r'categories\[0\]: needs "id"'),
        (lambda it: it["images"][0].update(file_name=7), r'images\[0\]: needs "id"'),
        (lambda it: it["images"][0].update(id="8"), "image_id 8"),
        (lambda it: it["categories"][0].update(name="zebra"), "the same name"),
        (lambda it: it.update(images=[], annotations=[]), "has no images"),
    ],
)
def test_coco_refuses(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        coco(tmp_path, change)


def table_source(
    root: Path, rows: pd.DataFrame | str, file: str = "t.csv", **settings: Any
) -> Source:
    write(root, {f"img/{name}.png": index for index, name in enumerate("abc")})
    if isinstance(rows, str):
        write(root, {file: rows})
    elif file.endswith(".csv"):
        rows.to_csv(root / file, index=False)
    else:
        rows.to_parquet(root / file, index=False)
    given = {"file": file, "images": "img", "labels": "columns"} | settings
    return load(load_table, {"source": "table", "path": str(root), "table": given})


@pytest.mark.parametrize("file", ["t.csv", "t.parquet"])
def test_table_of_columns(tmp_path: Path, file: str) -> None:
    rows = pd.DataFrame(
        {"file": ["b", "a", "c"], "x": [1, 0, -1], "y": [0.0, 1.0, 1.0], "who": [7, 7, 8]}
    )
    source = table_source(tmp_path, rows, file, suffix=".png", group="who")
    assert source.ids == ["b", "a", "c"]
    assert source.classes == ["x", "y"]
    assert source.labels.tolist() == [[1, 0], [0, 1], [-1, 1]]
    assert source.groups == ["7", "7", "8"]
    assert source.read(0) == picture(1)
    assert source.table(range(3))["group"].tolist() == ["7", "7", "8"]


def test_names_are_the_same_however_accents_are_written(tmp_path: Path) -> None:
    taken_apart, whole = "e\u0301", "\u00e9"
    write(tmp_path, {f"img/{taken_apart}.png": 5, "img/\u202fpm.png": 6})
    text = (
        f"file,label\na.png,{whole}\nb.png,{taken_apart}\nc.png,x\n{whole}.png,x\n\u202fpm.png,x\n"
    )
    source = table_source(tmp_path, text, labels="class")
    assert source.classes == ["x", whole]
    assert source.read(3) == picture(5)


def test_parquet_of_missing_values_and_two_columns_alike(tmp_path: Path) -> None:
    columns = [pa.array(["a.png", "b.png", "c.png"]), pa.array([1.0, float("nan"), 2.0])]
    (tmp_path / "img").mkdir()
    pq.write_table(pa.table(columns, ["file", "label"]), tmp_path / "n.parquet")
    write(tmp_path, {f"img/{name}.png": index for index, name in enumerate("abc")})
    settings = {"file": "n.parquet", "images": "img", "labels": "class"}
    data = {"source": "table", "path": str(tmp_path), "table": settings}
    with pytest.raises(UserError, match="row 2: has no class"):
        load(load_table, data)
    pq.write_table(pa.table(columns, ["file", "file"]), tmp_path / "n.parquet")
    with pytest.raises(UserError, match="two columns 'file'"):
        load(load_table, data)


def test_table_of_separated_labels_and_parts(tmp_path: Path) -> None:
    text = "file,label,part\na.png,x|y,train\nb.png,,train\nc.png,,test\n"
    source = table_source(tmp_path, text, labels="separated", separator="|", part="part")
    assert source.labels.tolist() == [[1, 1], [0, 0], [NONE, NONE]]
    assert source.parts == ["train", "train", "test"]


def test_table_of_one_class_and_a_test_table(tmp_path: Path) -> None:
    write(tmp_path, {"test.csv": "file\nc.png\n"})
    text = "file,label,k\na.png,dog,0\nb.png,cat,1\n"
    source = table_source(tmp_path, text, labels="class", test="test.csv", fold="k")
    assert source.classes == ["cat", "dog"]
    assert source.task == "multiclass"
    assert source.labels.tolist() == [[0, 1], [1, 0], [NONE, NONE]]
    assert source.parts == ["train", "train", "test"]
    assert source.folds == [0, 1, -1]
    write(tmp_path, {"test.csv": "file,label\nc.png,dog\n"})
    source = table_source(tmp_path, text, labels="class", test="test.csv")
    assert source.labels[2].tolist() == [0, 1]


ROWS = "file,x,y\na.png,1,0\nb.png,0,1\nc.png,0,0\n"
TABLE_BREAKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "label": (ROWS.replace("b.png,0,1", "b.png,0,3"), {}, r"row 3, column 'y': label '3'"),
    "ragged": (ROWS.replace("b.png,0,1", "b.png,0"), {}, "row 3: has 2 cells where .* 3"),
    "longer": (ROWS.replace("b.png,0,1", "b.png,0,1,1"), {}, "row 3: has 4 cells where .* 3"),
    "no rows": ("file,x,y\n", {}, "has no rows"),
    "nothing": ("", {}, "has no rows"),
    "two columns alike": (ROWS.replace("x,y", "x,x"), {}, "two columns 'x'"),
    "quotes": (ROWS.replace("b.png", '"b.png'), {}, "no readable CSV"),
    "repeated": (ROWS + "a.png,1,0\n", {}, r"row 5: file 'a\.png' appears a second time"),
    "no image": (ROWS + "d.png,1,0\n", {}, r"row 5: has no image .*img/d\.png"),
    "no row": (ROWS.replace("c.png,0,0\n", ""), {}, r"img/c\.png: has no row"),
    "file column": (ROWS, {"column": "name"}, "no column 'name'.*data.table"),
    "group column": (ROWS, {"group": "who"}, "no column 'who'"),
    "label column": (ROWS, {"labels": "class"}, "no column 'label'"),
    "part": (ROWS, {"part": "x"}, "row 2, column 'x': '1' is neither train nor test"),
    "fold": (ROWS.replace("b.png,0,1", "b.png,0,q"), {"fold": "y"}, "'q' is not a fold's number"),
    "no class": ("file,label\na.png,k\nb.png,\nc.png,k\n", {"labels": "class"}, "row 3: has no cl"),
    "fold out of range": (ROWS.replace("b.png,0,1", f"b.png,0,{10**20}"), {"fold": "y"}, "fold's"),
    "reserved": (ROWS.replace("x", "fold"), {}, "may not be called 'fold'"),
}


@pytest.mark.parametrize("name", TABLE_BREAKS)
def test_table_refuses(tmp_path: Path, name: str) -> None:
    text, settings, said = TABLE_BREAKS[name]
    with pytest.raises(UserError, match=said):
        table_source(tmp_path, text, **settings).table([0])


def test_tables_that_are_none(tmp_path: Path) -> None:
    for file, content, said in (
        ("t.csv", b"file,x\na.png,1\n\xff,1\n", "row 3: is not UTF-8"),
        ("t.parquet", b"no", "no readable Parquet"),
    ):
        write(tmp_path, {file: content})
        settings = {"file": file, "labels": "columns"}
        with pytest.raises(UserError, match=said):
            load(load_table, {"source": "table", "path": str(tmp_path), "table": settings})


def test_table_needs_its_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="table: is missing"):
        load(load_table, {"source": "table", "path": str(tmp_path)})


def folder_source(root: Path, **settings: Any) -> Source:
    return load(load_folder, {"source": "folder", "path": str(root), **settings})


def test_folder_of_classes(tmp_path: Path) -> None:
    write(tmp_path, {"b/10.png": 1, "b/9.png": 2, "a/deep/x.png": 3, "a/.DS_Store": "junk"})
    write(tmp_path, {"._b.zip": "junk"})
    source = folder_source(tmp_path)
    assert source.ids == ["a/deep/x.png", "b/9.png", "b/10.png"]
    assert source.classes == ["a", "b"]
    assert source.labels.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert source.task == "multiclass"
    assert source.folds is None
    assert folder_source(tmp_path, classes=["b", "a"]).labels[0].tolist() == [0, 1]


def test_what_is_not_called_an_image_lies_beside_the_classes(tmp_path: Path) -> None:
    """As data/incoming/README.md does, where the classes' folders are put beside it."""
    write(tmp_path, {"a/0.png": 0, "b/1.png": 1, "README.md": "where data lies", "list.csv": ""})
    assert folder_source(tmp_path).ids == ["a/0.png", "b/1.png"]


@pytest.mark.parametrize("labelled", [True, False])
def test_folder_of_parts(tmp_path: Path, labelled: bool) -> None:
    write(tmp_path, {"train/a/0.png": 0, "train/b/1.png": 1, "val/a/2.png": 2})
    write(tmp_path, {"test/a/3.png" if labelled else "test/3.png": 3})
    source = folder_source(tmp_path)
    assert source.parts == ["train"] * 3 + ["test"]
    assert source.folds == [-1, -1, 0, -1]
    assert source.labels[3].tolist() == ([1, 0] if labelled else [NONE, NONE])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"train/a/0.png": 0, "train/b/0.png": 0, "train/1.png": 1},
            r"train/1\.png: lies in no class's folder",
        ),
        ({"train/a/0.png": 0, "test/b/1.png": 1}, "train part has no folder of this class"),
        ({"0.png": 0}, "no folder per class"),
        ({"Train/a/0.png": 0, "Test/a/1.png": 1}, "Test, Train would be classes"),
        ({"pets/a/0.png": 0, "pets/b/1.png": 1}, "a single class, 'pets'"),
        ({"train/a/0.png": 0, "train/b/1.png": 1, "valid/a/2.png": 2}, "valid: belongs to no part"),
    ],
)
def test_folder_refuses(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    write(tmp_path, files)
    with pytest.raises(UserError, match=said):
        folder_source(tmp_path)


def test_a_folder_that_is_named_must_be_there(tmp_path: Path) -> None:
    write(tmp_path, {"a/0.png": 0, "b/1.png": 1})
    with pytest.raises(UserError, match=r"trian: no such folder; see data\.folder\.train"):
        folder_source(tmp_path, folder={"train": "trian"})


def test_the_order_of_files_is_that_of_their_names(tmp_path: Path) -> None:
    """Whatever order the file system lists them in."""
    names = [f"{letter}/{number}.png" for letter in "ba" for number in (11, 2, 1)]
    one = write(tmp_path / "one", dict.fromkeys(names, 0))
    other = write(tmp_path / "other", dict.fromkeys(reversed(names), 0))
    assert folder_source(one).ids == folder_source(other).ids
    assert folder_source(one).ids == [f"{each}/{n}.png" for each in "ab" for n in (1, 2, 11)]
    assert np.array_equal(folder_source(one).labels, folder_source(other).labels)
