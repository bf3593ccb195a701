"""The nested gain against its definition, and against studies whose truth is known."""

from collections.abc import Collection

import numpy as np
import pytest
from scipy.stats import norm, t

from foldwise.scoring.bootstrap import draw
from foldwise.scoring.objective import Objective, score
from foldwise.tuning.fold_sums import FoldSums
from foldwise.tuning.nested import nested_gain, within_noise
from tests.scored import OBJECTIVES

ACCURACY = Objective(name="accuracy")
SHAPE = (300, 4)
Study = tuple[np.ndarray, np.ndarray, np.ndarray]


def study(
    seed: int, luck: float = 0.0, trials: int = 13, folds: int = 3, shape: tuple[int, int] = SHAPE
) -> Study:
    """Labels, predicted ones and folds of trials that are equally good, but for luck in a fold."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, shape).astype(np.int8)
    groups = rng.permutation(np.arange(len(labels)) % folds)
    lucky = rng.normal(0, luck, (trials, folds, 1))[:, groups]
    hard = rng.normal(0, 1, shape) + rng.normal(0, 0.7, (trials, *shape)) + lucky
    return labels, np.where(hard < 1.5, labels, 1 - labels).astype(np.int8), groups


def length(found: dict[str, float]) -> float:
    return found["high"] - found["low"]


def slow_value(
    labels: np.ndarray,
    predicted: np.ndarray,
    objective: Objective,
    folds: np.ndarray,
    seen: Collection[int],
) -> float:
    """By its definition, a fold and a trial after the other."""
    composite = predicted[0].copy()
    for fold in set(folds.tolist()) - set(seen):
        others, own = folds != fold, folds == fold
        scores = [score(labels[others], trial[others], objective) for trial in predicted]
        composite[own] = predicted[scores.index(max(scores))][own]
    left = ~np.isin(folds, list(seen))
    base = score(labels[left], predicted[0][left], objective)
    return score(labels[left], composite[left], objective) - base


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda each: str(each.name))
def test_the_gain_is_what_its_definition_says(objective: Objective) -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice(np.array([1, 0, 0, -1], np.int8), (60, 3))
    predicted = rng.integers(0, 2, (5, 60, 3)).astype(np.int8)
    folds = rng.choice([2, 3, 7], 60)
    for seen in ((), (3,), (2, 7)):
        found = nested_gain(labels, predicted, objective, folds, seen, draws=40)
        wanted = slow_value(labels, predicted, objective, folds, seen)
        assert found["value"] == pytest.approx(wanted, abs=1e-12)
        assert found["low"] <= found["value"] <= found["high"]
        assert found["images"] == (~np.isin(folds, seen)).sum()
        assert len(found["choices"]) == 5
        assert sum(found["choices"]) == pytest.approx(1)


def test_the_base_alone_gains_nothing() -> None:
    labels, predicted, folds = study(0)
    for trials in (predicted[:1], np.stack([predicted[0]] * 3)):
        found = nested_gain(labels, trials, ACCURACY, folds)
        assert (found["value"], found["low"], found["high"]) == (0, 0, 0)
        assert found["verdict"] == "within noise"
        # Of equals the base is chosen.
        assert found["choices"][0] == 1


@pytest.mark.parametrize(("trials", "folds", "luck"), [(13, 3, 0.2), (13, 5, 0.1), (5, 2, 0.0)])
def test_where_no_choice_matters_intervals_cover_zero(trials: int, folds: int, luck: float) -> None:
    values, covers, naive = [], 0, []
    for seed in range(100):
        labels, predicted, groups = study(seed, luck, trials, folds)
        found = nested_gain(labels, predicted, ACCURACY, groups, draws=100)
        values.append(found["value"])
        covers += found["low"] <= 0 <= found["high"]
        scores = (predicted == labels).mean((1, 2))
        naive.append(scores.max() - scores[0])
    assert covers >= 91
    error = np.std(values) / 10
    assert abs(np.mean(values)) < 3 * error
    assert np.mean(naive) > 5 * error


def test_a_better_trial_is_found_and_said_to_help() -> None:
    labels, predicted, folds = study(3, luck=0.05)
    predicted[7][::2] = labels[::2]
    found = nested_gain(labels, predicted, ACCURACY, folds)
    assert found["verdict"] == "helps"
    assert int(np.argmax(found["choices"])) == 7
    # Where the base is the better one, it stays.
    predicted[[0, 7]] = predicted[[7, 0]]
    found = nested_gain(labels, predicted, ACCURACY, folds)
    assert (found["value"], found["verdict"]) == (0, "within noise")


def test_the_interval_is_what_its_formula_says() -> None:
    labels, predicted, folds = study(5, luck=0.3, trials=4, shape=(150, 2))
    parts = [np.flatnonzero(folds == fold) for fold in range(3)]

    def estimates(images: list[np.ndarray], best: list[int]) -> tuple[list[int], float, np.ndarray]:
        """Best trials for each fold, the gain of others, and residuals, by images of each fold."""
        chosen = []
        for fold in range(3):
            others = np.concatenate(images[:fold] + images[fold + 1 :])
            found = [score(labels[others], each[others], ACCURACY) for each in predicted]
            chosen.append(found.index(max(found)))
        every = np.concatenate(images)
        ours = np.concatenate(
            [predicted[k][own] for k, own in zip(best or chosen, images, strict=True)]
        )
        gain = score(labels[every], ours, ACCURACY)
        gain -= score(labels[every], predicted[0][every], ACCURACY)
        table = [[score(labels[own], each[own], ACCURACY) for own in images] for each in predicted]
        left = np.array(table)
        return chosen, gain, left - left.mean(1, keepdims=True) - left.mean(0) + left.mean()

    best, gain, residuals = estimates(parts, [])
    weights = np.concatenate(list(draw(len(labels), 40)))
    drawn = [[np.repeat(own, each[own]) for own in parts] for each in weights]
    again = np.var([estimates(images, [])[1] for images in drawn])
    fixed = [estimates(images, best) for images in drawn]
    expected = np.var([each[2] for each in fixed], 0).sum()
    training = ((residuals**2).sum() / expected - 1) * np.var([each[1] for each in fixed])
    assert training > again
    half = np.sqrt(norm.ppf(0.975) ** 2 * again + t.ppf(0.975, 6) ** 2 * training)
    found = nested_gain(labels, predicted, ACCURACY, folds, draws=40)
    assert found["value"] == pytest.approx(gain)
    assert found["high"] == pytest.approx(gain + half)
    assert found["low"] == pytest.approx(gain - half)
    picked = np.bincount([k for images in drawn for k in estimates(images, [])[0]], minlength=4)
    assert found["choices"] == pytest.approx(picked / 120)


def test_a_trial_that_fails_in_one_fold_says_nothing_of_the_others() -> None:
    labels, predicted, folds = study(6, luck=0.05)
    before = nested_gain(labels, predicted, ACCURACY, folds)
    worst = int(np.argmin((predicted == labels).mean((1, 2))))
    predicted[worst][::3] = 1 - labels[::3]
    predicted[worst] = np.where(folds[:, None] == 1, 0, predicted[worst])
    after = nested_gain(labels, predicted, ACCURACY, folds)
    assert length(after) == pytest.approx(length(before), rel=0.05)


def test_what_changes_few_images_is_known_better_than_what_is_trained_anew() -> None:
    labels, predicted, folds = study(7, luck=0.3, trials=8, shape=(900, 4))
    whole = nested_gain(labels, predicted, ACCURACY, folds)
    # The base but for one image in ten, which it mends.
    ours = predicted[0].copy()
    ours[::10] = labels[::10]
    trials = np.concatenate([predicted[:1], ours[None], predicted[1:]])
    # Others are clearly worse, and still give away how much training varies.
    trials[2:, ::4] = 1 - labels[::4]
    found = nested_gain(labels, trials, ACCURACY, folds)
    assert found["choices"][1] > 0.99
    assert found["verdict"] == "helps"
    assert length(found) < length(whole) / 2


def test_seen_folds_choose_but_are_not_scored() -> None:
    labels, predicted, folds = study(8, trials=4)
    predicted[1:] = predicted[0]
    predicted[2][folds == 0] = labels[folds == 0]
    found = nested_gain(labels, predicted, ACCURACY, folds, seen=[0])
    assert (found["value"], found["choices"][2]) == (0, 1)
    assert found["images"] == (folds != 0).sum()
    assert nested_gain(labels, predicted, ACCURACY, folds)["value"] == 0
    # Where nothing else is left, everything is scored.
    every = nested_gain(labels, predicted, ACCURACY, folds, seen=[0, 1, 2])
    assert every == nested_gain(labels, predicted, ACCURACY, folds)


def test_one_scored_fold_is_compared_with_the_seen_one() -> None:
    labels, predicted, folds = study(9, luck=0.5, trials=5, folds=2, shape=(3000, 4))
    found = nested_gain(labels, predicted, ACCURACY, folds, seen=[0])
    assert found["noise"] == ["images", "training"]
    # As long as trainings differ by, not as images do.
    own = folds == 1
    spread = np.std((predicted[:, own] == labels[own]).mean((1, 2)))
    assert length(found) > 5 * spread > 0.1


def test_a_hold_out_is_parted_and_says_that_training_is_not_in() -> None:
    labels, predicted, _ = study(10)
    found = nested_gain(labels, predicted, ACCURACY, np.full(len(labels), 4), seen=[4])
    parts = np.arange(len(labels)) % 5
    assert found["value"] == pytest.approx(slow_value(labels, predicted, ACCURACY, parts, ()))
    assert (found["images"], found["noise"]) == (len(labels), ["images"])
    # Parts disagree by their images alone, whatever they seem to say.
    predicted[1][parts == 0] = labels[parts == 0]
    predicted[2][parts == 1] = labels[parts == 1]
    found = nested_gain(labels, predicted, ACCURACY, 0 * parts)
    sums = FoldSums(labels, predicted, ACCURACY, parts)
    again = np.concatenate([sums.gain(each, sums.choice(each)) for each in sums.drawn(1000)])
    assert length(found) == pytest.approx(2 * norm.ppf(0.975) * again.std())


def test_names_of_folds_and_the_order_of_images_do_not_matter() -> None:
    labels, predicted, folds = study(11, luck=0.1)
    found = nested_gain(labels, predicted, ACCURACY, folds)
    assert found == nested_gain(labels, predicted, ACCURACY, np.array([4, 1, 9])[folds])
    order = np.random.default_rng(0).permutation(len(labels))
    again = nested_gain(labels[order], predicted[:, order], ACCURACY, folds[order])
    assert again["value"] == pytest.approx(found["value"])
    assert length(again) == pytest.approx(length(found), rel=0.15)


def test_within_noise_are_those_that_may_be_as_good() -> None:
    labels, predicted, _ = study(12, trials=6)
    predicted[4] = predicted[1]
    predicted[5][::5] = 1 - labels[::5]
    winner = int(np.argmax((predicted == labels).mean((1, 2))))
    near = within_noise(labels, predicted, ACCURACY, winner)
    assert 5 not in near
    assert {0, 1, 2, 3, 4} >= set(near) >= {winner}
    assert (1 in near) == (4 in near)
    assert within_noise(labels, predicted, ACCURACY, 5) == [5]
