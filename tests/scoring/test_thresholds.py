"""Thresholds against all candidates, one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.decision.class_thresholds import STRENGTHS, class_thresholds, drawn, shrunk_thresholds
from foldwise.scoring.cross_fitting import Apply, cross_fit, with_several
from foldwise.scoring.objective import Objective, image_counts, score, score_of_sums
from foldwise.scoring.thresholds import best_threshold, threshold_curve, threshold_fit
from tests.scored import OBJECTIVES, cases, slow_score

DECOMPOSING = [
    each
    for each in OBJECTIVES
    if each.average != "sample" and not (each.average == "micro" and "_at_" in each.name)
]
SAMPLE = [each for each in OBJECTIVES if each.average == "sample"]
ACCURACY = Objective(name="accuracy")


def candidates(scores: np.ndarray) -> list[float]:
    """One threshold below all, one at every score but the lowest, one above all."""
    distinct = np.unique(scores).astype(float)
    return [distinct[0] - 1, *distinct[1:], distinct[-1] + 1]


@given(cases(), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_every_objective_is_what_its_name_says(
    case: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    labels = case[0]
    predicted = np.random.default_rng(seed).integers(0, 2, labels.shape).astype(np.int8)
    if not (labels >= 0).any():
        return
    for objective in OBJECTIVES:
        wanted = slow_score(labels, predicted, objective)
        assert score(labels, predicted, objective) == pytest.approx(wanted, abs=1e-9), objective
        twice = image_counts(labels, predicted, objective).sum(0, dtype=float) * 2
        if objective.measure != "youden":
            assert score_of_sums(twice, objective) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.slow
@given(cases())
@settings(max_examples=250, deadline=None)
def test_the_threshold_is_the_best_of_all(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = case
    if not (labels >= 0).any():
        with pytest.raises(ValueError, match="no labelled score"):
            threshold_curve(labels, logits, ACCURACY)
        return
    possible = candidates(logits[labels >= 0])
    for objective in OBJECTIVES:
        curve = threshold_curve(labels, logits, objective)
        wanted = [slow_score(labels, logits >= each, objective) for each in possible]
        assert curve.scores == pytest.approx(np.array(wanted), abs=1e-9), objective
        best = best_threshold(curve)
        reached = score(labels, logits >= best, objective)
        assert reached == pytest.approx(max(wanted), abs=1e-9), objective


@given(cases(images=5, classes=3))
@settings(max_examples=120, deadline=None)
def test_class_thresholds_are_the_best_of_all(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = case
    if not (labels >= 0).any():
        return
    possible = list(itertools.product(*[candidates(column) for column in logits.T]))
    decided = np.unique([logits >= each for each in possible], axis=0)
    for objective in DECOMPOSING:
        wanted = max(score(labels, each, objective) for each in decided)
        found = class_thresholds(labels, logits, objective)
        reached = score(labels, logits >= found, objective)
        assert reached == pytest.approx(wanted, abs=1e-9), objective


@given(cases(images=6, classes=3))
@settings(max_examples=120, deadline=None)
def test_no_class_alone_improves_what_ascent_found(case: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = case
    if not (labels >= 0).any():
        return
    for objective in SAMPLE:
        found = class_thresholds(labels, logits, objective)
        reached = score(labels, logits >= found, objective)
        common = threshold_curve(labels, logits, objective).scores.max()
        assert reached >= common - 1e-9
        for index, column in enumerate(logits.T):
            for each in candidates(column):
                other = found.copy()
                other[index] = each
                assert score(labels, logits >= other, objective) <= reached + 1e-9


def test_neighbouring_floats_are_told_apart() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    logits, labels = np.array([[low], [high]], np.float32), np.array([[0], [1]], np.int8)
    best = best_threshold(threshold_curve(labels, logits, ACCURACY))
    assert float(low) < best < float(high)
    assert score(labels, logits >= np.float64(best), ACCURACY) == 1


def test_among_equals_the_threshold_nearest_to_a_half() -> None:
    logits = np.array([[-2.0], [3.0]], np.float32)
    curve = threshold_curve(np.array([[0], [1]], np.int8), logits, ACCURACY)
    assert best_threshold(curve) == 0.5


@pytest.mark.parametrize("objective", [ACCURACY, Objective(name="macro_f1")], ids=str)
def test_logits_that_are_not_finite_are_refused(objective: Objective) -> None:
    with pytest.raises(ValueError, match="not finite"):
        threshold_curve(np.array([[1]], np.int8), np.array([[np.nan]], np.float32), objective)


def test_a_class_without_labels_keeps_the_common_threshold() -> None:
    logits = np.array([[2.0, 1.0], [-1.0, 3.0]], np.float32)
    labels = np.array([[1, -1], [0, -1]], np.int8)
    common = best_threshold(threshold_curve(labels, logits, ACCURACY))
    assert class_thresholds(labels, logits, ACCURACY).tolist() == [common, common]


@pytest.fixture
def several() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and groups; every class with an offset and a prevalence of its own."""
    rng = np.random.default_rng(0)
    labels = (rng.random((600, 4)) < [0.5, 0.3, 0.1, 0.02]).astype(np.int8)
    noise = rng.normal(scale=1.2, size=labels.shape)
    logits = (2 * labels - 1 + noise + [1.0, -1.0, 0.5, 0.0]).astype(np.float32)
    return labels, logits, np.arange(600) % 3


