"""Promised costs: what labels cost, which thresholds stand, and promises kept as they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from foldwise.core.errors import UserError
from foldwise.decision.bounds import Bounds, WithinCost
from foldwise.decision.cost_control import (
    EVERY,
    STEP,
    STEPS,
    cost_threshold,
    costs_over_thresholds,
    lowest_cost,
    passed,
)
from foldwise.decision.costs import Costs
from foldwise.decision.guarantee import fit_bounds
from foldwise.decision.settings import Guarantee
from foldwise.scoring.objective import Objective, score

LABELS = arrays(
    np.int8, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.integers(-1, 1)
)
COSTS = Costs(5.0, 1.0)
GRID = COSTS.threshold + STEP * np.arange(-STEPS, STEPS + 1)


@settings(deadline=None, max_examples=150)
@given(LABELS, st.data())
def test_costs_are_those_of_every_image(labels: np.ndarray, data: st.DataObject) -> None:
    # Scores lie on thresholds, too.
    logits = data.draw(arrays(np.float32, labels.shape, elements=st.integers(-2, 2)))
    thresholds = np.arange(-3, 4) / 2
    wanted = []
    for truth, own in zip(labels, logits, strict=True):
        used = truth >= 0
        if used.any():
            missed = [(truth[used] == 1) & (own[used] < each) for each in thresholds]
            added = [(truth[used] == 0) & (own[used] >= each) for each in thresholds]
            wanted.append(5.0 * np.mean(missed, 1) + 1.0 * np.mean(added, 1))
    found = costs_over_thresholds(labels, logits, thresholds, COSTS)
    assert np.allclose(found, np.array(wanted).reshape(-1, len(thresholds)))


def drawn(rng: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of six classes, and their logits, if probabilities are right."""
    labels = (rng.random((images, 6)) < 0.3).astype(np.int8)
    logits = 2.0 * labels - 1 + rng.normal(0, 1, labels.shape)
    return labels, (2.0 * logits + np.log(0.3 / 0.7)).astype(np.float32)


