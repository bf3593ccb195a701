"""Readings of the source `table`: which tables there are, and what their columns are."""

import posixpath
from dataclasses import dataclass
from typing import Any

import pandas as pd

from foldwise.core.errors import UserError
from foldwise.sources.corrections import COLUMNS as CORRECTIONS
from foldwise.sources.csv_files import EncodingError, HeaderError, read_table
from foldwise.sources.problems import Problems
from foldwise.sources.tree import Tree
from foldwise.starting.columns import (
    Labelling,
    by_rows,
    fold_column,
    group_column,
    id_column,
    labellings,
    part_column,
)
from foldwise.starting.reading import ImageIndex, Place, Reading, Wishes

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
CODE_PAGES = (
    "say its code page by --encoding (Excel's: cp1252 in the west, cp949 in Korea, cp932 in Japan, "
    "gbk in China), or leave it by --source folder"
)
LIKED = {"train": ("train",), "valid": ("val", "dev"), "test": ("test",), "sample": ("test",)}


@dataclass(frozen=True)
class Found:
    """A table whose rows name images."""

    name: str
    table: pd.DataFrame
    column: str
    place: Place

    @property
    def role(self) -> str:
        """What its path says it is of."""
        return role_of(self.name)


def _in_folder(folder: str) -> str:
    if folder.endswith("**"):
        return f" in the folders below {folder.removesuffix('**').strip('/') or 'DATA'}"
    return f" in {folder}/" if folder else ""


def role_of(name: str) -> str:
    """What the path of a table says it is of.

    >>> role_of("sample_submission.csv"), role_of("valid/metadata.csv"), role_of("labels.csv")
    ('sample', 'valid', 'train')
    """
    lower = name.lower()
    if "submission" in lower:
        return "sample"
    for role in ("test", "valid"):
        if any(posixpath.basename(part).startswith(LIKED[role]) for part in lower.split("/")):
            return role
    return "train"


def table_readings(tree: Tree, index: ImageIndex, wishes: Wishes) -> list[Reading]:
    """All readings of the tree's tables, the likeliest first.

    Raises:
        EncodingError, HeaderError: a table that may be the one cannot be read.
        UserError: a table or column that the user names is not there.
    """
    found, unread = _tables(tree, index, wishes)
    mains = [each for each in found if each.role == "train" or each.name == wishes.table]
    if not mains:
        if unread:
            raise unread[0]
        return []
    readings = []
    labelled = [(each, _ways(each, wishes)) for each in mains]
    ranked = [pair for pair in labelled if pair[1]]
    ranked.sort(
        key=lambda pair: (-pair[1][0].rank, "train" not in pair[0].name, -len(pair[0].table))
    )
    for main, ways in ranked[:3]:
        others = [each for each in found if each.name != main.name]
        for way in ways[:3]:
            readings.append(_reading(tree, index, main, way, others, wishes))
    if not readings and wishes.source == "table":
        columns = ", ".join(mains[0].table.columns[:20])
        raise UserError(
            f"{tree.label(mains[0].name)}: no column looks like labels (it has {columns}); name "
            "one by --label-column"
        )
    return readings


def _tables(tree: Tree, index: ImageIndex, wishes: Wishes) -> tuple[list[Found], list[UserError]]:
    """Tables whose rows name images, and what is said of those that cannot be read."""
    names = [name for name in tree.files if name.lower().endswith(SUFFIXES)]
    if wishes.table is not None and wishes.table not in names:
        known = ", ".join(names[:5]) or "none"
        raise UserError(f"--table: {tree.root} has no table '{wishes.table}' (it has {known})")
    found: list[Found] = []
    unread: list[UserError] = []
    for name in names:
        try:
            table = read_table(tree, name, Problems(), encoding=wishes.encoding)
        except UserError as error:
            if isinstance(error, EncodingError) and not wishes.encoding:
                error = EncodingError(f"{str(error).partition(';')[0]}; {CODE_PAGES}")
            if name == wishes.table:
                raise error from None
            if isinstance(error, EncodingError | HeaderError):
                unread.append(error)
            continue
        if list(table.columns) == CORRECTIONS:
            # Answers about a data set, which may lie in it.
            continue
        role = role_of(name)
        images = wishes.images if role == "train" or name == wishes.table else None
        column = id_column(table, index, wishes.id_column, LIKED[role], images)
        if column is not None:
            found.append(Found(name, table, *column))
    if wishes.test and found and wishes.test not in {each.name for each in found}:
        known = ", ".join(each.name for each in found)
        raise UserError(f"--test: no table '{wishes.test}' names images (there are {known})")
    columns = {str(column) for each in found for column in each.table.columns}
    asked = {"--id-column": [wishes.id_column], "--label-column": wishes.label_column}
    for flag, given in (asked | {"--group-column": [wishes.group_column]}).items():
        for each in given:
            if each and found and each not in columns:
                known = ", ".join(found[0].table.columns[:20])
                raise UserError(f"{flag}: no table has a column '{each}' (there are {known})")
    return found, unread


def _settled(main: Found, wishes: Wishes) -> dict[str, str | None]:
    """Columns that are no labels, by what they are."""
    others = {main.column, *wishes.label_column}
    group = wishes.group_column
    if group is None:
        group = group_column(main.table, others)
    others |= {group} if group else set()
    part = part_column(main.table, others)
    others |= {part} if part else set()
    fold = fold_column(main.table, others)
    return {"group": group or None, "part": part, "fold": fold}


