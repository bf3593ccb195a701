"""What the columns of a table are: names of images, labels, groups, folds."""

import re
from collections import Counter
from dataclasses import dataclass, replace

import pandas as pd

from foldwise.sources.labels import CELLS
from foldwise.sources.table_rows import YES_OR_NO
from foldwise.starting.reading import ImageIndex, Place

LABELS = re.compile(
    r"(^|_)(labels?|class(es)?|categor(y|ies)|target|species|breed|diagnos[ie]s|dx|tags?|"
    r"attribute_ids|findings?|finding_labels|expression|disease|y)(_|$)"
)
GROUPS = re.compile(
    r"(^|_)(patient|subject|person|case|lesion|group|individual|animal|user|session|series|study|"
    r"site|scene|sequence|video|clip|burst|specimen|slide|plant|participant)s?(_|$)"
)
OTHER = re.compile(
    r"(^|_)(sex|gender|age|date|time|datetime|year|view|position|width|height|url|licen[cs]e|"
    r"size|camera|device|lat|latitude|lon|longitude|split|set|part|fold|kfold|unnamed|index|"
    r"confidence|source|author|is_test|license|weight|fps|frame)(_|$)"
)
FOLDS = re.compile(r"(k_?)?folds?(_?(id|number|no))?")
PRESENT = re.compile(r"(^|_)(present|presence|value|confidence|verified|positive|exists)(_|$)")
SEVERAL_ROWS = 0.05
"""Share of rows whose image has others, from which on a row is of an image and a class; below, the
rows are repeated by mistake."""
SEPARATORS = (";", "|", ",", "/", " ")
MOST_CLASSES = 2000


def words(name: str) -> str:
    """A column's name in small letters, its words divided by `_`.

    >>> words("Finding Labels"), words("patientID")
    ('finding_labels', 'patient_id')
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")


@dataclass(frozen=True)
class Labelling:
    """One way in which columns say what an image shows."""

    form: str
    """`columns`, `separated`, `class` or `rows`."""
    columns: tuple[str, ...]
    separator: str = " "
    rank: float = 0.0
    """The higher, the likelier."""
    present: str | None = None
    """Of `rows`, the column that says whether the image shows the class."""

    @property
    def flag(self) -> str:
        """That decides for it."""
        return (
            "--label-column "
            + " ".join(f"'{each}'" if re.search(r"\W", each) else each for each in self.columns[:3])
            + (" ..." if len(self.columns) > 3 else "")
        )

    @property
    def told(self) -> str:
        """In words."""
        if self.form == "columns":
            shown = ", ".join(self.columns[:6]) + (", ..." if len(self.columns) > 6 else "")
            return f"labels are the {len(self.columns)} columns of 0 and 1: {shown}"
        if self.form == "rows":
            said = f", where '{self.present}' is 1" if self.present else ""
            return f"labels are the column '{self.columns[0]}', a row per image and class{said}"
        what = "several classes" if self.form == "separated" else "one class"
        how = f", divided by {self.separator!r}" if self.form == "separated" else ""
        return f"labels are the column '{self.columns[0]}', {what} an image{how}"


def id_column(
    table: pd.DataFrame,
    index: ImageIndex,
    wanted: str | None,
    liked: tuple[str, ...],
    images: str | None = None,
) -> tuple[str, Place] | None:
    """The column whose cells find the most images, if half of them do; and where they lie.

    Args:
        table: of the rows.
        index: of the images.
        wanted: the column, if the user names it.
        liked: parts of folders' names that come first where several find as many.
        images: the folder, if the user names it.
    """
    best: tuple[str, Place] | None = None
    columns = [str(each) for each in table.columns]
    for name in [each for each in columns if each == wanted] or columns:
        place = index.place(table[name].tolist(), liked, images)
        # Numbers of rows may be names of images too: of two, the one whose cells differ.
        different = table[name].is_unique
        if best is None or (place.share, different) > (best[1].share, table[best[0]].is_unique):
            best = name, place
    return best if best is not None and best[1].share >= 0.5 else None


def group_column(table: pd.DataFrame, others: set[str]) -> str | None:
    """A column that is called like what images share, and whose values repeat."""
    for name in table.columns:
        if name in others or not GROUPS.search(words(name)):
            continue
        values = table[name][table[name] != ""]
        if 3 <= values.nunique() < len(values):
            return str(name)
    return None


def part_column(table: pd.DataFrame, others: set[str]) -> str | None:
    """A column of `train` and `test`."""
    for name in table.columns:
        if name not in others and set(table[name].unique()) == {"train", "test"}:
            return str(name)
    return None


def fold_column(table: pd.DataFrame, others: set[str]) -> str | None:
    """A column that is called folds, of whole numbers from 0 on."""
    for name in table.columns:
        if name in others or not FOLDS.fullmatch(words(name)):
            continue
        found = set(table[name].unique()) - {"-1", ""}
        if len(found) > 1 and found == {str(each) for each in range(len(found))}:
            return str(name)
    return None


def labellings(table: pd.DataFrame, others: set[str]) -> list[Labelling]:
    """All ways in which a table's columns may be labels, the likeliest first."""
    binary, found = [], []
    for place, name in enumerate(table.columns):
        if name in others:
            continue
        values = table[name]
        if set(values.unique()) <= CELLS.keys() and not OTHER.search(words(name)):
            binary.append(str(name))
        elif each := _of_one_column(str(name), values):
            found.append((each, -place))
    if len(binary) == 1:
        hinted = 2.0 if LABELS.search(words(binary[0])) else 1.0
        found.append((Labelling("class", (binary[0],), rank=hinted), 0))
    elif binary:
        found.append((Labelling("columns", tuple(binary), rank=1.5), 0))
    return [each for each, _ in sorted(found, key=lambda pair: (-pair[0].rank, -pair[1]))]


