"""Extra images that give away what is tested or held out."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.core.errors import UserError
from foldwise.folds.extra import left_out, left_out_counts, left_out_warnings


def table(prefix: str, rows: list[tuple[int, int, str]]) -> pd.DataFrame:
    """Images of these bytes, hashes and groups."""
    return pd.DataFrame(
        {
            "id": [f"{prefix}{number}" for number in range(len(rows))],
            "group": [group for _, _, group in rows],
            "sha256": [str(content) for content, _, _ in rows],
            "phash": np.array([phash for _, phash, _ in rows], np.uint64),
        }
    )


def by_hand(
    own: pd.DataFrame, extra: pd.DataFrame, apart: Any, bits: int, grouped: bool
) -> set[str]:
    """Ids of what is joined to an image that is apart, spread from there step by step."""
    images = [*own.itertuples(index=False), *extra.itertuples(index=False)]

    def alike(one: Any, other: Any) -> bool:
        near = int(one.phash ^ other.phash).bit_count() <= bits
        return near or one.sha256 == other.sha256 or (grouped and one.group == other.group != "")

    reached = {row for row in range(len(own)) if apart[row]}
    waiting = list(reached)
    while waiting:
        current = images[waiting.pop()]
        for row, image in enumerate(images):
            if row not in reached and alike(current, image):
                reached.add(row)
                waiting.append(row)
    return {str(images[row].id) for row in reached} & set(extra["id"].map(str))


ROWS = st.tuples(
    st.integers(0, 9),
    st.sampled_from([0, 1, 3, 7, 255, 254, 2**63]),
    st.sampled_from("ab") | st.just(""),
)


@given(
    st.lists(st.tuples(ROWS, st.booleans()), min_size=1, max_size=6),
    st.lists(ROWS, min_size=1, max_size=6),
    st.integers(-1, 2),
    st.booleans(),
)
@settings(deadline=None)
def test_what_is_left_out_is_all_that_hangs_together_with_it(
    own_rows: list[Any], extra_rows: list[Any], bits: int, grouped: bool
) -> None:
    own, extra = table("own", [row for row, _ in own_rows]), table("extra", extra_rows)
    apart = np.array([each for _, each in own_rows])
    reasons = left_out(own, extra, apart, bits, grouped)
    gone = {id for id, reason in zip(extra["id"], reasons, strict=True) if reason}
    assert gone == by_hand(own, extra, apart, bits, grouped)
    protected = set(own["id"][apart])
    assert all(reason.split()[-1] in protected for reason in reasons if reason)


def test_reasons_name_what_is_given_away() -> None:
    own = table("own", [(1, 0, "p"), (2, 2**40 - 1, ""), (3, 2**62 - 1, "q")])
    extra = table(
        "x",
        [
            (1, 2**20 - 1, ""),
            (9, 2**30 - 1, ""),
            (8, 2**50 - 1, "p"),
            (7, 2**64 - 1, "q"),
            (6, 5, "p"),
        ],
    )
    apart = np.array([True, True, False])
    reasons = left_out(own, extra, apart, 2, True)
    assert reasons == [
        "has the bytes of own0",
        "",
        "is of the group of own0",
        "",
        "looks like own0",
    ]
    assert left_out(own, extra, apart, 2, False)[2:] == ["", "", "looks like own0"]
    assert left_out(own, extra, apart, -1, False) == ["has the bytes of own0", "", "", "", ""]
    told = extra[["id"]].assign(source=["a"] * 3 + ["b"] * 2, left_out=reasons)
    assert left_out_counts(told) == {
        "a": {"images": 3, "left_out": 2},
        "b": {"images": 2, "left_out": 1},
    }
    (line,) = left_out_warnings(told)
    assert line.startswith("3 of 5 extra images are left out")
    assert "x2 is of the group of own0" in line
    assert left_out_warnings(told.assign(left_out="")) == []
    with pytest.raises(UserError, match=r"data\.extra\.b: each of its 2 images gives away"):
        left_out_counts(told.assign(left_out="looks like own0")[told["source"] == "b"])