def test_shrunk_thresholds_lie_between(
    several: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, groups = several
    for objective in (ACCURACY, Objective(name="micro_f1")):
        common = best_threshold(threshold_curve(labels, logits, objective))
        own = class_thresholds(labels, logits, objective)
        found, strength = shrunk_thresholds(labels, logits, groups, objective)
        present = (labels == 1).sum(0)
        # Rare classes are drawn further.
        shares = (found - common) / (own - common)
        assert shares == pytest.approx(present / (present + strength))
        assert (drawn(labels, logits, objective)[-1] == common).all()
        assert (drawn(labels, logits, objective)[0] == own).all()


def test_the_strength_is_the_best_of_all_cross_fitted(
    several: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, groups = several
    reached = []
    for index in range(len(STRENGTHS)):
        predicted = np.empty_like(labels)
        for group in range(3):
            own = groups == group
            thresholds = drawn(labels[~own], logits[~own], ACCURACY)[index]
            predicted[own] = logits[own] >= thresholds
        reached.append(slow_score(labels, predicted, ACCURACY))
    strength = shrunk_thresholds(labels, logits, groups, ACCURACY)[1]
    best = [each for each, at in zip(STRENGTHS, reached, strict=True) if at == max(reached)]
    assert strength == best[-1]


def test_cross_fitting_never_looks_at_its_own_group(
    several: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, groups = several
    seen = []

    def fit(truth: np.ndarray, own: np.ndarray, rest: np.ndarray) -> Apply:
        seen.append((own.tobytes(), truth.tobytes(), set(rest.tolist())))
        return lambda held_out: held_out[:, 0] * 0 + len(seen)

    result = cross_fit(labels, logits, groups, fit)
    assert result.tolist() == [1 + each for each in groups]
    for group, (own, truth, rest) in enumerate(seen):
        assert own == logits[groups != group].tobytes()
        assert truth == labels[groups != group].tobytes()
        assert group not in rest


def test_a_single_hold_out_is_parted() -> None:
    parts = with_several(np.zeros(12, int))
    assert np.bincount(parts).tolist() == [3, 3, 2, 2, 2]
    groups = np.array([3, 3, 5])
    assert with_several(groups) is groups


def test_what_is_fitted_decides_as_it_was_fitted() -> None:
    """Between two neighbours of float32, where a rounded threshold would fall onto one of them."""
    labels, folds = np.array([[0], [1]], np.int8), np.zeros(2, int)
    low = np.float32(0.1)
    # Of two pairs in a row one has its middle rounded down.
    for _ in range(2):
        high = np.nextafter(low, np.float32(1))
        logits = np.array([[low], [high]], np.float32)
        decide = threshold_fit(ACCURACY, single=False)(labels, logits, folds)
        assert np.array_equal(decide(logits), labels)
        low = high
    single = threshold_fit(ACCURACY, single=True)(labels, logits, folds)
    assert single(np.array([[1, 3, 3], [2, 1, 0]], np.float32)).tolist() == [[0, 1, 0], [1, 0, 0]]
