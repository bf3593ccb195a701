"""Tables with a row per image and class, made tables with a row per image."""

import pandas as pd

from foldwise.sources.csv_files import require_columns
from foldwise.sources.labels import CELLS
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Table

BETWEEN = "\0"
"""Between the classes of an image: no name of one holds it."""
YES_OR_NO = {cell: value for cell, value in CELLS.items() if value >= 0}


def one_row_per_image(
    settings: Table, table: pd.DataFrame, label: str, problems: Problems
) -> pd.DataFrame:
    """The first row of each image, with the classes of all its rows, `BETWEEN` them.

    A class that several rows name counts once: of detections, say, each is a row. Notes cells of
    `present` that are neither 1 nor 0, classes of which one row says both, and images whose rows
    differ in their group, fold or part.
    """
    ids = table[settings.column]
    first = table[~ids.duplicated()]
    for column in (settings.group, settings.fold, settings.part):
        if column is not None and column in table:
            same = table.groupby(ids, sort=False)[column].nunique()
            for image in same.index[same > 1]:
                problems.add(
                    f"{label}: image {image}",
                    f"its rows differ in column '{column}'; correct them",
                )
    if settings.label not in table:
        return first
    shown = _rows_that_count(settings, table, label, problems)
    for row in shown.index[shown[settings.label].str.contains(BETWEEN, regex=False)]:
        problems.add(
            f"{label}: {row}, column '{settings.label}'",
            "holds control characters; write it anew",
        )
    names = shown[settings.label].groupby(shown[settings.column], sort=False)
    joined = names.agg(lambda each: BETWEEN.join(dict.fromkeys(each)))
    return first.assign(**{settings.label: ids[first.index].map(joined).fillna("")})


def _rows_that_count(
    settings: Table, table: pd.DataFrame, label: str, problems: Problems
) -> pd.DataFrame:
    """The rows that name a class that their image shows."""
    named = table[settings.label] != ""
    if settings.present is None:
        return table[named]
    require_columns(table, label, [settings.present], "data.table")
    said = table[settings.present].map(YES_OR_NO)
    for row, cell in table[settings.present][said.isna()].items():
        problems.add(
            f"{label}: {row}, column '{settings.present}'",
            f"{cell!r} is neither 1 nor 0; correct it",
        )
    values = said.groupby([table[settings.column], table[settings.label]], sort=False).nunique()
    for image, name in values.index[values > 1]:
        problems.add(
            f"{label}: image {image}",
            f"one row says that it shows '{name}', another that it does not; correct one",
        )
    return table[(said == 1) & named]
