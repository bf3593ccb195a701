"""Source `folder`: a folder per class, or `train/` (`val/`, `test/`) with such folders."""

from typing import Any

from foldwise.core.errors import UserError
from foldwise.sources.labels import class_order, one_hot, unlabelled
from foldwise.sources.names import natural
from foldwise.sources.pairs import is_called_an_image
from foldwise.sources.paths import plain_paths
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree

PARTS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}


def load_folder(data: Data, tree: Tree, problems: Problems, lone: bool = False) -> Source:
    """Take every file of a class's folder, at any depth, for an image of that class.

    `lone` says that there may be a single class, as of extra data.

    Raises `UserError` if there are no folders; notes files that lie in none, and classes of one
    part that the train part lacks.
    """
    settings = plain_paths(data.folder, tree, "train", "valid", "test")
    roles = {"train": settings.train, "valid": settings.valid, "test": settings.test}
    present = {role: folder for role, folder in roles.items() if tree.below(folder)}
    for role in sorted(roles.keys() & settings.model_fields_set - present.keys()):
        raise UserError(f"{tree.root}/{roles[role]}: no such folder; see data.folder.{role}")
    if "train" not in present:
        present = {"train": ""}
    _refuse_others(tree, present, problems)
    found = {role: _members(tree, folder) for role, folder in present.items()}
    if not any(name for _, name in found["train"]):
        raise UserError(
            f"{tree.root}/{present['train']}: has no folder per class with images in it; is "
            "data.path what you meant?"
        )
    images = _images(found, tree, problems)
    _refuse_parts({name for members in found.values() for _, name in members if name}, tree)
    train = {class_name for role, _, class_name in images if role != "test" and class_name}
    classes = class_order(data.classes, train, f"{tree.root}/{present['train']}", problems)
    if len(train) == 1 and not lone:
        problems.add(
            tree.root,
            f"has a single class, '{classes[0]}'; if the classes' folders lie in that one, set "
            "data.path to it",
        )
    for class_name in sorted({each for _, _, each in images if each} - train):
        problems.add(
            f"{tree.root}/{settings.test}/{class_name}",
            "the train part has no folder of this class; add it or remove this one",
        )
    labels = one_hot([[each] if each else [] for _, _, each in images], classes)
    lacking = [class_name is None for _, _, class_name in images]
    labels[lacking] = unlabelled(sum(lacking), classes)
    names = [name for _, name, _ in images]
    folds = None
    if "valid" in present:
        folds = [0 if role == "valid" else -1 for role, _, _ in images]
    submission: dict[str, Any] = {"index": "filename", "class": "class", "file_names": True}
    return Source(
        name=data.path,
        task="multiclass",
        classes=classes,
        ids=names,
        parts=["test" if role == "test" else "train" for role, _, _ in images],
        labels=labels,
        read=lambda position: tree.read(names[position]),
        label=lambda position: tree.label(names[position]),
        folds=folds,
        submission=submission,
        origin={"path": data.path},
    )


def _images(
    found: dict[str, list[tuple[str, str | None]]], tree: Tree, problems: Problems
) -> list[tuple[str, str, str | None]]:
    """Each image's part, name and class; notes those that lie in no class's folder.

    What lies there and is not called an image, such as a README, is none.
    """
    # A test part without folders is one without labels.
    test_is_unlabelled = not any(name for _, name in found.get("test", []))
    images = []
    for role, members in found.items():
        for name, class_name in members:
            if class_name is not None or (role == "test" and test_is_unlabelled):
                images.append((role, name, class_name))
            elif is_called_an_image(name):
                problems.bad_image(
                    tree.label(name),
                    "lies in no class's folder",
                    "move it into one or remove it",
                )
    return images


def _refuse_others(tree: Tree, present: dict[str, str], problems: Problems) -> None:
    """Note folders beside the parts: a part by another name, perhaps."""
    if present["train"]:
        tops = dict.fromkeys(name.split("/")[0] for name in tree.files if "/" in name)
        used = {folder.split("/")[0] for folder in present.values()}
        for top in [each for each in tops if each not in used]:
            problems.add(
                f"{tree.root}/{top}", "belongs to no part; name it in data.folder, or remove it"
            )


def _refuse_parts(classes: set[str], tree: Tree) -> None:
    """Raise `UserError` if classes look like parts."""
    parts = sorted(name for name in classes if name.lower() in PARTS)
    if parts:
        raise UserError(
            f"{tree.root}: {', '.join(parts)} would be classes; name the parts in data.folder"
        )


def _members(tree: Tree, folder: str) -> list[tuple[str, str | None]]:
    """Every file below a folder with its class, or None for one that lies in no class's folder."""
    start = len(folder) + 1 if folder else 0
    names = sorted(tree.below(folder), key=natural)
    return [(name, name[start:].split("/")[0] if "/" in name[start:] else None) for name in names]
