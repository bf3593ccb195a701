"""The JSON files of the source `annotations`: the course project's form, and COCO's."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError
from foldwise.sources.labels import class_order, one_hot, repeated, unlabelled
from foldwise.sources.names import has_controls, natural, normal
from foldwise.sources.pairs import rows_and_images
from foldwise.sources.paths import Resolver, plain_paths
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Annotations, Data
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree


@dataclass(frozen=True)
class AnnotationFile:
    """What one JSON file says."""

    table: pd.DataFrame
    """`file`, and `classes`: a set of names; its index holds what to call each row."""
    order: list[str] | None
    """The classes in the file's own order, where it has one."""
    single: bool
    """Every image has exactly one class."""


def read_annotations(tree: Tree, name: str, problems: Problems) -> AnnotationFile:
    """Read a file of either form.

    Raises `UserError` for a file that is missing or of neither form; notes entries that are wrong
    and leaves them out.
    """
    label = tree.label(name)
    try:
        # Bytes, of which it finds out whether they are UTF-8 or UTF-16.
        content = json.loads(tree.require(name))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{label}: is no readable JSON ({error}); replace it") from None
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise UserError(f'{label}: has no list "annotations" of objects; is it the right file?')
    if "images" in content and "categories" in content:
        return _coco(content, label, problems)
    return _course(entries, label, problems)


def _course(entries: list[dict[str, Any]], label: str, problems: Problems) -> AnnotationFile:
    rows, kinds = {}, set()
    for index, each in enumerate(entries):
        file: Any = each.get("file_name")
        category: Any = each.get("category")
        if not _is_text(file) or not (type(category) is int or _is_text(category)):
            problems.add(
                f"{label}: annotations[{index}]",
                'needs "file_name", a text, and "category", a whole number or a text, without '
                "control characters; correct it",
            )
            continue
        kinds.add(type(category))
        rows[f"annotations[{index}]"] = (file, {normal(str(category).strip())})
    if len(kinds) > 1:
        raise UserError(f"{label}: categories are numbers here and texts there; write one kind")
    return AnnotationFile(_entries_table(rows, label, problems), order=None, single=True)


def _coco(content: dict[str, Any], label: str, problems: Problems) -> AnnotationFile:
    """Labels of COCO's images from their objects, crowds among them."""
    named: dict[str, dict[Any, str]] = {}
    for what, key in (("categories", "name"), ("images", "file_name")):
        named[what] = {}
        entries = content[what] if isinstance(content[what], list) else []
        for index, each in enumerate(entries):
            id = each.get("id") if isinstance(each, dict) else None
            if type(id) not in (int, str) or not _is_text(each.get(key)):
                problems.add(
                    f"{label}: {what}[{index}]",
                    f'needs "id", a whole number or a text, and "{key}", a text without control '
                    "characters; correct it",
                )
            elif id in named[what]:
                problems.add(f"{label}: {what}[{index}]", f"id {id} is there a second time")
            else:
                named[what][id] = each[key]
    categories = {id: normal(name.strip()) for id, name in named["categories"].items()}
    files = named["images"]
    # COCO numbers its categories with gaps; their order is that of the numbers.
    order = [categories[id] for id in sorted(categories, key=lambda each: (str(type(each)), each))]
    if len(set(order)) < len(order):
        raise UserError(f"{label}: two categories have the same name; rename one")
    classes: dict[Any, set[str]] = {id: set() for id in files}
    for index, each in enumerate(content["annotations"]):
        ids = each.get("image_id"), each.get("category_id")
        known = all(type(id) in (int, str) for id in ids)
        if not known or ids[0] not in files or ids[1] not in categories:
            problems.add(
                f"{label}: annotations[{index}]",
                f"image_id {ids[0]} or category_id {ids[1]} is not among its images and "
                "categories; correct it",
            )
        else:
            classes[ids[0]].add(categories[ids[1]])
    rows = {f"images[{index}]": (files[id], classes[id]) for index, id in enumerate(files)}
    return AnnotationFile(_entries_table(rows, label, problems), order, single=False)


