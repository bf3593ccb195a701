"""Readings of every source, from the names of a data set's files."""

import posixpath
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

from foldwise.core.errors import UserError
from foldwise.sources.annotations import AnnotationFile, read_annotations
from foldwise.sources.csv_files import EncodingError, HeaderError
from foldwise.sources.dacon import ANSWERS, SAMPLE
from foldwise.sources.folder import PARTS
from foldwise.sources.problems import Problems
from foldwise.sources.tree import Tree
from foldwise.sources.voc import Devkit
from foldwise.starting.reading import ImageIndex, Reading, Wishes
from foldwise.starting.tables import table_readings

YEAR = re.compile(r"(?:^|/)VOC(\d{4})/")
PART_LIKE = re.compile(r"(^|[_.\- ])(train(ing)?|test(ing)?|val(id)?|images?)\d*([_.\- ]|$)")
CAMERA = re.compile(r"\d{3}[A-Z0-9_]{5}|\d{4}[-_.]\d{2}([-_.]\d{2})?")
"""Folders that a camera or a telephone begins: 100APPLE (DCF's rule), 2026-07, 2026-07-31."""
TRAIN = ("train", "training")
VALID = ("val", "valid", "validation", "dev")
TEST = ("test", "testing")


def readings(tree: Tree, wishes: Wishes) -> list[Reading]:
    """All readings of a data set, the likeliest first.

    Raises:
        UserError: nothing is known that would read it, or what the user names is not there.
    """
    index = ImageIndex(tree)
    found: list[Reading] = []
    untold = None
    for source, propose in PROPOSALS.items():
        if wishes.source in (None, source):
            try:
                found += propose(tree, index, wishes)
            except EncodingError:
                if not found:
                    raise
            except HeaderError as error:
                if source == wishes.source or wishes.table is not None:
                    raise
                untold = error
    if not found:
        raise untold or UserError(_why_none(tree, index, wishes))
    if untold is not None:
        # It may be of something else altogether.
        found[0].choices.append(str(untold))
    return found


def _dacon(tree: Tree, _: ImageIndex, __: Wishes) -> list[Reading]:
    for name in tree.files:
        folder = posixpath.dirname(name)
        if posixpath.basename(name) == ANSWERS and posixpath.join(folder, SAMPLE) in tree.files:
            why = [f"{ANSWERS} and {SAMPLE}: DACON's dirty-MNIST competition"]
            return [Reading({"source": "dacon"}, why, below=folder)]
    return []


def _voc(tree: Tree, _: ImageIndex, wishes: Wishes) -> list[Reading]:
    if not any("ImageSets/Main/" in name for name in tree.files):
        return []
    if not any("JPEGImages/" in name for name in tree.files):
        return []
    years = {int(match[1]) for name in tree.files if (match := YEAR.search(name))}
    latest_first: list[int | None] = [*sorted(years, reverse=True)]
    found = []
    for year in latest_first or [None]:
        devkit = Devkit(tree, year)
        lists = [each for each in ("trainval", "train", "val", "test") if devkit.lines(each)]
        keys: dict[str, Any] = {"year": year} if year else {}
        why = [f"ImageSets/Main and JPEGImages: PASCAL VOC {year or ''}".rstrip()]
        if "trainval" in lists:
            keys["train_list"] = "trainval"
        elif "train" in lists:
            keys |= {"train_list": "train"} | ({"valid_list": "val"} if "val" in lists else {})
        else:
            continue
        tested = "test" if "test" in lists else None
        if wishes.test is not None:
            tested = wishes.test or None
            if tested is not None and not devkit.lines(tested):
                raise UserError(f"--test: no list '{tested}' (there are {', '.join(lists)})")
        keys["test_list"] = tested
        named = [keys["train_list"], keys.get("valid_list"), tested]
        why.append(f"lists: {', '.join(filter(None, named))} (there are {', '.join(lists)})")
        found.append(Reading({"source": "voc", "voc": keys}, why))
    for each in found[1:]:
        found[0].choices.append(f"VOC of {each.data['voc']['year']}: name its folder as DATA")
    return found


