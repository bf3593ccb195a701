"""What a data set is: the first reading under which its source loads."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foldwise.core.errors import UserError
from foldwise.core.settings import validated
from foldwise.sources.annotations import load_annotations
from foldwise.sources.class_names import check_names
from foldwise.sources.dacon import load_dacon
from foldwise.sources.folder import load_folder
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data, Download
from foldwise.sources.source import Source
from foldwise.sources.table import load_table
from foldwise.sources.tree import Tree
from foldwise.sources.tree_mount import open_tree
from foldwise.sources.voc import load_voc
from foldwise.starting.layouts import readings
from foldwise.starting.reading import Reading, Wishes

LOADERS: dict[str, Callable[[Data, Tree, Problems], Source]] = {
    "dacon": load_dacon,
    "voc": load_voc,
    "annotations": load_annotations,
    "table": load_table,
    "folder": load_folder,
}


@dataclass(frozen=True)
class DataSet:
    """A data set that can be read."""

    reading: Reading
    data: dict[str, Any]
    """`data` of params.yaml."""
    source: Source
    dropped: list[dict[str, str]]
    """Images and rows that cannot be read: `image` and `reason`."""
    others: list[Reading]
    """Other readings under which a source loads."""


@dataclass(frozen=True)
class Given:
    """Where a data set's files are."""

    paths: list[Path]
    path: str
    """For `data.path`."""
    downloads: tuple[Download, ...] = ()


def find(given: Given, wishes: Wishes, extra_path: str) -> DataSet:
    """The likeliest reading that loads, and which others would.

    Args:
        given: the files.
        wishes: what the user decides.
        extra_path: of params.yaml.

    Raises:
        UserError: no reading loads; what is wrong under the likeliest; or a wish is for another.
    """
    tree = open_tree(given.paths)
    loaded: list[DataSet] = []
    refused: UserError | None = None
    for reading in readings(tree, wishes):
        if reading.data["source"] in {each.data["source"] for each in loaded}:
            # Other columns of one table are told as its choices.
            continue
        try:
            loaded.append(_load(given, tree, reading, extra_path))
        except UserError as error:
            refused = refused or error
    if not loaded:
        assert refused is not None
        raise refused
    _refuse_unused(loaded[0].reading, wishes)
    return replace(loaded[0], others=[each.reading for each in loaded[1:]])


def _refuse_unused(reading: Reading, wishes: Wishes) -> None:
    """Raise `UserError` for a flag that the data set's source has no use for."""
    source = reading.data["source"]
    given = {
        "--table": wishes.table,
        "--id-column": wishes.id_column,
        "--label-column": wishes.label_column or None,
        "--group-column": wishes.group_column,
        "--encoding": wishes.encoding,
        "--images": wishes.images,
    }
    for flag, value in given.items():
        if value is not None and source != "table":
            raise UserError(
                f"{flag}: is for a table, and this is read as {source} ({reading.why[0]}); drop "
                "it, or write --source table"
            )
    if wishes.test is not None and source in ("folder", "dacon"):
        raise UserError(
            f"--test: the test part of {source} is what lies in its place; drop the flag, or move "
            "that away"
        )


def _load(given: Given, tree: Tree, reading: Reading, extra_path: str) -> DataSet:
    path = given.path
    if reading.below:
        if not Path(path).is_dir():
            raise UserError(
                f"{path}: holds all in {reading.below}/; unpack it, and name that folder"
            )
        path = f"{path}/{reading.below}"
        tree = open_tree([Path(path)])
    content: dict[str, Any] = {"source": reading.data["source"], "path": path}
    content |= {"extra_path": extra_path}
    content |= {key: each for key, each in reading.data.items() if key != "source"}
    if given.downloads:
        content["downloads"] = [each.model_dump() for each in given.downloads]
    data: Data = validated(content, Data, ("data",))
    problems = Problems(skip=True)
    source = LOADERS[data.source](data, tree, problems)
    problems.check()
    check_names(source, path)
    if "train" not in source.parts or not (source.labels == 1).any():
        raise UserError(f"{path}: read as {data.source}, no image has a label")
    if problems.dropped:
        content["on_error"] = "skip"
    return DataSet(reading, content, source, problems.dropped, [])
