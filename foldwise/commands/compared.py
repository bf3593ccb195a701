"""Tables that say how two runs differ, for a terminal or a pull request."""

import numpy as np
import pandas as pd
from tabulate import tabulate

from foldwise.evaluation.headline import Drawn
from foldwise.scoring.bootstrap import LEVEL

VERDICTS = {"helps": "better", "hurts": "worse", "within noise": "within noise"}
COLUMNS = ["name", "old", "new", "difference", "low", "high", "verdict"]


def difference_table(pairs: dict[str, tuple[Drawn, Drawn]]) -> pd.DataFrame:
    """How figures of two runs differ.

    Args:
        pairs: by name, one figure of the old run and of the new one, of the same draws.

    Returns:
        `name`, `old`, `new`, `difference` with `low` and `high` (paired 95 % interval), and
        `verdict`: better, worse or within noise. NaN and None where a run has no such figure.
    """
    rows = []
    for name, (old, new) in pairs.items():
        row: dict[str, object] = {"name": name, "old": float(old.value), "new": float(new.value)}
        if not np.isnan(old.value) and not np.isnan(new.value):
            gain = (new - old).interval()
            row |= {"difference": gain.value, "low": gain.low, "high": gain.high}
            row["verdict"] = VERDICTS[gain.verdict]
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def as_text(table: pd.DataFrame, what: str, old: str, new: str, markdown: bool) -> str:
    """A table of differences for people to read.

    Args:
        table: as `difference_table` makes it.
        what: `name` is of.
        old: name of the old run.
        new: name of the new run.
        markdown: GitHub's, instead of plain text.
    """
    rows = []
    for name, *values, difference, low, high, verdict in table.itertuples(index=False):
        # In Markdown a bar would end the cell.
        shown = " ".join(name.split()).replace("|", "\\|") if markdown else name
        row = [shown, *("-" if np.isnan(each) else f"{each:.4f}" for each in values)]
        if isinstance(verdict, str):
            row += [f"{difference:+.4f}", f"[{low:+.4f}, {high:+.4f}]", verdict]
        rows.append(row)
    headers = [what, old, new, "difference", f"{LEVEL:.0%} interval", "verdict"]
    align = ("left", "right", "right", "right", "left", "left")
    form = "github" if markdown else "simple"
    return tabulate(rows, headers, form, colalign=align, disable_numparse=True)


def beyond_noise(table: pd.DataFrame) -> str:
    """How many differences are beyond noise, and how many would be if there were none."""
    known = table["verdict"].notna().sum()
    found = table["verdict"].isin(["better", "worse"]).sum()
    chance = known * (1 - LEVEL)
    return f"{found} of {known} beyond noise; of runs that are alike, about {chance:.1f} would be"
