"""Source `annotations`: one JSON file per part, in the course project's form or COCO's.

`{"annotations": [{"file_name", "category"}]}` gives every image one category, a number or a name.
COCO's `instances_*.json` gives `images`, `categories` and objects: an image has the labels of its
objects. The test part may be a folder of images alone.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stages.errors import UserError
from stages.settings.data import Data
from stages.sources.labels import class_order, natural, one_hot, repeated, unlabelled
from stages.sources.pairs import images_without_rows, rows_with_images
from stages.sources.problems import Problems
from stages.sources.source import Source
from stages.sources.tree import Tree


@dataclass(frozen=True)
class Annotated:
    """What one JSON file says."""

    table: pd.DataFrame
    """`file`, and `classes`: a set of names; its index counts from 0."""
    order: list[str] | None
    """The classes in the file's own order, where it has one."""
    single: bool
    """Every image has exactly one class."""


def load(data: Data, tree: Tree, problems: Problems) -> Source:
    """Read the files of `data.annotations`.

    Raises `UserError` for a file that is missing or of another form; notes an image without an
    entry, an entry without an image, a repeated file, and categories that the train part lacks.
    """
    settings = data.annotations
    train = _read(tree, settings.train, problems)
    table, names = _match(tree, settings.train, train, settings.train_images, problems)
    shown = {name for each in table["classes"] for name in each}
    if data.classes is None and train.order is not None:
        classes = train.order
    else:
        classes = class_order(data.classes, shown, tree.label(settings.train), problems)
    labels = [one_hot(table["classes"].tolist(), classes)]
    parts = ["train"] * len(names)
    if settings.test is not None:
        test = _read(tree, settings.test, problems)
        images = settings.test_images or settings.train_images
        rows, test_names = _match(tree, settings.test, test, images, problems)
        for name in sorted({name for each in rows["classes"] for name in each} - set(classes)):
            problems.add(tree.label(settings.test), f"class '{name}' is not in the train part")
        labels.append(one_hot(rows["classes"].tolist(), classes))
    elif settings.test_images is not None and (below := tree.below(settings.test_images)):
        test_names = sorted(below, key=natural)
        labels.append(unlabelled(len(test_names), classes))
    else:
        test_names = []
    names += test_names
    parts += ["test"] * len(test_names)
    submission: dict[str, Any] = {"index": "id"}
    if train.single:
        submission = {
            "index": "filename",
            "class": "class",
            "file_names": True,
            "sort": True,
        }
    return Source(
        name=settings.train,
        task="multiclass" if train.single else "multilabel",
        classes=classes,
        ids=names,
        parts=parts,
        labels=np.concatenate(labels),
        read=lambda position: tree.read(names[position]),
        label=lambda position: tree.label(names[position]),
        submission=submission,
        origin={"path": data.path},
    )


def _read(tree: Tree, name: str, problems: Problems) -> Annotated:
    label = tree.label(name)
    try:
        content = json.loads(tree.require(name).decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{label}: is no readable JSON ({error}); replace it") from None
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise UserError(f'{label}: has no list "annotations" of objects; is it the right file?')
    if "images" in content and "categories" in content:
        return _coco(content, label, problems)
    files, classes, kinds = [], [], set()
    for index, each in enumerate(entries):
        file, category = each.get("file_name"), each.get("category")
        if not isinstance(file, str) or type(category) not in (int, str) or category == "":
            problems.add(
                f"{label}: annotations[{index}]",
                'needs "file_name", a text, and "category", a whole number or a text; correct it',
            )
            continue
        kinds.add(type(category))
        files.append(file)
        classes.append({str(category)})
    if len(kinds) > 1:
        raise UserError(f"{label}: categories are numbers here and texts there; write one kind")
    if not files:
        problems.check()
        raise UserError(f"{label}: has no annotations; is it the right file?")
    table = pd.DataFrame({"file": files, "classes": classes})
    return Annotated(table, order=None, single=True)


def _coco(content: dict[str, Any], label: str, problems: Problems) -> Annotated:
    """Labels of COCO's images from their objects, crowds among them."""
    try:
        # COCO numbers its categories with gaps; their order is that of the numbers.
        categories = {each["id"]: str(each["name"]) for each in content["categories"]}
        files = {each["id"]: str(each["file_name"]) for each in content["images"]}
        objects = [(each["image_id"], each["category_id"]) for each in content["annotations"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{label}: is not COCO's form: an entry lacks {error}") from None
    if not files or not categories:
        raise UserError(f"{label}: has no images or no categories; is it the right file?")
    for what, ids in (("images", files), ("categories", categories)):
        if len(ids) < len(content[what]):
            problems.add(label, f"two of its {what} have the same id; correct it")
    order = [categories[id] for id in sorted(categories)]
    if len(set(order)) < len(order):
        raise UserError(f"{label}: two categories have the same name; rename one")
    classes: dict[Any, set[str]] = {id: set() for id in files}
    for index, (image, category) in enumerate(objects):
        if image not in classes or category not in categories:
            problems.add(
                f"{label}: annotations[{index}]",
                f"image_id {image} or category_id {category} is not among its images and "
                "categories; correct it",
            )
        else:
            classes[image].add(categories[category])
    table = pd.DataFrame({"file": files.values(), "classes": [classes[id] for id in files]})
    return Annotated(table, order, single=False)


def _match(
    tree: Tree, name: str, annotated: Annotated, folder: str, problems: Problems
) -> tuple[pd.DataFrame, list[str]]:
    """The entries whose image is there, and the images' names."""
    table = annotated.table
    table = table[~repeated(table["file"], f"{tree.label(name)}: images", "file", problems)]
    folder = folder.strip("/.")
    names = [f"{folder}/{file}" if folder else file for file in table["file"]]
    images_without_rows(tree, folder, names, name, problems)
    return rows_with_images(tree, name, table, names, problems)
