"""Folds, views and members become one; nothing is chosen on the rows that it is judged by."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from foldwise.core.errors import UserError
from foldwise.decision.ladder import ablation
from foldwise.ensembling.combine import Held, Merged, merge_test, merge_views, weigh_members
from foldwise.ensembling.merge import merge_logits
from foldwise.ensembling.out_of_fold import MemberPredictions, join_folds
from foldwise.ensembling.settings import Ensemble, Tta
from foldwise.ensembling.view_audit import ViewAudit
from foldwise.ensembling.weighing import Weighing, fit_weighing
from foldwise.ensembling.weights import ROUNDS, fit_member_weights
from foldwise.scoring.bootstrap import DRAWS, BootstrapScores, draw
from foldwise.scoring.objective import Objective, score
from foldwise.scoring.probability import sigmoid
from foldwise.scoring.thresholds import threshold_fit
from tests.scored import OBJECTIVES, slow_score

ACCURACY = Objective(name="accuracy")
IMAGES, CLASSES = 400, 4


def noisy(labels: np.ndarray, scale: float, seed: int) -> np.ndarray:
    """Logits of a model that errs by so much."""
    rng = np.random.default_rng(seed)
    return (2.0 * labels - 1 + rng.normal(scale=scale, size=labels.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    found = np.random.default_rng(9).integers(0, 2, (IMAGES, CLASSES)).astype(np.int8)
    found[:5, 0] = -1
    return found


@pytest.fixture(scope="module")
def held(labels: np.ndarray) -> Held:
    decide = threshold_fit(ACCURACY, single=False)
    return Held(labels, np.arange(IMAGES) % 3, ACCURACY, decide, draws=300)


def test_folds_are_joined_by_id() -> None:
    ids, folds = np.array(["a", "b", "c", "d"]), np.array([0, 1, 0, 1])
    predictions = {
        0: (np.array(["c", "a"]), np.array([[[3.0], [1.0]], [[30.0], [10.0]]], np.float32)),
        1: (np.array(["b", "d"]), np.array([[[2.0], [4.0]], [[20.0], [40.0]]], np.float32)),
    }
    joined = join_folds(ids, folds, predictions)
    assert joined[:, :, 0].tolist() == [[1, 2, 3, 4], [10, 20, 30, 40]]


@pytest.mark.parametrize("wrong", [["a", "b"], ["a"], ["a", "c", "b"], ["a", "a"]])
def test_rows_of_another_fold_are_refused(wrong: list[str]) -> None:
    logits = np.zeros((len(wrong), 1), np.float32)
    with pytest.raises(UserError, match="not out-of-fold"):
        join_folds(np.array(["a", "c"]), np.array([0, 0]), {0: (np.array(wrong), logits)})


def test_folds_that_are_missing_or_unlike_are_refused() -> None:
    ids = np.array(["a", "b"])
    arrays = {
        fold: {
            "oof_id": ids[[fold]],
            "oof_logits": np.zeros((1, 1, 2), np.float32),
            "test_id": np.array(["t"]),
            "test_logits": np.zeros((1, 1, 2), np.float32),
            "views": np.array(["identity"]),
        }
        for fold in (0, 1)
    }
    folds, test = np.array([0, 1]), np.array(["t"])
    assert MemberPredictions.from_arrays("m", arrays, ids, folds, test).views == ("identity",)
    with pytest.raises(UserError, match="m fold 1: has no predictions"):
        MemberPredictions.from_arrays("m", {0: arrays[0]}, ids, folds, test)
    with pytest.raises(UserError, match="m fold 0: was predicted on another test part"):
        MemberPredictions.from_arrays("m", arrays, ids, folds, np.array(["u"]))
    other = {0: arrays[0], 1: arrays[1] | {"views": np.array(["hflip"])}}
    with pytest.raises(UserError, match="m fold 1: was predicted through other views"):
        MemberPredictions.from_arrays("m", other, ids, folds, test)


@given(st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_drawn_scores_are_those_of_drawn_images(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(-1, 2, (9, 3)).astype(np.int8)
    sets = [rng.integers(0, 2, truth.shape).astype(np.int8) for _ in "12"]
    for objective in OBJECTIVES:
        found = BootstrapScores(truth, sets, objective, draws=40)
        wanted = [slow_score(truth, each, objective) for each in sets]
        assert found.values == pytest.approx(np.array(wanted), abs=1e-6)
        for weights, scores in zip(next(draw(9, 40)), found.draws, strict=False):
            rows = np.repeat(np.arange(9), weights)
            if not (truth[rows] >= 0).any():
                continue
            wanted = [slow_score(truth[rows], each[rows], objective) for each in sets]
            assert scores == pytest.approx(np.array(wanted), abs=1e-6), objective


def test_draws_are_of_as_many_images_and_always_the_same() -> None:
    drawn = np.concatenate(list(draw(50, DRAWS)))
    assert drawn.shape == (DRAWS, 50)
    assert (drawn.sum(1) == 50).all()
    assert np.array_equal(drawn, np.concatenate(list(draw(50, DRAWS))))
    assert drawn.mean() == 1
    assert drawn.var() == pytest.approx(1, abs=0.05)


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held_by = 0
    for _ in range(200):
        truth = np.ones((80, 2), np.int8)
        right = (rng.random((2, 80, 2)) < 0.8).astype(np.int8)
        gain = BootstrapScores(truth, list(right), ACCURACY, draws=200).interval(
            np.array([-1.0, 1.0])
        )
        held_by += gain.low <= 0 <= gain.high
    # 95 % of 200, give or take three standard deviations.
    assert 178 <= held_by <= 199


def test_the_ladder_ablations_from_one_model_to_all(labels: np.ndarray) -> None:
    models = [noisy(labels, 2.0, seed) for seed in range(6)]
    final = np.mean(models, 0)
    rungs = {
        "single fold": [each >= 0 for each in models[:2]],
        "all": [final >= 0],
        "worse": [final >= 2],
        "worse again": [final >= 2],
    }
    folds = np.arange(IMAGES) % 2
    steps = ablation(labels, rungs, ACCURACY, folds, draws=300)
    assert list(steps) == list(rungs)
    wanted = np.mean([score(labels, each >= 0, ACCURACY) for each in models[:2]])
    assert steps["single fold"]["score"] == pytest.approx(wanted)
    assert "gain" not in steps["single fold"]
    assert steps["all"]["score"] == pytest.approx(score(labels, final >= 0, ACCURACY))
    assert steps["all"]["gain"] == pytest.approx(steps["all"]["score"] - wanted)
    assert [each.get("verdict") for each in steps.values()] == [
        None,
        "helps",
        "hurts",
        "within noise",
    ]
    by_fold = [score(labels[folds == fold], final[folds == fold] >= 0, ACCURACY) for fold in (0, 1)]
    assert steps["all"]["fold_std"] == pytest.approx(np.std(by_fold, ddof=1))
    assert "fold_std" not in ablation(labels, rungs, ACCURACY, draws=50)["all"]


@pytest.fixture(scope="module")
def views(labels: np.ndarray) -> np.ndarray:
    """Three views that help each other, and a fourth that spoils what it is merged with."""
    good = [noisy(labels, 1.2, seed) for seed in range(3)]
    return np.stack([*good, noisy(labels, 12.0, 3)])


def test_the_audit_finds_what_each_view_does(views: np.ndarray, held: Held) -> None:
    audit = ViewAudit(held.labels, views, held.groups, "mean_logit", ACCURACY, held.decide, 300)
    table = audit.table(["identity", "a", "b", "bad"], 0)
    assert [each["view"] for each in table] == ["identity", "a", "b", "bad", "all"]
    assert table[0]["gain"] == table[0]["gain_low"] == table[0]["gain_high"] == 0
    assert table[3]["gain_high"] < 0
    assert table[3]["adds_high"] < 0 < table[1]["adds_low"]
    decided = np.empty_like(held.labels)
    for group in range(3):
        own = held.groups == group
        decided[own] = held.decide(held.labels[~own], views[1][~own], held.groups[~own])(
            views[1][own]
        )
    assert table[1]["score"] == pytest.approx(score(held.labels, decided, ACCURACY))
    assert table[1]["gain"] == pytest.approx(table[1]["score"] - table[0]["score"])


def member(views: np.ndarray, name: str = "m") -> MemberPredictions:
    names = ("identity", "a", "b", "bad")[: len(views)]
    return MemberPredictions(name, names, views, (views[:, :7], views[:, 7:14]))


def test_views_that_hurt_are_dropped(views: np.ndarray, held: Held) -> None:
    plain = merge_views(member(views), held, Tta(views=("identity",), merge="mean_logit"))
    assert plain.views == ("identity", "a", "b", "bad")
    assert np.array_equal(plain.oof, merge_logits(views, "mean_logit"))
    chosen = merge_views(
        member(views), held, Tta(views=("identity",), merge="mean_logit", select="audit")
    )
    assert chosen.views == ("identity", "a", "b")
    assert np.array_equal(chosen.oof, merge_logits(views[:3], "mean_logit"))
    for fold, wanted in zip(chosen.test, (views[:3, :7], views[:3, 7:14]), strict=True):
        assert np.array_equal(fold, merge_logits(wanted, "mean_logit"))
    assert [each.get("used") for each in chosen.audit] == [True, True, True, False, None]
    assert np.array_equal(chosen.single, views[0])


def test_a_folds_own_labels_do_not_choose_its_views(views: np.ndarray, held: Held) -> None:
    settings_ = Tta(views=("identity",), merge="mean_logit", select="audit")
    before = merge_views(member(views), held, settings_).oof
    spoiled = held.labels.copy()
    own = held.groups == 1
    spoiled[own] = np.where(spoiled[own] == 1, 0, 1)
    other = Held(spoiled, held.groups, held.objective, held.decide, held.draws)
    after = merge_views(member(views), other, settings_).oof
    assert np.array_equal(before[own], after[own])


def merged(logits: list[np.ndarray]) -> list[Merged]:
    return [
        Merged(f"m{index}", ("identity",), each, each, (each[:3], each[3:6]), [])
        for index, each in enumerate(logits)
    ]


def test_simplex_weights_are_the_least_squares(labels: np.ndarray) -> None:
    logits = np.stack([noisy(labels, scale, 20 + i) for i, scale in enumerate((1, 1.5, 4))], 1)
    found = fit_member_weights(labels, logits, "simplex", "mean_probability")
    used = labels >= 0
    p = np.stack([sigmoid(logits[:, index])[used] for index in range(3)])

    def loss(weights: np.ndarray) -> float:
        return float(((weights @ p - labels[used]) ** 2).sum())

    constraint = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    wanted = minimize(loss, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints=constraint).x
    assert found == pytest.approx(wanted, abs=2e-3)
    assert found.sum() == pytest.approx(1)
    assert loss(found) <= loss(wanted) + 1e-6


@pytest.mark.parametrize("merge", ["mean_probability", "mean_logit"])
def test_greedy_weights_take_the_best_step_each_time(labels: np.ndarray, merge: str) -> None:
    logits = np.stack([noisy(labels, scale, 30 + i) for i, scale in enumerate((1, 1, 3))], 1)
    used = labels >= 0

    def likelihood(taken: list[int]) -> float:
        all_ = merge_logits([logits[:, index] for index in taken], merge).astype(np.float64)
        p = sigmoid(all_)[used]
        return float(np.log(np.where(labels[used] == 1, p, 1 - p)).mean())

    taken: list[int] = []
    for _ in range(ROUNDS):
        taken.append(max(range(3), key=lambda index: likelihood([*taken, index])))
    best = max(range(1, ROUNDS + 1), key=lambda size: likelihood(taken[:size]))
    wanted = np.bincount(taken[:best], minlength=3) / best
    assert fit_member_weights(labels, logits, "greedy", merge) == pytest.approx(wanted)


@pytest.mark.parametrize("how", ["greedy", "simplex"])
def test_weights_are_fitted_only_where_they_help(
    held: Held, how: Literal["greedy", "simplex"]
) -> None:
    settings_ = Ensemble.model_validate(
        {"weights": how, "folds": "mean_logit", "members": "mean_probability"}
    )
    unlike = merged([noisy(held.labels, 0.8, 1), noisy(held.labels, 9.0, 2)])
    oof, weighing, found = weigh_members(unlike, held, settings_)
    assert found["used"] == how
    assert found["gain_low"] > 0
    assert weighing.weights[0] > 0.9
    for group in range(3):
        own = held.groups == group
        rest = np.stack([each.oof[~own] for each in unlike], 1)
        near = held.groups[~own]
        learned = fit_weighing(held.labels[~own], rest, near, how, "mean_probability")
        wanted = learned.merged([each.oof[own] for each in unlike], "mean_probability")
        assert np.array_equal(oof[own], wanted)

    # Better, but not beyond noise.
    nearly = merged([noisy(held.labels, 1.0, 3), noisy(held.labels, 1.4, 6)])
    _, weighing, found = weigh_members(nearly, held, settings_)
    assert found["gain_low"] < 0 < found["gain"]
    assert found["used"] == "equal"
    assert weighing.weights.tolist() == [0.5, 0.5]
    alike = merged([noisy(held.labels, 1.0, 3), noisy(held.labels, 1.0, 4)])
    oof, weighing, found = weigh_members(alike, held, settings_)
    assert found["used"] == "equal"
    assert found["verdict"] == "within noise"
    assert weighing.weights.tolist() == [0.5, 0.5]
    assert np.array_equal(oof, merge_logits([each.oof for each in alike], "mean_probability"))


def test_the_test_part_is_weighed_likewise(held: Held) -> None:
    both = merged([noisy(held.labels, 1.0, 1), noisy(held.labels, 2.0, 2)])
    settings_ = Ensemble(folds="mean_logit", members="mean_logit")
    for weights in ([0.5, 0.5], [0.9, 0.1]):
        joined, final = merge_test(both, Weighing(np.array(weights), (None, None)), settings_)
        folds = [np.mean([each.oof[:3], each.oof[3:6]], 0) for each in both]
        assert np.allclose(joined, folds, atol=1e-5)
        assert np.allclose(final, np.tensordot(weights, folds, 1), atol=1e-5)
