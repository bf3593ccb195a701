"""PASCAL VOC's devkit: lists, difficult objects, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from foldwise.core.errors import UserError
from foldwise.sources.source import UNLABELLED, Source
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


def test_images_and_lists_as_other_systems_write_them(devkit: Path) -> None:
    top = devkit / "VOCdevkit/VOC2007"
    (top / "JPEGImages/000002.jpg").rename(top / "JPEGImages/000002.JPG")
    text = (top / "ImageSets/Main/train.txt").read_text()
    (top / "ImageSets/Main/train.txt").write_bytes(text.replace("\n", "\r\n").encode("utf-16"))
    accents = '<?xml version="1.0" encoding="{}"?>' + xml(("e\u0301", 0))
    (top / "Annotations/000003.xml").write_bytes(accents.format("utf-8").encode())
    source = voc_source(devkit)
    assert source.ids[:3] == ["000002", "000000", "000001"]
    assert source.read(0) == picture(2, ".jpg")
    assert source.classes == ["cat", "dog", "\u00e9"]
    (top / "Annotations/000003.xml").write_bytes(accents.format("what").encode())
    with pytest.raises(UserError, match=r"000003\.xml: is no readable XML \(.*unknown encoding"):
        voc_source(devkit)
