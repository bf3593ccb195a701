"""One way to read a data set, and how names in tables find images."""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from foldwise.images.decode import SUFFIXES
from foldwise.sources.names import normal
from foldwise.sources.pairs import is_called_an_image
from foldwise.sources.paths import folder_and_below
from foldwise.sources.tree import Tree


@dataclass(frozen=True)
class Wishes:
    """What the user decides, where more than one reading is possible."""

    source: str | None = None
    table: str | None = None
    id_column: str | None = None
    label_column: tuple[str, ...] = ()
    """One column of classes, or several of 0 and 1."""
    group_column: str | None = None
    """Empty: none."""
    test: str | None = None
    """The table, or the list of VOC, of the test part; empty: none."""
    encoding: str | None = None
    """Code page of tables that are not UTF-8."""
    images: str | None = None
    """Folder that tables' names are relative to."""


@dataclass(frozen=True)
class Reading:
    """One way to read a data set."""

    data: dict[str, Any]
    """Keys of params.yaml's `data`, `source` first; `path` is added later."""
    why: list[str]
    """What was found, and by what; a line each."""
    choices: list[str] = field(default_factory=list)
    """Other readings, each with the flag that decides for it."""
    split: dict[str, Any] = field(default_factory=dict)
    """Keys of `split` that the source settles."""
    below: str = ""
    """Folder below DATA that `data.path` must be."""


@dataclass(frozen=True)
class Place:
    """Where the images lie that some cells speak of."""

    folder: str
    """`""`: the data set's own; `a/**`: the folders below `a`."""
    suffix: str
    """That the cells leave out."""
    share: float
    """Of the cells that find an image there."""
    others: tuple[tuple[str, int], ...] = ()
    """Other folders in which some of these names are too, and how many, the most first."""


class ImageIndex:
    """The images of a tree by the stems of their names."""

    def __init__(self, tree: Tree) -> None:
        self.names = [name for name in tree.files if is_called_an_image(name)]
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            self._by_stem[PurePosixPath(name).stem].append(name)

    def outside(self, folders: Iterable[str]) -> list[str]:
        """Images that lie in none of some folders, `a/**` among them."""
        starts = [f"{plain}/" if plain else "" for plain, _ in map(folder_and_below, folders)]
        return [name for name in self.names if not name.startswith(tuple(starts))]

    def place(
        self, cells: Sequence[str], liked: Iterable[str] = (), images: str | None = None
    ) -> Place:
        """The folder and suffix by which the most cells find their images.

        Args:
            cells: of a column.
            liked: parts of folders' names that come first where several find as many.
            images: the only folder that counts; `a/**`: the folders below `a`.
        """
        votes, alone = self._votes(cells, images)
        if not votes:
            return Place("", "", 0.0)
        words = tuple(liked)
        best = max(
            votes,
            key=lambda each: (votes[each], any(word in each[0].lower() for word in words), each),
        )
        # Where a suffix is added, names that have one are files all the same.
        suffixes = {best[1], ""}
        most = sum(votes[best[0], suffix] for suffix in suffixes)
        if images is not None:
            return Place(images, best[1], most / max(1, len(cells)))
        # A camera, or a telephone, begins a folder anew every so often.
        spread = {each: count for each, count in alone.items() if each[1] in suffixes}
        if sum(spread.values()) > most:
            above = posixpath.commonpath([f"/{folder}" for folder, _ in spread])
            best = f"{above}/**".strip("/"), best[1]
            most = sum(spread.values())
        # What lies in one folder alone is no other reading of these names.
        others = tuple(
            (folder, count)
            for (folder, suffix), count in (votes - alone).most_common()
            if suffix == best[1] and folder != best[0]
        )
        return Place(*best, most / max(1, len(cells)), others)

    def _votes(
        self, cells: Sequence[str], images: str | None
    ) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        """How many cells find an image by each folder and suffix; how many by that one alone."""
        wanted, below = folder_and_below(images or "")
        start = f"{wanted}/" if wanted else ""
        votes: Counter[tuple[str, str]] = Counter()
        alone: Counter[tuple[str, str]] = Counter()
        for cell in cells:
            found = set(self._places(normal(cell).strip().replace("\\", "/")))
            if images is not None:
                found = {
                    (wanted, suffix)
                    for each, suffix in found
                    if each == wanted or (below and f"{each}/".startswith(start))
                }
            votes.update(found)
            alone.update(found if len(found) == 1 else ())
        return votes, alone

    def _places(self, cell: str) -> Iterable[tuple[str, str]]:
        path = PurePosixPath(cell)
        given = path.suffix.lower() in SUFFIXES
        stem = path.stem if given else path.name
        for name in self._by_stem.get(stem, ()):
            own = PurePosixPath(name).suffix
            if given and own.lower() != path.suffix.lower():
                continue
            whole = name[: -len(own)] if own else name
            wanted = cell[: -len(path.suffix)] if given else cell
            if whole == wanted or whole.endswith("/" + wanted):
                yield whole[: len(whole) - len(wanted)].strip("/"), "" if given else own
            elif cell.startswith("/") or ":" in cell[:3]:
                # From another machine: the source finds out what folders to cut off.
                yield "", "" if given else own
