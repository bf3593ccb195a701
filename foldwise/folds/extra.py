"""Extra images that would give away what is tested or held out."""

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError
from foldwise.folds.duplicates import Duplicates, equal_pairs, joined

SHOWN = 5
"""Examples that a line gives."""


def left_out(
    own: pd.DataFrame, extra: pd.DataFrame, apart: np.ndarray, bits: int, grouped: bool
) -> list[str]:
    """Why each extra image is left out: which image it gives away, and by what; `""`: it stays.

    What hangs together with such an image through others goes as well.

    Args:
        own: `id`, `sha256`, `phash` and, where the source has groups, `group` of the data set's
            images.
        extra: the same of the extra ones.
        apart: (own images,) bool: some fold holds it out, or it is in the test part.
        bits: in which the hashes of images that look alike differ at most; below 0, only the same
            bytes count.
        grouped: whether groups are to stay together.
    """
    images = pd.concat([own, extra], ignore_index=True)
    duplicates = Duplicates(images["sha256"].to_numpy(), images["phash"].to_numpy(), bits)
    relations = {"has the bytes of": duplicates.exact, "looks like": duplicates.pictures}
    if grouped:
        named = np.flatnonzero(images["group"] != "")
        pairs = named[equal_pairs(pd.factorize(images["group"].to_numpy()[named])[0])]
        relations["is of the group of"] = joined(len(images), pairs)
        pairs = np.concatenate([equal_pairs(unit) for unit in relations.values()])
        relations["hangs together with"] = joined(len(images), pairs)
    reasons = [""] * len(extra)
    rows = np.flatnonzero(apart)[::-1]
    for what, unit in relations.items():
        first = dict(zip(unit[rows].tolist(), own["id"].iloc[rows], strict=True))
        for row, each in enumerate(unit[len(own) :].tolist()):
            if not reasons[row] and each in first:
                reasons[row] = f"{what} {first[each]}"
    return reasons


def left_out_counts(told: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Of each extra source, `images` and how many of them are `left_out`.

    Args:
        told: `id`, `source` and `left_out`, the reason.

    Raises:
        UserError: all of a source are left out.
    """
    counts = {}
    for name, rows in told.groupby("source"):
        gone = int((rows["left_out"] != "").sum())
        if gone == len(rows):
            raise UserError(
                f"params.yaml: data.extra.{name}: each of its {gone} images gives away one that "
                f"is tested or held out ({_examples(rows)}); leave the source out"
            )
        counts[str(name)] = {"images": len(rows), "left_out": gone}
    return counts


def left_out_warnings(told: pd.DataFrame) -> list[str]:
    """A line if extra images are left out, with some of them."""
    gone = told[told["left_out"] != ""]
    if gone.empty:
        return []
    return [
        f"{len(gone)} of {len(told)} extra images are left out, as they give away what is tested "
        f"or held out: {_examples(gone)}"
    ]


def _examples(told: pd.DataFrame) -> str:
    some = (told["id"] + " " + told["left_out"]).head(SHOWN).tolist()
    return "; ".join(some + ["..."] * (len(told) > SHOWN))
