"""PASCAL VOC's devkit: its lists, and what they and the annotations say of images."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from foldwise.core.errors import UserError
from foldwise.sources.csv_files import decoded
from foldwise.sources.labels import class_order, unlabelled
from foldwise.sources.names import normal
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree import Tree

NAME = re.compile(r"(?:^|.*?/)(?:VOC(\d{4})/)?(JPEGImages|Annotations|ImageSets/Main)/([^/]+)$")
CELLS = {"1": 1, "0": -1, "-1": 0}


def load_voc(data: Data, tree: Tree, problems: Problems) -> Source:
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
    _note_missing_files(devkit, list(lists.values()), tree, problems)
    train = shown["train"] | shown.get("valid", set())
    classes = class_order(data.classes, train, f"{tree.root}: {settings.train_list}", problems)
    for name in sorted(shown.get("test", set()) - train):
        problems.add(
            f"{tree.root}: {settings.test_list}",
            f"class '{name}' is in no list of the train part; name it in data.classes",
        )
    names = devkit.images(ids)
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


def _note_missing_files(devkit: "Devkit", lists: list[str], tree: Tree, problems: Problems) -> None:
    """Note classes that have a file in one list and none in another."""
    own_files = {each: set(devkit.classes_of(each)) for each in lists}
    everywhere = set().union(*own_files.values())
    for list_name, files in own_files.items():
        for name in sorted(everywhere - files if files else ()):
            problems.add(
                f"{tree.root}: ImageSets/Main/{name}_{list_name}.txt",
                "no such file, though other lists have one of this class; add it",
            )


def _row(said: dict[str, int] | None, classes: list[str]) -> np.ndarray:
    """(classes,) int8. A class that nothing is said of is not there."""
    if said is None:
        return unlabelled(1, classes)[0]
    return np.array([said.get(name, 0) for name in classes], np.int8)


Labels = dict[str, dict[str, int] | None]
"""Of each image, what is said of each class: 1, 0 or -1; None if nothing is said at all."""


class Devkit:
    """One year's files, whatever lies above them."""

    def __init__(self, tree: Tree, year: int | None) -> None:
        found: dict[str, dict[str, str]] = {}
        for name in tree.files:
            if match := NAME.match(name):
                place = f"{match[2]}/{match[3]}"
                found.setdefault(match[1] or "", {}).setdefault(place, name)
        if year is None and len(found) > 1:
            years = ", ".join(sorted(found))
            raise UserError(f"{tree.root}: holds VOC of {years}; say which in data.voc.year")
        wanted = next(iter(found), "") if year is None else str(year)
        if wanted not in found:
            raise UserError(
                f"{tree.root}: holds no VOC{wanted} (JPEGImages, Annotations, ImageSets/Main); is "
                "data.path what you meant?"
            )
        self.tree = tree
        self._names = found[wanted]

    def name(self, place: str) -> str:
        """The tree's name of a file, or where it should be."""
        return self._names.get(place, place)

    def images(self, ids: Sequence[str]) -> list[str]:
        """Names of images in the tree, or where they should be."""
        found = {place.lower(): place for place in self._names if place.startswith("JPEGImages/")}
        places = []
        for id in ids:
            place = f"JPEGImages/{id}.jpg"
            # A suffix in another case, as some cameras write it.
            other = found.get(place.lower(), place)
            is_suffix = PurePosixPath(other).stem == id
            places.append(other if place not in self._names and is_suffix else place)
        return [self.name(place) for place in places]

    def lines(self, list_name: str) -> list[list[str]] | None:
        """The words of each line of a list, or None if there is no such file."""
        name = self._names.get(f"ImageSets/Main/{list_name}.txt")
        if name is None:
            return None
        text = decoded(self.tree.require(name), self.tree.label(name))
        return [line.split() for line in text.splitlines() if line.strip()]

    def classes_of(self, list_name: str) -> list[str]:
        """Classes that have a file of their own for a list."""
        end = f"_{list_name}.txt"
        start = len("ImageSets/Main/")
        return sorted(
            place[start : -len(end)]
            for place in self._names
            if place.startswith("ImageSets/Main/") and place.endswith(end)
        )


def read_list(
    devkit: Devkit, list_name: str, may_lack_labels: bool, problems: Problems
) -> tuple[list[str], Labels]:
    """Ids of a list in order, and their labels; none where a test list has none at all."""
    with_files = devkit.classes_of(list_name)
    lines = devkit.lines(list_name)
    if lines is None:
        if not with_files:
            raise UserError(
                f"{devkit.tree.root}: has no list ImageSets/Main/{list_name}.txt; see data.voc"
            )
        lines = devkit.lines(f"{with_files[0]}_{list_name}") or []
    ids = list(dict.fromkeys(line[0] for line in lines))
    label = devkit.tree.label(devkit.name(f"ImageSets/Main/{list_name}.txt"))
    if not ids:
        raise UserError(f"{label}: names no image; see data.voc")
    if len(ids) < len(lines):
        problems.add(label, f"{len(lines) - len(ids)} images appear a second time; remove them")
    if not with_files:
        return ids, _from_annotations(devkit, ids, may_lack_labels, problems)
    said: dict[str, dict[str, int]] = {id: {} for id in ids}
    for name in with_files:
        place = devkit.tree.label(devkit.name(f"ImageSets/Main/{name}_{list_name}.txt"))
        given = set()
        for row, words in enumerate(devkit.lines(f"{name}_{list_name}") or [], 1):
            if len(words) != 2 or words[1] not in CELLS:
                problems.add(f"{place}: row {row}", "is not an id and 1, 0 or -1; correct it")
            elif words[0] not in said:
                problems.add(f"{place}: row {row}", f"{words[0]} is not in {list_name}.txt")
            elif words[0] in given:
                problems.add(
                    f"{place}: row {row}", f"{words[0]} is there a second time; remove one"
                )
            else:
                said[words[0]][name] = CELLS[words[1]]
            given.add(words[0])
        for id in sorted(said.keys() - given):
            problems.add(place, f"has no row for {id}, which {list_name}.txt names; add it")
    return ids, {**said}


def _from_annotations(
    devkit: Devkit, ids: Sequence[str], may_lack_labels: bool, problems: Problems
) -> Labels:
    places = {id: devkit.name(f"Annotations/{id}.xml") for id in ids}
    if may_lack_labels and not any(each in devkit.tree.files for each in places.values()):
        return dict.fromkeys(ids)
    labels: Labels = {}
    for id, place in places.items():
        said: dict[str, int] = {}
        labels[id] = said
        label = devkit.tree.label(place)
        if place not in devkit.tree.files:
            problems.add(label, "no such file, though a list names its image; add it")
            continue
        try:
            objects = ET.fromstring(devkit.tree.require(place)).findall("object")
        except (ET.ParseError, ValueError, LookupError) as error:
            # The latter two are of encodings that it names and nobody knows.
            problems.add(label, f"is no readable XML ({error}); replace it")
            continue
        for each in objects:
            name = normal((each.findtext("name") or "").strip())
            difficult = (each.findtext("difficult") or "0").strip() == "1"
            if not name:
                problems.add(label, "has an object without a name; add it")
            elif not difficult:
                said[name] = 1
            else:
                said.setdefault(name, -1)
    return labels
