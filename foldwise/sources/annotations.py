"""The JSON files of the source `annotations`: the course project's form, and COCO's."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from foldwise.core.errors import UserError
from foldwise.sources.names import normal
from foldwise.sources.problems import Problems
from foldwise.sources.tree import Tree


@dataclass(frozen=True)
class Annotated:
    """What one JSON file says."""

    table: pd.DataFrame
    """`file`, and `classes`: a set of names; its index holds what to call each row."""
    order: list[str] | None
    """The classes in the file's own order, where it has one."""
    single: bool
    """Every image has exactly one class."""


def read_annotations(tree: Tree, name: str, problems: Problems) -> Annotated:
    """Read a file of either form.

    Raises `UserError` for a file that is missing or of neither form; notes entries that are wrong
    and leaves them out.
    """
    label = tree.label(name)
    try:
        content = json.loads(tree.require(name).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{label}: is no readable JSON ({error}); replace it") from None
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise UserError(f'{label}: has no list "annotations" of objects; is it the right file?')
    if "images" in content and "categories" in content:
        return _coco(content, label, problems)
    return _course(entries, label, problems)


def _course(entries: list[dict[str, Any]], label: str, problems: Problems) -> Annotated:
    rows, kinds = {}, set()
    for index, each in enumerate(entries):
        file: Any = each.get("file_name")
        category: Any = each.get("category")
        if not _is_text(file) or not (type(category) is int or _is_text(category)):
            problems.add(
                f"{label}: annotations[{index}]",
                'needs "file_name", a text, and "category", a whole number or a text; correct it',
            )
            continue
        kinds.add(type(category))
        rows[f"annotations[{index}]"] = (file, {normal(str(category))})
    if len(kinds) > 1:
        raise UserError(f"{label}: categories are numbers here and texts there; write one kind")
    return Annotated(_table(rows, label, problems), order=None, single=True)


def _coco(content: dict[str, Any], label: str, problems: Problems) -> Annotated:
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
                    f'needs "id", a whole number or a text, and "{key}", a text; correct it',
                )
            elif id in named[what]:
                problems.add(f"{label}: {what}[{index}]", f"id {id} is there a second time")
            else:
                named[what][id] = normal(each[key])
    categories, files = named["categories"], named["images"]
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
    return Annotated(_table(rows, label, problems), order, single=False)


def _table(rows: dict[str, tuple[str, set[str]]], label: str, problems: Problems) -> pd.DataFrame:
    if not rows:
        problems.check()
        raise UserError(f"{label}: has no images; is it the right file?")
    files, classes = zip(*rows.values(), strict=True)
    return pd.DataFrame({"file": files, "classes": classes}, index=list(rows))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
