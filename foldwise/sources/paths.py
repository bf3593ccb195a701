"""Which file a row means: paths as tables and annotations spell them, on any system."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from foldwise.core.settings import Settings
from foldwise.sources.names import normal
from foldwise.sources.tree import Tree

Paths = TypeVar("Paths", bound=Settings)
ABSOLUTE = re.compile(r"(/|~|[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]+:/)")


class Resolver:
    """Finds the files that rows speak of.

    A name that is there counts as it stands. Else what can mean only one thing is taken for it:
    blanks around, `\\` for `/`, `./` and `a/../`, a path from the root of the disk or of the data
    set, a suffix in another case. Of a folder `a/**` what is not in `a` itself may be in any folder
    below, if it is in one alone.
    """

    def __init__(self, tree: Tree, folder: str, suffix: str = "") -> None:
        """
        Args:
            tree: holds the files.
            folder: that rows are relative to; see `folder_and_below`.
            suffix: that rows leave out.
        """
        self._files = tree.files
        folder, below = folder_and_below(folder)
        self._folder = f"{folder}/" if folder else ""
        self._suffix = suffix
        self._roots = _roots(tree)
        self._any_case: dict[str, list[str]] = {}
        for name in tree.files:
            self._any_case.setdefault(_lower_suffix(name), []).append(name)
        self._below: dict[str, list[str]] = {}
        for name in tree.below(folder) if below else ():
            self._below.setdefault(_lower_suffix(posixpath.basename(name)), []).append(name)

    def names(self, cells: Sequence[str]) -> list[str]:
        """(rows): each row's file in the tree, or where it should be."""
        found = [self._find(cell) for cell in cells]
        if None in found:
            cut = self._without_prefix(cells)
            found = [name or other for name, other in zip(found, cut, strict=True)]
        return [
            name or normal(self._folder + _slashes(cell.strip() + self._suffix))
            for name, cell in zip(found, cells, strict=True)
        ]

    def several(self, cell: str) -> list[str]:
        """The files that a row may mean, where they are several in folders below one."""
        if not self._below or self._find(cell) is not None:
            return []
        for name in self._spellings(_slashes(normal(cell).strip())):
            if alike := self._alike_below(name):
                return alike
        return []

    def _alike_below(self, name: str) -> list[str]:
        wanted = _lower_suffix(name.removeprefix(self._folder))
        alike = self._below.get(posixpath.basename(wanted), [])
        return [each for each in alike if _lower_suffix(f"/{each}").endswith(f"/{wanted}")]

    def _find(self, cell: str) -> str | None:
        exact = normal(self._folder + cell + self._suffix)
        if exact in self._files:
            return exact
        spelled = list(self._spellings(_slashes(normal(cell).strip())))
        for name in spelled:
            if name in self._files:
                return name
        for name in spelled:
            alike = self._any_case.get(_lower_suffix(name), [])
            if len(alike) == 1:
                return alike[0]
        for name in spelled if self._below else ():
            alike = self._alike_below(name)
            if len(alike) == 1:
                return alike[0]
        return None

    def _spellings(self, path: str) -> Iterator[str]:
        """Names that a path may stand for, the likeliest first."""
        for suffix in dict.fromkeys((self._suffix, "")):
            whole = posixpath.normpath(path + suffix)
            yield posixpath.normpath(self._folder + path + suffix)
            if self._folder and whole.startswith(self._folder):
                yield whole
            for root in self._roots:
                if whole.startswith(root):
                    yield whole[len(root) :]

    def _without_prefix(self, cells: Sequence[str]) -> list[str | None]:
        """(rows): the file of each absolute path once some folders are cut off its start.

        They are those that find the most rows, more than half of the absolute ones at least; where
        other folders find as many but other files, none are cut.
        """
        paths = [posixpath.normpath(_slashes(normal(cell).strip())) for cell in cells]
        absolute = {row: path for row, path in enumerate(paths) if ABSOLUTE.match(path)}
        best: list[list[str | None]] = []
        most = len(absolute) // 2
        for prefix in _prefixes_of_most(list(absolute.values())):
            found: list[str | None] = [None] * len(cells)
            for row, path in absolute.items():
                if path.startswith(prefix):
                    found[row] = self._find(path[len(prefix) :])
            count = len(found) - found.count(None)
            if count > most:
                best, most = [found], count
            elif count == most and best and found not in best:
                best.append(found)
        return best[0] if len(best) == 1 else [None] * len(cells)


