"""The images of a folder on the disk, in order, however many there are."""

import heapq
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from foldwise.images.decode import SUFFIXES

HELD = 100_000
"""Names of one folder that are held at a time; more are sorted through temporary files."""


def is_folder(path: Path) -> bool:
    """False too where nobody can tell; reading says why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def has_image_suffix(name: str) -> bool:
    """Whether a file in a folder is taken for an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122  # of millions


def is_hidden(name: str) -> bool:
    """Whether a file or folder is passed over: hidden, or added to archives by macOS."""
    return name.startswith(".") or name == "__MACOSX"


def folder_images(folder: Path) -> Iterator[str]:
    """Paths of the images below a folder, sorted as `pathlib` sorts; links to folders are not
    followed."""
    for name, inner in in_order(_entries(folder)):
        if inner:
            yield from folder_images(folder / name)
        else:
            yield str(folder / name)


def would_list(folder: Path, path: Path) -> bool:
    """Whether `folder_images` of the folder gives this path."""
    if not path.is_relative_to(folder) or is_folder(path):
        return False
    parts = path.relative_to(folder).parts
    if not parts or any(map(is_hidden, parts)) or not has_image_suffix(parts[-1]):
        return False
    between = (folder.joinpath(*parts[:count]) for count in range(1, len(parts)))
    return os.path.lexists(path) and not any(each.is_symlink() for each in between)


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """Names of images and folders right in a folder, in any order; True: a folder."""
    try:
        found = os.scandir(folder)
    except PermissionError:
        return
    with found:
        for entry in found:
            if is_hidden(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield entry.name, True
            elif has_image_suffix(entry.name) and not _leads_to_folder(entry):
                yield entry.name, False


def _leads_to_folder(entry: "os.DirEntry[str]") -> bool:
    return entry.is_symlink() and is_folder(Path(entry.path))


def in_order(entries: Iterator[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
    """The entries sorted, no more than `HELD` of them in memory."""
    with ExitStack() as stack:
        runs: list[Iterator[tuple[str, bool]]] = []
        while held := sorted(islice(entries, HELD)):
            if not runs and len(held) < HELD:
                yield from held
                return
            file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="ascii"))
            file.writelines(json.dumps(each) + "\n" for each in held)
            file.seek(0)
            runs.append((name, inner) for name, inner in map(json.loads, file))
        yield from heapq.merge(*runs)
