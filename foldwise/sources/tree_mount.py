"""Putting folders, archives and single files together to one tree."""

import os
import unicodedata
from pathlib import Path

from foldwise.core.errors import UserError
from foldwise.sources.archives import SUFFIXES, is_archive, open_archive
from foldwise.sources.names import normal
from foldwise.sources.tree import Container, Folder, Tree

# What operating systems leave in folders and archives.
LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def open_tree(paths: list[Path]) -> Tree:
    """Everything in some folders, archives and single files, put together.

    An archive stands for a folder of its name without the suffix, as if it were unpacked there; a
    folder of that name beside it comes first. One that is a path of its own stands for that path.

    Raises `UserError` if a path does not exist, an archive is unsafe, or two files of the same name
    differ.
    """
    files: dict[str, tuple[Container, str]] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such file or folder; set data.path to where the data is")
        if path.is_dir():
            _add_folder(files, path)
        elif is_archive(path.name):
            _add_container(files, open_archive(path), "")
        elif len(paths) > 1:
            _add_one(files, path.name, Folder(path.parent), path.name)
        else:
            known = ", ".join(SUFFIXES)
            raise UserError(f"{path}: is neither a folder nor an archive ({known})")
    root = str(paths[0]) if len(paths) == 1 else os.path.commonpath(paths)
    return Tree(root, dict(sorted(files.items())))


def _add_folder(files: dict[str, tuple[Container, str]], path: Path) -> None:
    folder = Folder(path)
    names = list(folder.names())
    tops = {name.split("/")[0] for name in names if "/" in name}
    for name in names:
        stem = is_archive(name)
        if _is_litter(name):
            continue
        if stem and "/" not in name:
            if stem not in tops:
                _add_container(files, open_archive(path / name), f"{stem}/")
        else:
            _add_one(files, name, folder, name)


def _add_container(
    files: dict[str, tuple[Container, str]], container: Container, prefix: str
) -> None:
    names = [name for name in container.names() if not _is_litter(name)]
    top = prefix or f"{is_archive(Path(container.label('')).name)}/"
    # Packed with or without its folder: both are common.
    packed = len(top) if names and all(name.startswith(top) for name in names) else 0
    for name in names:
        _add_one(files, prefix + name[packed:], container, name)


def _add_one(
    files: dict[str, tuple[Container, str]], name: str, container: Container, inner: str
) -> None:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise UserError(
            f"{container.label(inner)!r}: its name is not UTF-8 or holds control characters; "
            "rename it"
        )
    name = normal(name)
    if name in files:
        other, other_name = files[name]
        if other.read(other_name) != container.read(inner):
            raise UserError(
                f"{container.label(inner)}: differs from {other.label(other_name)}, which has the "
                "same name; remove one"
            )
    else:
        files[name] = container, inner


def _is_litter(name: str) -> bool:
    return any(part.startswith(".") or part in LITTER for part in name.split("/"))
