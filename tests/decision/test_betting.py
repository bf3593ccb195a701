"""Bets against a mean loss: what they may win, and what they tell."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foldwise.decision.betting import bets, betting_p_values
from foldwise.decision.risk_control import fewest, p_values

LOSSES = arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 3)),
    elements=st.floats(0, 1, allow_subnormal=False),
)


@settings(deadline=None, max_examples=200)
@given(LOSSES, st.floats(0.01, 0.9), st.floats(0.01, 0.5))
def test_p_values_are_those_of_products_written_out(
    losses: np.ndarray, limit: float, error: float
) -> None:
    stakes = bets(len(losses), limit, error)
    for column, found in zip(losses.T, betting_p_values(losses, limit, error), strict=True):
        won = np.mean([np.prod([1 + each * (limit - x) for x in column]) for each in stakes])
        assert np.isclose(found, 1 / max(won, 1))


@settings(deadline=None, max_examples=200)
@given(LOSSES, st.floats(0.01, 0.9), st.randoms(use_true_random=False))
def test_a_larger_loss_speaks_no_more_and_the_order_is_nothing(
    losses: np.ndarray, limit: float, random: object
) -> None:
    found = betting_p_values(losses, limit, 0.1)
    larger = losses + (1 - losses) * np.linspace(0, 1, len(losses))[:, None]
    assert (betting_p_values(larger, limit, 0.1) >= found * (1 - 1e-9)).all()
    assert np.allclose(betting_p_values(losses[::-1], limit, 0.1), found)


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(0.001, 0.99), st.floats(0.001, 0.5))
def test_no_stake_can_lose_more_than_all(images: int, limit: float, error: float) -> None:
    stakes = bets(images, limit, error)
    assert (stakes > 0).all()
    assert (1 + stakes * (limit - 1) >= -1e-12).all()


def test_losses_as_large_as_the_limit_are_seldom_refused() -> None:
    """Of 4,000 data sets each, whose mean loss is the limit itself."""
    rng = np.random.default_rng(0)
    for images in (20, 400):
        for draw in (
            rng.binomial(1, 0.1, (images, 4000)),
            rng.binomial(10, 0.1, (images, 4000)) / 10,
            rng.beta(0.2, 1.8, (images, 4000)),
        ):
            assert (betting_p_values(draw, 0.1, 0.1) <= 0.1).mean() < 0.1


def test_losses_that_scatter_little_are_refused_sooner_than_by_their_mean_alone() -> None:
    losses = np.random.default_rng(1).binomial(20, 0.07, (300, 1)) / 20
    assert p_values(losses.mean(0), 300, 0.1)[0] > 0.1
    assert betting_p_values(losses, 0.1, 0.1)[0] < 0.001


def test_as_few_images_without_a_loss_suffice_as_for_yes_and_no() -> None:
    for limit in (0.01, 0.05, 0.2, 0.5):
        for confidence in (0.5, 0.9, 0.99):
            least = fewest(limit, confidence)
            error = 1 - confidence
            assert betting_p_values(np.zeros((least, 1)), limit, error)[0] <= error * (1 + 1e-9)
            if least > 1:
                assert betting_p_values(np.zeros((least - 1, 1)), limit, error)[0] > error
