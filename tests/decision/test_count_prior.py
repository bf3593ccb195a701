"""Decoding under a count prior, against enumeration of all sets of labels."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.decision.count_prior import (
    count_distribution,
    fit_count_weights,
    map_decision,
    marginal_decision,
    posterior,
)
from foldwise.scoring.probability import sigmoid


def enumerated(logits: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All sets of labels, (sets, classes), and the probability of each."""
    p = sigmoid(logits)
    sets = np.array(list(itertools.product([0, 1], repeat=len(p))))
    chances = np.where(sets == 1, p, 1 - p).prod(1) * weights[sets.sum(1)]
    return sets, chances / chances.sum()


many = st.integers(1, 10).flatmap(
    lambda classes: st.tuples(
        st.lists(st.floats(-6, 6, width=32), min_size=classes, max_size=classes),
        st.lists(st.floats(0.01, 1), min_size=classes + 1, max_size=classes + 1),
    )
)


@pytest.mark.slow
@given(many)
@settings(max_examples=300, deadline=None)
def test_decoding_is_what_enumeration_finds(case: tuple[list[float], list[float]]) -> None:
    logits, weights = np.array([case[0]], np.float32), np.array(case[1])
    sets, chances = enumerated(logits[0], weights)
    assert posterior(logits, weights)[0] == pytest.approx(chances @ sets, abs=1e-12)

    def expected_right(labels: np.ndarray) -> float:
        return float(chances @ (sets == labels).sum(1))

    found = marginal_decision(logits, weights)[0]
    assert expected_right(found) == pytest.approx(max(map(expected_right, sets)), abs=1e-9)
    likeliest = map_decision(logits, weights)[0]
    at = int("".join(map(str, likeliest)), 2)
    assert chances[at] == pytest.approx(chances.max(), rel=1e-6)
    counts = np.bincount(sets.sum(1), np.where(sets, sigmoid(logits), 1 - sigmoid(logits)).prod(1))
    assert count_distribution(logits)[0] == pytest.approx(counts, abs=1e-12)


def test_equal_weights_change_nothing() -> None:
    logits = np.random.default_rng(0).normal(scale=8, size=(50, 40)).astype(np.float32)
    flat = np.ones(41)
    assert posterior(logits, flat) == pytest.approx(sigmoid(logits), abs=1e-12)
    assert np.array_equal(marginal_decision(logits, flat), logits >= 0)
    assert np.array_equal(map_decision(logits, flat), logits > 0)


def test_certain_labels_that_contradict_the_prior_stay_finite() -> None:
    weights = np.full(81, 1e-9)
    weights[3] = 1.0
    logits = np.full((2, 80), 300.0, np.float32)
    logits[1] = -300.0
    found = posterior(logits, weights)
    assert np.isfinite(found).all()
    assert found[0].min() > 0.9
    assert found[1].max() < 0.1


@pytest.fixture
def counted() -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits that know each well and nothing of there always being three."""
    rng = np.random.default_rng(0)
    labels = (rng.random((4000, 10)).argsort(1) < 3).astype(np.int8)
    # Log-likelihood ratio of a normal shift, plus the log-odds of 3 in 10.
    seen = labels + rng.normal(scale=0.7, size=labels.shape)
    return labels, ((seen - 0.5) / 0.49 + np.log(3 / 7)).astype(np.float32)


def test_knowing_the_number_helps(counted: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = counted
    weights = fit_count_weights(labels[:2000], logits[:2000])
    assert weights.argmax() == 3
    assert weights.max() == 1
    assert weights.min() > 0
    rest = slice(2000, None)
    plain = ((logits >= 0) == labels)[rest].mean()
    right = marginal_decision(logits, weights)[rest] == labels[rest]
    assert right.mean() > plain + 0.008
    whole = (map_decision(logits, weights)[rest] == labels[rest]).all(1).mean()
    assert whole > right.all(1).mean() + 0.008
    assert (map_decision(logits, weights).sum(1) == 3).mean() > 0.99


def test_a_number_that_probabilities_already_know_has_no_weight() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 6)).astype(np.float32)
    labels = (rng.random(logits.shape) < sigmoid(logits)).astype(np.int8)
    weights = fit_count_weights(labels, logits)
    assert weights / weights[3] == pytest.approx(np.ones(7), abs=0.12)


def test_images_with_ignored_labels_teach_no_number(
    counted: tuple[np.ndarray, np.ndarray],
) -> None:
    labels, logits = counted
    spoiled = labels.copy()
    spoiled[100:, 0] = -1
    spoiled[100:, 1:] = 1
    wanted = fit_count_weights(labels[:100], logits[:100])
    assert fit_count_weights(spoiled, logits) == pytest.approx(wanted)
    with pytest.raises(ValueError, match="nobody knows"):
        fit_count_weights(spoiled[100:], logits[100:])
