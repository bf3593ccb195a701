"""Labels that people looked at, as `fetch` hands them on."""

from typing import Any

import pandas as pd

from foldwise.core import files

CORRECTED_COLUMNS = ["id", "class", "was", "is", "why"]


def read_corrected() -> pd.DataFrame:
    """`CORRECTED_COLUMNS` of every label that was looked at; no rows where none was.

    `was` is the source's own label, `is` what it was made: 1, 0 or -1 (unknown); `why` is right,
    wrong or unsure.

    Raises:
        UserError: the file is missing or damaged.
    """
    kinds: dict[str, Any] = dict.fromkeys(CORRECTED_COLUMNS, str) | {"was": int, "is": int}
    return files.read_csv(
        files.CORRECTED, "fetch", CORRECTED_COLUMNS, dtype=kinds, keep_default_na=False
    )


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """The rows about which somebody was sure.

    >>> said = [("a.png", "cat", 1, 1, "right"), ("b.png", "cat", 1, 1, "unsure")]
    >>> judged(pd.DataFrame(said, columns=CORRECTED_COLUMNS))["id"].tolist()
    ['a.png']
    """
    return table[table["why"] != "unsure"]


def corrected_counts(table: pd.DataFrame) -> dict[str, int]:
    """How many labels were changed, how many of those made unknown, and what came of the others.

    Args:
        table: as `read_corrected` gives it.

    >>> said = [("a.png", "cat", 1, 0, "wrong"), ("a.png", "dog", 0, -1, "unsure")]
    >>> said += [("b.png", "cat", 1, 1, "right"), ("b.png", "dog", 0, 0, "unsure")]
    >>> corrected_counts(pd.DataFrame(said, columns=CORRECTED_COLUMNS))
    {'images': 1, 'labels': 2, 'unknown': 1, 'confirmed': 1, 'unsure': 1}
    """
    changed = table["was"] != table["is"]
    kept = table[~changed]
    return {
        "images": table.loc[changed, "id"].nunique(),
        "labels": int(changed.sum()),
        "unknown": int((table.loc[changed, "is"] == -1).sum()),
        "confirmed": len(judged(kept)),
        "unsure": len(kept) - len(judged(kept)),
    }
