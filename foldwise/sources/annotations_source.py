"""Source `annotations`: one JSON file per part, in the course project's form or COCO's.

`{"annotations": [{"file_name", "category"}]}` gives every image one category, a number or a name.
COCO's `instances_*.json` gives `images`, `categories` and objects: an image has the labels of its
objects. The test part may be a folder of images alone.
"""

from typing import Any

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError
from foldwise.sources.annotations import Annotated, read_annotations
from foldwise.sources.data_settings import Data
from foldwise.sources.labels import class_order, one_hot, repeated, unlabelled
from foldwise.sources.names import natural, normal
from foldwise.sources.pairs import images_without_rows, rows_with_images
from foldwise.sources.problems import Problems
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree


def load(data: Data, tree: Tree, problems: Problems) -> Source:
    """Read the files of `data.annotations`.

    Raises `UserError` for a file or folder that is missing or a file of another form; notes an
    image without an entry, an entry without an image, a repeated file, and categories that the
    train part lacks.
    """
    settings = data.annotations
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
        name: _named(tree, name, annotated, folder, problems)
        for name, (annotated, folder) in given.items()
    }
    for folder in dict.fromkeys(folder.strip("/.") for _, folder in given.values()):
        # Both parts' images may lie in one folder.
        wanted = [name for table in tables.values() for name in table["name"]]
        images_without_rows(tree, folder, wanted, " or ".join(given), problems)
    matched = [
        rows_with_images(tree, name, table, table["name"].tolist(), problems)[0]
        for name, table in tables.items()
    ]
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
    if settings.test is None and settings.test_images is not None:
        alone = sorted(tree.below(settings.test_images), key=natural)
        if not alone and "test_images" in settings.model_fields_set:
            raise UserError(
                f"{tree.root}/{settings.test_images}: no such folder; see "
                "data.annotations.test_images"
            )
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


def _named(
    tree: Tree, name: str, annotated: Annotated, folder: str, problems: Problems
) -> pd.DataFrame:
    """The entries, each file once, with the images' names in the tree as `name`."""
    table = annotated.table
    table = table[~repeated(table["file"], tree.label(name), "file", problems)]
    start = f"{folder.strip('/')}/" if folder.strip("/.") else ""
    return table.assign(name=[normal(start + file) for file in table["file"]])