def mean_costs(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Of every threshold that may be taken, by the objective of decisions."""
    objective = Objective(name="cost", false_negative=5.0, false_positive=1.0)
    return -np.array([score(labels, (logits >= each).astype(np.int8), objective) for each in GRID])


def place(threshold: float) -> int:
    return round((threshold - COSTS.threshold) / STEP) + STEPS


def test_promises_are_kept_as_often_as_they_say() -> None:
    """Of 200 data sets, where the cheapest threshold costs a little more than is promised, or less.

    A cheapest threshold that is taken without a test breaks the promise in all of them, or in many.
    """
    rng = np.random.default_rng(0)
    many, theirs = drawn(rng, 40_000)
    for shift in (np.float32(0), np.float32(1.5)):
        real = costs_over_thresholds(many, theirs + shift, GRID, COSTS).mean(0)
        for room, least, broken_plainly in ((-0.001, 0, 200), (0.002, 0, 20), (0.15, 190, 0)):
            limit = float(real.min()) + room
            given = broken = plain = 0
            for _ in range(200):
                labels, logits = drawn(rng, 300)
                threshold = cost_threshold(labels, logits + shift, COSTS, limit, 0.8)
                given += threshold is not None
                broken += threshold is not None and real[place(threshold)] > limit
                own = costs_over_thresholds(labels, logits + shift, GRID, COSTS).mean(0)
                plain += bool(real[own.argmin()] > limit)
            # Two standard errors of a share of 0.2.
            assert broken <= 200 * 0.257, (shift, room, broken)
            assert plain >= broken_plainly
            assert given >= least, (shift, room, given)


def test_what_is_promised_is_the_cheapest_as_images_become_many() -> None:
    labels, logits = drawn(np.random.default_rng(1), 5_000)
    for shift in (0.0, 2.0, -3.0):
        real = mean_costs(labels, logits + np.float32(shift))
        for room in (0.05, 0.2):
            threshold = cost_threshold(
                labels, logits + np.float32(shift), COSTS, real.min() + room, 0.9
            )
            assert threshold is not None
            assert place(threshold) == real.argmin()
        assert cost_threshold(labels, logits, COSTS, float(real.min()) - 0.001, 0.9) is None
        assert lowest_cost(labels, logits + np.float32(shift), COSTS) == pytest.approx(real.min())


def test_tests_are_wrong_together_as_seldom_as_one() -> None:
    """Where no hypothesis may be refused, or those of one stretch alone may."""
    rng = np.random.default_rng(2)
    for true in (np.arange(97) >= 0, np.abs(np.arange(97) - 40) > 6):
        wrong = 0
        for _ in range(3000):
            values = np.where(true, rng.random(97), 0.0)
            wrong += int((passed(values, 0.2) & true).any())
        assert 0 < wrong <= 3000 * 0.2 + 2 * np.sqrt(3000 * 0.16)


def test_every_start_goes_on_to_both_sides() -> None:
    for start in range(STEPS % EVERY, 2 * STEPS + 1, EVERY):
        values = np.ones(2 * STEPS + 1)
        near = slice(max(start - 3, 0), start + 4)
        values[near] = 0.0
        assert np.flatnonzero(passed(values, 0.1)).tolist() == np.flatnonzero(values < 1).tolist()
        values[start] = 0.06 if start == STEPS else 0.005
        assert not passed(values, 0.1).any()


def test_one_class_of_equal_costs_is_the_binomials() -> None:
    """A loss of 0 or 1: four wrong of 100 are 0.0237 likely where it is a tenth."""
    labels = np.repeat(np.array([0, 1], np.int8), 50)[:, None]
    logits = np.where(labels == 1, 3, -3).astype(np.float32)
    for wrong, promised in ((4, True), (5, False)):
        own = logits.copy()
        own[:wrong] = 30
        found = cost_threshold(labels, own, Costs(2.0, 2.0), 0.2, 0.9)
        assert (found is not None) == promised


def test_labels_that_are_not_known_take_no_part() -> None:
    labels, logits = drawn(np.random.default_rng(3), 500)
    more = np.concatenate([labels, np.full_like(labels, -1)])
    scored = np.concatenate([logits, logits + 3])
    found = cost_threshold(labels, logits, COSTS, 0.6, 0.9)
    assert found is not None
    assert cost_threshold(more, scored, COSTS, 0.6, 0.9) == found
    assert cost_threshold(more[500:], scored[500:], COSTS, 0.6, 0.9) is None


def test_bounds_hold_what_is_promised_or_say_what_cannot_be() -> None:
    labels, logits = drawn(np.random.default_rng(4), 500)
    promise = Guarantee(cost=0.6, false_negative=5, false_positive=1)
    bounds = fit_bounds(labels, logits, promise, single=False)
    assert bounds.cost == WithinCost(cost_threshold(labels, logits, COSTS, 0.6, 0.9) or 0, COSTS)
    assert bounds.columns() == ["within_cost"]
    assert not bounds.abstains
    assert "cost" not in Bounds(0.0, None, False).as_json()
    less = Guarantee(cost=0.1, false_negative=5, false_positive=1)
    with pytest.raises(UserError, match=r"cost: 0\.1 with confidence 0\.9 cannot be promised by"):
        fit_bounds(labels, logits, less, single=False)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"cost": 0.1, "false_negative": 5}, "cost: needs `false_positive`, what a label that is"),
        ({"cost": 0.1, "false_positive": 5}, "cost: needs `false_negative`, what a label that is"),
        ({"recall": 0.9, "false_negative": 5}, "false_negative: is for a `cost` that is promised"),
        ({"cost": 5, "false_negative": 5, "false_positive": 1}, "cost: 5 is promised by any"),
        ({}, "promises nothing; write `recall`, `precision`, `cost` or several"),
        ({"cost": 0, "false_negative": 5, "false_positive": 1}, "greater than 0"),
    ],
)
def test_meaningless_costs_are_refused(settings: dict[str, float], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        Guarantee.model_validate(settings)
