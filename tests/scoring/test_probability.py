"""Logits and probabilities without overflow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foldwise.scoring.probability import (
    log1mexp,
    log_sigmoid,
    log_softmax,
    logit,
    one_vs_rest_log_odds,
    sigmoid,
)

finite = st.floats(-700, 700, width=32)


def test_probabilities_without_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
    assert log_sigmoid(np.array([-1e4]))[0] == -1e4
    assert logit(float(sigmoid(np.array(1.5)))) == pytest.approx(1.5)
    assert log1mexp(np.array([-1e-20]))[0] == pytest.approx(np.log(1e-20))


@given(arrays(np.float64, (3, 4), elements=st.floats(-60, 60)))
@settings(max_examples=100, deadline=None)
def test_a_softmax_survives_as_log_odds(logits: np.ndarray) -> None:
    logarithms = log_softmax(logits)
    odds = one_vs_rest_log_odds(logarithms)
    assert np.isfinite(odds).all()
    assert log_sigmoid(odds) == pytest.approx(logarithms, abs=1e-6)