def _ways(main: Found, wishes: Wishes) -> list[Labelling]:
    settled = {each for each in _settled(main, wishes).values() if each}
    given = [each for each in wishes.label_column if each in main.table.columns]
    if len(given) > 1:
        return [Labelling("columns", tuple(given), rank=9)]
    ways = labellings(main.table, {main.column, *settled})
    if given:
        own = [each for each in ways if each.columns == tuple(given)]
        ways = own or [Labelling("class", tuple(given), rank=9)]
    return by_rows(main.table, main.column, ways)


def _reading(
    tree: Tree,
    index: ImageIndex,
    main: Found,
    way: Labelling,
    others: list[Found],
    wishes: Wishes,
) -> Reading:
    settled = _settled(main, wishes)
    keys: dict[str, Any] = {"file": main.name, "column": main.column}
    why = [
        f"{main.name}: a table of {len(main.table)} rows",
        f"the column '{main.column}' names images: {main.place.share:.0%} of its cells are files"
        + _in_folder(main.place.folder)
        + (f", once '{main.place.suffix}' is added" if main.place.suffix else ""),
        way.told,
    ]
    keys |= {"suffix": main.place.suffix} if main.place.suffix else {}
    keys |= {"labels": way.form}
    keys |= {"encoding": wishes.encoding} if wishes.encoding else {}
    if way.form != "columns":
        keys |= {"label": way.columns[0]}
    if way.form == "separated":
        keys |= {"separator": way.separator}
    keys |= {"present": way.present} if way.present else {}
    beside = _beside(main, others, settled, wishes)
    if beside and settled["part"] is None:
        keys, more = _with_parts(keys, main, beside)
        why += more
    else:
        keys |= {"images": main.place.folder} if main.place.folder else {}
    for what in ("group", "part", "fold"):
        if settled[what] is not None and not (what == "fold" and "valid" in keys):
            keys |= {what: settled[what]}
            number = main.table[settled[what]].nunique()
            why.append(f"the column '{settled[what]}' is the {what} ({number} different values)")
    data: dict[str, Any] = {"source": "table", "table": keys}
    known = {main.column, *way.columns, way.present, *(each for each in settled.values() if each)}
    rest = [str(each) for each in main.table.columns if each not in known]
    if way.form == "columns" and rest:
        data["classes"] = list(way.columns)
    if rest:
        why.append(f"columns that are not used: {', '.join(rest[:8])}")
    if "test" not in keys and "sample" not in keys and settled["part"] is None:
        why.append(_no_test(index, main, beside))
    used = [each.place.folder for each in (main, *beside.values())]
    outside = index.outside(used)
    if outside:
        why.append(
            f"{len(outside)} images elsewhere are not used, such as {outside[0]}; if they are "
            "meant: --images"
        )
    split: dict[str, Any] = {"group": True} if "group" in keys else {}
    split |= {"method": "list"} if "fold" in keys else {}
    return Reading(data, why, [*_choices(main, way, wishes), *_other_places(main)], split)


def _beside(
    main: Found, others: list[Found], settled: dict[str, str | None], wishes: Wishes
) -> dict[str, Found]:
    """Tables of other parts, by their role, that name their images as the main one does."""
    found: dict[str, Found] = {}
    for each in others:
        role = "test" if each.name == wishes.test else each.role
        if role == "train" or main.column not in each.table.columns:
            continue
        if role == "test" and wishes.test not in (None, each.name):
            continue
        if each.place.suffix == main.place.suffix and role not in found:
            found[role] = each
    if "test" in found or wishes.test == "":
        found.pop("sample", None)
    return found


def _with_parts(
    keys: dict[str, Any], main: Found, beside: dict[str, Found]
) -> tuple[dict[str, Any], list[str]]:
    """The keys with those of other tables, and why."""
    why = []
    for role, each in beside.items():
        keys |= {role: each.name}
        said = {
            "valid": "joins the train part",
            "test": "is the test part",
            "sample": "is the test part, as a sample submission: its labels do not count",
        }[role]
        why.append(f"{each.name}: {said} ({len(each.table)} rows)")
    tables = [main, *beside.values()]
    own = all(each.place.folder == posixpath.dirname(each.name) for each in tables)
    folders = {each.place.folder for each in tables}
    if len(folders) > 1 and own:
        why.append("every table lies beside its own images")
        return keys, why
    keys |= {"images": main.place.folder} if main.place.folder else {}
    tested = beside.get("test") or beside.get("sample")
    if tested is not None and tested.place.folder != main.place.folder:
        keys |= {"test_images": tested.place.folder}
    if "valid" in beside and beside["valid"].place.folder != main.place.folder:
        why.append(
            f"{keys.pop('valid')}: left out, as its images lie elsewhere; put them into "
            f"{main.place.folder or 'the same folder'}"
        )
    return keys, why


def _no_test(index: ImageIndex, main: Found, beside: dict[str, Found]) -> str:
    folders = {posixpath.dirname(name) for name in index.names}
    alone = [each for each in sorted(folders) if "test" in each.lower().split("/")[0]]
    if alone and not beside and main.place.folder not in alone and main.place.folder:
        return (
            f"no test part: {alone[0]}/ holds images that no table lists; label them afterwards "
            "by `python -m foldwise apply`"
        )
    return "no test part of its own: a fifth is held out"


def _choices(main: Found, way: Labelling, wishes: Wishes) -> list[str]:
    if wishes.label_column:
        return []
    others = [each for each in _ways(main, wishes) if each.columns != way.columns]
    return [f"{each.told}: {each.flag}" for each in others if each.rank >= 0.5][:3]


def _other_places(main: Found) -> list[str]:
    return [
        f"{count} of these names are in {folder or 'DATA itself'} too: --images {folder or '.'}"
        for folder, count in main.place.others[:2]
    ]