def _of_one_column(name: str, cells: pd.Series) -> Labelling | None:
    hinted = bool(LABELS.search(words(name)))
    rank = 2.0 if hinted else 0.5
    if OTHER.search(words(name)) and not hinted:
        rank = 0.2
    filled = cells[cells != ""]
    distinct = filled.nunique()
    separator = separator_of(filled)
    if separator is not None:
        return Labelling("separated", (name,), separator, rank)
    # Of a column that is called so, rows without a class are rows to leave out.
    gaps = len(filled) < len(cells) and (not hinted or 2 * len(filled) < len(cells))
    if not 2 <= distinct <= MOST_CLASSES or gaps:
        return None
    numbers = pd.to_numeric(filled, errors="coerce")
    if numbers.notna().all() and (numbers % 1 != 0).any():
        return None
    # Names and numbers of rows do not repeat; classes do.
    if distinct > len(filled) / 2:
        return None
    return Labelling("class", (name,), rank=rank)


def by_rows(table: pd.DataFrame, column: str, ways: list[Labelling]) -> list[Labelling]:
    """The ways in which a table has a row per image and class, if more than a few images have
    several rows; else the ways as they are.

    Args:
        table: of the rows.
        column: that names images.
        ways: as if each row were an image.
    """
    if table[column].duplicated(keep=False).mean() < SEVERAL_ROWS:
        return ways
    found = []
    for way in ways:
        name = way.columns[0]
        binary = set(table[name].unique()) <= CELLS.keys()
        if way.form == "class" and not binary:
            found.append(replace(way, form="rows", present=_present(table, {column, name})))
    return found or ways


def _present(table: pd.DataFrame, others: set[str]) -> str | None:
    """The column of 1 and 0 that says whether the image shows the class."""
    for name in table.columns:
        called = PRESENT.search(words(name)) or LABELS.search(words(name))
        if name not in others and called and set(table[name].unique()) <= YES_OR_NO.keys():
            return str(name)
    return None


def separator_of(cells: pd.Series) -> str | None:
    """What divides classes in a cell; None where each cell is a class.

    It leaves fewer classes than there are different cells, and most of them stand in several kinds
    of cells: `cough fever`, `cough` and `fever` are two classes, but `golden retriever`,
    `labrador retriever` and `poodle` three.

    >>> separator_of(pd.Series(["cough fever", "cough", "fever", "fever"]))
    ' '
    >>> separator_of(pd.Series(["golden retriever", "labrador retriever", "poodle"]))
    """
    kinds = [str(each) for each in cells.unique()]
    for sign in SEPARATORS:
        pieces = [{piece.strip() for piece in kind.split(sign)} - {""} for kind in kinds]
        if not any(len(each) > 1 for each in pieces):
            continue
        counts = Counter(piece for each in pieces for piece in each)
        shared = sum(count > 1 for count in counts.values())
        if len(counts) < len(kinds) and 2 * shared >= len(counts) >= 2:
            return sign
    return None