def _annotations(tree: Tree, index: ImageIndex, wishes: Wishes) -> list[Reading]:
    files = {}
    for name in tree.files:
        if not name.lower().endswith(".json") or name.lower().endswith(("captions.json",)):
            continue
        try:
            files[name] = read_annotations(tree, name, Problems())
        except UserError:
            continue
    if not files:
        return []
    places = {
        name: index.place(found.table["file"].tolist(), _liked(name))
        for name, found in files.items()
    }
    files = {name: found for name, found in files.items() if places[name].share >= 0.5}
    roles = {name: _role(name) for name in files}
    train = _first(files, [name for name, role in roles.items() if role == "train"])
    if train is None:
        return []
    given = wishes.test or None
    if given is not None and given not in files:
        raise UserError(f"--test: no annotations '{given}' (there are {', '.join(files)})")
    likely = [
        name
        for role in ("test", "valid")
        for name in files
        if roles[name] == role and places[name].folder != places[train].folder
    ]
    form = "one category an image" if files[train].single else "COCO's objects"
    keys: dict[str, Any] = {"train": train, "train_images": places[train].folder}
    why = [
        f"{train}: annotations, {form}, of {len(files[train].table)} images",
        f"its images lie in {places[train].folder or 'the same folder'}",
    ]
    test = given or (likely[0] if likely and wishes.test is None else None)
    keys["test"] = test
    if test is not None:
        keys["test_images"] = places[test].folder
        why.append(f"{test}: the test part, {len(files[test].table)} images with labels")
        for name in [each for each in likely if each != test]:
            why.append(
                f"{name}: left out, as this source has one file of annotations per part "
                f"(--test '{name}' takes it for the test part)"
            )
    else:
        keys["test_images"] = _other_images(index, keys["train_images"], wishes)
        if keys["test_images"] is not None:
            why.append(f"{keys['test_images']}/: the test part, without labels")
    return [Reading({"source": "annotations", "annotations": keys}, why)]


def _first(files: dict[str, AnnotationFile], names: list[str]) -> str | None:
    """The file that the train part is in: called so, or the longest."""
    return max(
        names,
        key=lambda name: ("train" in name.lower(), len(files[name].table)),
        default=None,
    )


def _role(name: str) -> str:
    lower = name.lower()
    for role, words in (("test", TEST), ("valid", VALID)):
        if any(re.search(rf"(^|[/_.\-]){word}\d*([/_.\-]|$)", lower) for word in words):
            return role
    return "valid" if re.search(r"val(id)?\d", lower) else "train"


def _liked(name: str) -> tuple[str, ...]:
    return {"train": TRAIN, "valid": VALID, "test": TEST}[_role(name)]


def _other_images(index: ImageIndex, used: str, wishes: Wishes) -> str | None:
    if wishes.test == "":
        return None
    folders = dict.fromkeys(posixpath.dirname(name) for name in index.names)
    others = [each for each in folders if each != used and "test" in each.lower()]
    return others[0] if len(others) == 1 else None