def _entries_table(
    rows: dict[str, tuple[str, set[str]]], label: str, problems: Problems
) -> pd.DataFrame:
    if not rows:
        problems.check()
        raise UserError(f"{label}: has no images; is it the right file?")
    files, classes = zip(*rows.values(), strict=True)
    return pd.DataFrame({"file": files, "classes": classes}, index=list(rows))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not has_controls(value)


def load_annotations(data: Data, tree: Tree, problems: Problems) -> Source:
    """Read the files of `data.annotations`.

    Raises `UserError` for a file or folder that is missing or a file of another form; notes an
    image without an entry, an entry without an image, a repeated file, and categories that the
    train part lacks.
    """
    keys = ("train", "train_images", "test", "test_images")
    settings = plain_paths(data.annotations, tree, *keys)
    train, matched = _read_parts(settings, tree, problems)
    found = {name for each in matched[0]["classes"] for name in each}
    order = train.order or []
    if order and data.classes is None:
        # COCO's 80 categories are named by every part of it; a small one does not show them all.
        classes = [name for name in order if name in found]
    else:
        classes = class_order(data.classes, found, tree.label(settings.train), problems)
    tested = {name for table in matched[1:] for each in table["classes"] for name in each}
    for name in sorted(tested - set(classes)):
        problems.add(tree.label(settings.test or ""), f"class '{name}' is not in the train part")
    names = [name for table in matched for name in table["name"]]
    labels = [one_hot(table["classes"].tolist(), classes) for table in matched]
    parts = ["train"] * len(matched[0])
    alone = _unlabelled_images(settings, tree)
    names += alone
    labels.append(unlabelled(len(alone), classes))
    parts += ["test"] * (len(names) - len(parts))
    submission: dict[str, Any] = {"index": "id"}
    if train.single:
        submission = {"index": "filename", "class": "class", "file_names": True, "sort": True}
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
        origin={"path": data.path, "unused": sorted(set(order) - set(classes))},
    )


def _read_parts(
    settings: Annotations, tree: Tree, problems: Problems
) -> tuple[AnnotationFile, list[pd.DataFrame]]:
    """The train part's file, and of each part that has one the entries whose images are there."""
    train = read_annotations(tree, settings.train, problems)
    given = {settings.train: (train, settings.train_images)}
    if settings.test is not None:
        test = read_annotations(tree, settings.test, problems)
        if test.single != train.single:
            raise UserError(
                f"{tree.label(settings.test)}: is of another form than {settings.train}; give both "
                "in one"
            )
        given[settings.test] = (test, settings.test_images or settings.train_images)
    tables = {
        name: _with_names(tree, name, annotated, folder, problems)
        for name, (annotated, folder) in given.items()
    }
    # Both parts' images may lie in one folder.
    folders = dict.fromkeys(folder.strip("/.") for _, folder in given.values())
    named = {name: (table, table["name"].tolist()) for name, table in tables.items()}
    return train, [rows for rows, _ in rows_and_images(tree, named, folders, problems).values()]


def _unlabelled_images(settings: Annotations, tree: Tree) -> list[str]:
    """Names of the test part's images, where it has no annotations."""
    if settings.test is not None or settings.test_images is None:
        return []
    found = sorted(tree.below(settings.test_images), key=natural)
    if not found and "test_images" in settings.model_fields_set:
        raise UserError(
            f"{tree.root}/{settings.test_images}: no such folder; see data.annotations.test_images"
        )
    return found


def _with_names(
    tree: Tree, name: str, annotated: AnnotationFile, folder: str, problems: Problems
) -> pd.DataFrame:
    """The entries, each file once, with the images' names in the tree as `name`."""
    table = annotated.table
    names = pd.Series(Resolver(tree, folder).names(table["file"].tolist()), table.index)
    again = repeated(names, tree.label(name), "file", problems, table["file"])
    return table.assign(name=names)[~again]
