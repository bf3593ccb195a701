"""Source `voc`: PASCAL VOC's devkit, any year, unpacked or as the official tar files.

Wherever they lie, `ImageSets/Main/<list>.txt` names the images of a list, `<class>_<list>.txt` says
1 (present), 0 (only difficult objects: ignored, -1 here) or -1 (absent); where a list has no such
files, the objects in `Annotations/<id>.xml` say it. Images are `JPEGImages/<id>.jpg`.
"""

import numpy as np

from foldwise.sources.data_settings import Data
from foldwise.sources.labels import class_order, unlabelled
from foldwise.sources.problems import Problems
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree
from foldwise.sources.voc import Devkit, Labels, read_list


def load(data: Data, tree: Tree, problems: Problems) -> Source:
    """Read the lists of `data.voc` and their labels.

    Raises `UserError` for a list that is missing; notes images of a list without a file, labels or
    a line in a class's file, repeated ones, and lines that say anything but 1, 0 or -1.
    """
    settings = data.voc
    devkit = Devkit(tree, settings.year)
    lists = {"train": settings.train_list}
    lists |= {"valid": settings.valid_list} if settings.valid_list else {}
    lists |= {"test": settings.test_list} if settings.test_list else {}
    ids: list[str] = []
    roles: list[str] = []
    known: Labels = {}
    shown: dict[str, set[str]] = {}
    for role, list_name in lists.items():
        own, labels = read_list(devkit, list_name, role == "test", problems)
        for id in sorted(set(own) & known.keys()):
            problems.add(
                tree.label(devkit.name(f"ImageSets/Main/{list_name}.txt")),
                f"image {id} is in another list of data.voc too; take lists that share none",
            )
        ids += [id for id in own if id not in known]
        roles += [role] * (len(ids) - len(roles))
        known |= labels
        shown[role] = {name for each in labels.values() for name in each or ()}
    own_files = {each: set(devkit.classes_of(each)) for each in lists.values()}
    everywhere = set().union(*own_files.values())
    for list_name, files in own_files.items():
        for name in sorted(everywhere - files if files else ()):
            problems.add(
                f"{tree.root}: ImageSets/Main/{name}_{list_name}.txt",
                "no such file, though other lists have one of this class; add it",
            )
    train = shown["train"] | shown.get("valid", set())
    classes = class_order(data.classes, train, f"{tree.root}: {settings.train_list}", problems)
    for name in sorted(shown.get("test", set()) - train):
        problems.add(
            f"{tree.root}: {settings.test_list}",
            f"class '{name}' is in no list of the train part; name it in data.classes",
        )
    names = [devkit.name(f"JPEGImages/{id}.jpg") for id in ids]
    present = [name in tree.files for name in names]
    for id, name, there in zip(ids, names, present, strict=True):
        if not there:
            problems.bad_image(
                f"{tree.root}: image {id}", f"has no file {name}", "add it or remove its lines"
            )
    kept = [row for row, there in enumerate(present) if there]
    ids, roles, names = ([each[row] for row in kept] for each in (ids, roles, names))
    folds = None
    if settings.valid_list:
        folds = [0 if role == "valid" else -1 for role in roles]
    return Source(
        name="PASCAL VOC",
        task="multilabel",
        classes=classes,
        ids=ids,
        parts=["test" if role == "test" else "train" for role in roles],
        labels=np.array([_row(known[id], classes) for id in ids]).reshape(-1, len(classes)),
        read=lambda position: tree.read(names[position]),
        label=lambda position: tree.label(names[position]),
        folds=folds,
        origin={"path": data.path, "lists": lists},
    )


def _row(said: dict[str, int] | None, classes: list[str]) -> np.ndarray:
    """(classes,) int8. A class that nothing is said of is not there."""
    if said is None:
        return unlabelled(1, classes)[0]
    return np.array([said.get(name, 0) for name in classes], np.int8)
