"""Merging against its definitions, within and beyond the reach of exp()."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foldwise.ensembling.merge import merge_logits
from foldwise.ensembling.settings import MERGES, Merge
from foldwise.scoring.probability import (
    sigmoid,
)

MERGE_NAMES = [*MERGES, "power_mean(3)", "power_mean(0.5)"]
finite = st.floats(-700, 700, width=32)


@given(arrays(np.float32, (3, 2, 2), elements=finite), st.sampled_from(MERGE_NAMES))
@settings(max_examples=300, deadline=None)
def test_merged_logits_are_finite_and_between(logits: np.ndarray, how: Merge) -> None:
    merged = merge_logits(logits, how)
    assert merged.dtype == np.float32
    assert np.isfinite(merged).all()
    slack = 1e-5 * (1 + np.abs(logits).max())
    assert (merged >= logits.min(0) - slack).all()
    assert (merged <= logits.max(0) + slack).all()
    assert np.array_equal(merge_logits(logits[:1], how), logits[0])
    assert np.allclose(merge_logits(np.stack([logits[0]] * 3), how), logits[0], rtol=1e-5)


share = st.sampled_from([0.0, 1e-12, 0.1, 0.5, 1.0])
weights = st.tuples(share, share, share, st.floats(0.1, 1))


@given(arrays(np.float32, (4, 3, 2), elements=st.floats(-12, 12, width=32)), weights)
@settings(max_examples=200, deadline=None)
def test_merging_is_what_its_name_says(logits: np.ndarray, drawn: tuple[float, ...]) -> None:
    exact = logits.astype(np.float64)
    p = 1 / (1 + np.exp(-exact))
    for given_ in (None, np.array(drawn)):
        shares = None if given_ is None else given_ / given_.sum()
        mean_logit = np.average(exact, 0, shares)
        wanted = {
            "mean_probability": np.average(p, 0, shares),
            "mean_logit": 1 / (1 + np.exp(-mean_logit)),
            "geometric_mean": np.exp(np.average(np.log(p), 0, shares)),
            "power_mean(3)": np.average(p**3, 0, shares) ** (1 / 3),
            "power_mean(0.5)": np.average(p**0.5, 0, shares) ** 2,
        }
        if given_ is None:
            wanted |= {"max": p.max(0), "median": 1 / (1 + np.exp(-np.median(exact, 0)))}
            assert set(wanted) == set(MERGE_NAMES)
        for how, each in wanted.items():
            assert np.allclose(sigmoid(merge_logits(logits, how, given_)), each, atol=1e-6), how


def test_merging_beyond_the_reach_of_exp() -> None:
    logits = np.array([[[800.0]], [[-900.0]]], np.float32)
    assert merge_logits(logits, "mean_probability")[0, 0] == pytest.approx(0, abs=1e-6)
    assert merge_logits(logits, "geometric_mean")[0, 0] == pytest.approx(-450)
    both = np.array([[[760.0]], [[790.0]]], np.float32)
    for how in ("mean_probability", "geometric_mean", "power_mean(2)"):
        assert merge_logits(both, how)[0, 0] == pytest.approx(760 + np.log(2), abs=1e-3)
    many = np.random.default_rng(0).normal(size=(2, 20000, 2)).astype(np.float32)
    rows = [merge_logits(many[:, [row]], "mean_probability")[0] for row in (0, 8192, 19999)]
    assert np.array_equal(merge_logits(many, "mean_probability")[[0, 8192, 19999]], rows)
    with pytest.raises(ValueError, match="takes no weights"):
        merge_logits(many, "max", np.array([0.5, 0.5]))
