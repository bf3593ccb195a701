"""JSON annotations: the course project's form, and COCO's."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldwise.core.errors import UserError
from foldwise.sources.annotations import load_annotations
from foldwise.sources.source import UNLABELLED, Source
from tests.pictures import load, picture, write

NONE = int(UNLABELLED)


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