def folder_and_below(folder: str) -> tuple[str, bool]:
    """A folder as the tree calls it, and whether all folders below it count too.

    >>> folder_and_below("./photos/"), folder_and_below("photos/**"), folder_and_below("**")
    (('photos', False), ('photos', True), ('', True))
    """
    plain = folder.removesuffix("**")
    plain = posixpath.normpath(_slashes(plain)).strip("/")
    return "" if plain == "." else plain, folder.endswith("**")


def plain_paths(settings: Paths, tree: Tree, *keys: str) -> Paths:
    """The settings with the files and folders that some keys hold called as the tree calls them.

    What is there counts as it stands. Else `\\` is `/`, `./` and `a/../` are nothing, and a path
    may start at the root of the disk or in the working folder if it leads below the tree's root.
    """
    written = {key: getattr(settings, key) for key in settings.model_fields_set.intersection(keys)}
    plain = {key: _name_in(tree, path) for key, path in written.items() if path is not None}
    return settings.model_copy(update=plain)


def _name_in(tree: Tree, path: str) -> str:
    exact = normal(path)
    if exact in tree.files:
        return exact
    plain = posixpath.normpath(_slashes(exact))
    plain = "" if plain == "." else plain
    whole = posixpath.normpath(posixpath.join(Path.cwd().as_posix(), plain))
    below = [f"{whole}/"[len(root) : -1] for root in _roots(tree) if f"{whole}/".startswith(root)]
    if posixpath.isabs(plain) or not (plain in tree.files or tree.below(plain)):
        return next(iter(below), plain)
    return plain


def _roots(tree: Tree) -> list[str]:
    """How a path from the root of the disk begins that leads below the tree's root."""
    root = Path(tree.root)
    return list(dict.fromkeys(f"{each}/" for each in (root.absolute(), root.resolve())))


def _prefixes_of_most(paths: Sequence[str]) -> Iterator[str]:
    """The folders, `/` at their end, that more than half of the paths begin with.

    >>> list(_prefixes_of_most(["/data/a/1.png", "/data/a/2.png", "/data/b/1.png", "/c/1.png"]))
    ['/', '/data/']
    """
    prefix, below = "", list(paths)
    while True:
        following = Counter(
            path[: path.index("/", len(prefix)) + 1] for path in below if "/" in path[len(prefix) :]
        )
        prefix, count = following.most_common(1)[0] if following else ("", 0)
        if 2 * count <= len(paths):
            return
        yield prefix
        below = [path for path in below if path.startswith(prefix)]


def common_folders(paths: Sequence[str]) -> list[str]:
    """The folders that all paths begin with.

    >>> common_folders(["/data/a/1.png", "/data/b/1.png"])
    ['', 'data']
    """
    folders = [path.split("/")[:-1] for path in paths]
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared


def what_misses(tree: Tree, names: Sequence[str]) -> str:
    """What the names of files that are all not there have in common, and where some may be."""
    shared = "/".join(common_folders(names))
    files = {PurePosixPath(name).stem: name for name in tree.files}
    there = [files[stem] for name in names if (stem := PurePosixPath(name).stem) in files]
    said = [f"all begin with '{shared}/'"] if shared else []
    if there:
        folder, _ = Counter(posixpath.dirname(name) for name in there).most_common(1)[0]
        said.append(f"{len(there)} like them are in {tree.root}/{folder}".rstrip("/"))
    suffixes = {PurePosixPath(name).suffix for name in names}
    own = {PurePosixPath(name).suffix for name in there}
    if len(suffixes) == 1 and own and suffixes.isdisjoint(own):
        suffix, other = suffixes.pop() or "no suffix", " or ".join(sorted(own)) or "no suffix"
        said.append(f"named with {suffix}, not {other}")
    return ", ".join(said)


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def _lower_suffix(name: str) -> str:
    stem, suffix = posixpath.splitext(name)
    return stem + suffix.lower()