def _folder(tree: Tree, index: ImageIndex, wishes: Wishes) -> list[Reading]:
    if not index.names:
        return []
    below = _common(index.names)
    tops = _tops(index.names, below)
    parts = {
        role: next((top for top in tops if top.lower() in words), None)
        for role, words in (("train", TRAIN), ("valid", VALID), ("test", TEST))
    }
    if parts["train"] is not None:
        inner = f"{below}/" if below else ""
        if not _tops(index.names, f"{inner}{parts['train']}"):
            return []
        others = [top for top in tops if top not in parts.values()]
        if others:
            return []
        keys = {role: f"{inner}{top}" for role, top in parts.items() if top is not None}
        if any(posixpath.basename(each) in (*VALID, *TEST) for each in (keys["train"],)):
            return []
        classes = _tops(index.names, keys["train"])
        why = [f"{keys['train']}/: a folder per class, {_listed_names(classes)}"]
        if "valid" in keys:
            why.append(f"{keys['valid']}/: joins the train part, which is divided into folds")
        if "test" in keys:
            labelled = bool(_tops(index.names, keys["test"]))
            why.append(
                f"{keys['test']}/: the test part, {'with' if labelled else 'without'} labels"
            )
        usual = {"train": "train", "valid": "val", "test": "test"}
        own = {role: name for role, name in keys.items() if name != usual[role]}
        data: dict[str, Any] = {"source": "folder"} | ({"folder": own} if own else {})
        choices = []
        if "valid" in keys:
            choices.append(
                f"{keys['valid']}/ alone is held out: set split.method: list, folds: [0]"
            )
        return [Reading(data, why, choices)]
    # `train_data` and `test_images` are parts too, of which something else must say the classes.
    classes = [
        top for top in tops if top.lower() not in PARTS and not PART_LIKE.search(top.lower())
    ]
    if len(classes) < 2 or len(classes) < len(tops):
        return []
    if wishes.source is None and all(CAMERA.fullmatch(top) for top in tops):
        return []
    why = [f"{below or 'DATA'}/: a folder per class, {_listed_names(classes)}"]
    data = {"source": "folder", "folder": {"train": below}} if below else {"source": "folder"}
    return [Reading(data, why)]


def _common(names: list[str]) -> str:
    """The folder that all images lie below."""
    folders = [PurePosixPath(name).parent.parts for name in names]
    shared = []
    for each in zip(*folders, strict=False):
        if len(set(each)) > 1:
            break
        shared.append(each[0])
    return "/".join(shared)


def _tops(names: list[str], folder: str) -> list[str]:
    """The folders directly below one, in order of their names."""
    start = len(folder) + 1 if folder else 0
    found = Counter(
        name[start:].split("/")[0]
        for name in names
        if name.startswith(f"{folder}/" if folder else "") and "/" in name[start:]
    )
    return sorted(found)


def _listed_names(names: list[str]) -> str:
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    return f"{len(names)} of them: {shown}"


def _why_none(tree: Tree, index: ImageIndex, wishes: Wishes) -> str:
    if wishes.source is not None:
        return f"{tree.root}: --source {wishes.source}: nothing here looks like it; drop the flag"
    kinds = Counter(PurePosixPath(name).suffix.lower() for name in tree.files)
    if not index.names and kinds[".heic"] + kinds[".heif"]:
        return (
            f"{tree.root}: {kinds['.heic'] + kinds['.heif']} photos are HEIC, which no source "
            "reads; convert them to JPEG (heif-convert, or the telephone's export)"
        )
    if not index.names:
        return f"{tree.root}: holds no images; is it what you meant?"
    if kinds[".xlsx"] or kinds[".xls"]:
        return f"{tree.root}: the table is Excel's, which no source reads; save it as CSV (UTF-8)"
    if kinds[".xml"]:
        return (
            f"{tree.root}: has XML beside images, but no lists (ImageSets/Main of PASCAL VOC); "
            "export it as COCO, or put the images into JPEGImages/, the XML into Annotations/ and "
            "a list of names into ImageSets/Main/trainval.txt"
        )
    stems = {name[: -len(PurePosixPath(name).suffix)] for name in index.names}
    if 2 * sum(f"{stem}.txt" in tree.files for stem in stems) >= len(stems):
        return (
            f"{tree.root}: has a text beside every image, as YOLO has; no source reads it: export "
            "it as COCO"
        )
    return (
        f"{tree.root}: has {len(index.names)} images, but no labels were found: no folder per "
        "class, and no table or annotations that name them"
    )


PROPOSALS = {
    "dacon": _dacon,
    "voc": _voc,
    "annotations": _annotations,
    "table": table_readings,
    "folder": _folder,
}
