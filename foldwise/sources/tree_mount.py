"""Putting folders, archives and single files together to one tree."""

import os
from pathlib import Path

from foldwise.core.errors import UserError
from foldwise.sources.archives import SUFFIXES, is_archive, open_archive
from foldwise.sources.names import has_controls, normal, printable
from foldwise.sources.tree import Container, Folder, Tree, is_litter


def open_tree(paths: list[Path], zip_encoding: str | None = None) -> Tree:
    """Everything in some folders, archives and single files, put together.

    An archive stands for a folder of its name without the suffix, as if it were unpacked there; a
    folder of that name beside it comes first. One that is a path of its own stands for that path.

    Args:
        paths: of the folders, archives and files.
        zip_encoding: code page of names in zip files that are not said to be UTF-8.

    Raises `UserError` if a path does not exist or cannot be read, an archive is unsafe, a link
    leads to a folder below one of the paths, or two files of the same name differ.
    """
    files: dict[str, tuple[Container, str]] = {}
    for path in paths:
        # Unlike `Path.exists`, it raises no error about folders above that may not be read.
        if not os.path.exists(path):  # noqa: PTH110
            raise UserError(
                f"{printable(str(path))}: no such file or folder; set data.path to where the "
                "data is, and may be read"
            )
        if path.is_dir():
            _add_folder(files, path, zip_encoding)
        elif is_archive(path.name):
            _add_container(files, open_archive(path, zip_encoding), "")
        elif len(paths) > 1:
            _add_one(files, path.name, Folder(path.parent), path.name)
        else:
            known = ", ".join(SUFFIXES)
            raise UserError(f"{path}: is neither a folder nor an archive ({known})")
    root = str(paths[0]) if len(paths) == 1 else os.path.commonpath(paths)
    return Tree(root, dict(sorted(files.items())))


def _add_folder(
    files: dict[str, tuple[Container, str]], path: Path, zip_encoding: str | None
) -> None:
    folder = Folder(path)
    names = list(folder.names())
    tops = {name.split("/")[0] for name in names if "/" in name}
    for name in names:
        stem = is_archive(name)
        if stem and "/" not in name:
            if stem not in tops:
                _add_container(files, open_archive(path / name, zip_encoding), f"{stem}/")
        else:
            _add_one(files, name, folder, name)


def _add_container(
    files: dict[str, tuple[Container, str]], container: Container, prefix: str
) -> None:
    names = [name for name in container.names() if not is_litter(name)]
    top = prefix or f"{is_archive(Path(container.label('')).name)}/"
    # Packed with or without its folder: both are common.
    packed = len(top) if names and all(name.startswith(top) for name in names) else 0
    for name in names:
        _add_one(files, prefix + name[packed:], container, name)


def _add_one(
    files: dict[str, tuple[Container, str]], name: str, container: Container, inner: str
) -> None:
    if has_controls(name):
        raise UserError(
            f"{printable(container.label(inner))}: its name is not UTF-8 or holds control "
            "characters; rename it"
        )
    name = normal(name)
    if name in files:
        other, other_name = files[name]
        try:
            same = other.read(other_name) == container.read(inner)
        except ValueError as error:
            raise UserError(
                f"{container.label(inner)}: is there twice, of which one {error}; remove one"
            ) from None
        if not same:
            raise UserError(
                f"{container.label(inner)}: differs from {other.label(other_name)}, which has the "
                "same name; remove one"
            )
    else:
        files[name] = container, inner
