"""Members that are calibrated before they are weighed, and stacked: fitted, vetoed, merged."""

import json

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from foldwise.core.errors import UserError
from foldwise.ensembling.combine import Held, Merged, merge_test, used_members, weigh_members
from foldwise.ensembling.merge import merge_logits
from foldwise.ensembling.settings import Ensemble, check_weights
from foldwise.ensembling.weighing import PRIOR_STRENGTHS, Line, Weighing, fit_weighing
from foldwise.ensembling.weights import fit_member_weights
from foldwise.scoring.bootstrap import BootstrapScores
from foldwise.scoring.cross_fitting import Apply, cross_fit
from foldwise.scoring.objective import Objective
from foldwise.scoring.thresholds import threshold_fit

IMAGES, CLASSES = 900, 4
ACCURACY = Objective(name="accuracy")
GROUPS = np.arange(IMAGES) % 3


def evidence(seed: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and members whose logits these weights (members, classes) merge rightly."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=1.5, size=(IMAGES, *weights.shape)).astype(np.float32)
    p = expit((logits * weights).sum(1))
    return (rng.random(p.shape) < p).astype(np.int8), logits


def held_of(labels: np.ndarray) -> Held:
    return Held(labels, GROUPS, ACCURACY, threshold_fit(ACCURACY, single=False), draws=300)


def members_of(logits: np.ndarray) -> list[Merged]:
    return [
        Merged(f"m{i}", ("identity",), each, each, (each[:5], each[5:10]), [])
        for i, each in enumerate(np.moveaxis(logits, 1, 0))
    ]


def settings_of(weights: str, members: str = "mean_logit") -> Ensemble:
    return Ensemble.model_validate({"weights": weights, "folds": "mean_logit", "members": members})


@pytest.mark.parametrize("merge", ["mean_logit", "mean_probability"])
def test_a_member_of_another_scale_is_calibrated_before_it_is_weighed(merge: str) -> None:
    """Two know as much, but the second shouts, and is off besides."""
    labels, logits = evidence(0, np.full((2, CLASSES), 1.0))
    logits[:, 1] = 10 * logits[:, 1] - 30
    held, settings_ = held_of(labels), settings_of("greedy", merge)
    members = members_of(logits)
    _, weighing, found = weigh_members(members, held, settings_)
    assert found["used"] == "greedy"
    assert found["fitted"]["m0"] == pytest.approx(0.5, abs=0.1)
    for index in (0, 1):
        plain = LogisticRegression(C=1e9).fit(logits[:, index].reshape(-1, 1), labels.reshape(-1))
        line = found["calibrated"][f"m{index}"]
        assert line["slope"] == pytest.approx(plain.coef_[0, 0], rel=0.02)
        assert line["offset"] == pytest.approx(plain.intercept_[0], rel=0.02, abs=0.02)

    # As they are, greedy's weights would be refused.
    def fit(truth: np.ndarray, own: np.ndarray, _: np.ndarray) -> Apply:
        raw = fit_member_weights(truth, own, "greedy", merge)
        return lambda held_out: merge_logits(np.moveaxis(held_out, 1, 0), merge, raw)

    alike = merge_logits(np.moveaxis(logits, 1, 0), merge)
    decided = [
        cross_fit(labels, each, GROUPS, held.decide)
        for each in (alike, cross_fit(labels, logits, GROUPS, fit))
    ]
    gain = BootstrapScores(labels, decided, ACCURACY, 300).interval(np.array([-1.0, 1.0]))
    assert gain.low <= 0
    # The test part is moved and merged likewise.
    joined, final = merge_test(members, weighing, settings_)
    moved = [
        line["slope"] * each + line["offset"]
        for line, each in zip(found["calibrated"].values(), joined, strict=True)
    ]
    wanted = merge_logits(moved, merge, weighing.weights)
    assert final == pytest.approx(wanted, abs=1e-4)


def test_members_stay_as_they_are_where_that_merges_better() -> None:
    """Each says little and errs for itself: the mean probability of what is sure is too unsure."""
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, (IMAGES, CLASSES)).astype(np.int8)
    noise = rng.normal(scale=[[1.0], [1.4], [1.4]], size=(IMAGES, 3, CLASSES))
    logits = (0.3 * (2 * labels[:, None] - 1 + noise)).astype(np.float32)
    weighing = fit_weighing(labels, logits, GROUPS, "greedy", "mean_probability")
    assert weighing.lines == (None, None, None)
    assert weighing.weights.tolist() == pytest.approx(
        fit_member_weights(labels, logits, "greedy", "mean_probability").tolist()
    )


def test_equal_weights_stay_on_the_logits_as_they_are() -> None:
    labels, logits = evidence(1, np.full((2, CLASSES), 0.5))
    for how in ("equal", "greedy", "stack"):
        oof, weighing, found = weigh_members(members_of(logits), held_of(labels), settings_of(how))
        assert found["used"] == "equal"
        assert weighing.lines == (None, None)
        assert np.array_equal(oof, merge_logits(np.moveaxis(logits, 1, 0), "mean_logit"))
        assert used_members(members_of(logits), weighing) == {
            name: {"views": ["identity"], "weight": 0.5} for name in ("m0", "m1")
        }


def test_a_stack_finds_each_classs_member() -> None:
    right = np.array([[1.5, 0.0, 0.8, 1.2], [0.0, 1.5, 0.8, 0.1]])
    labels, logits = evidence(2, right)
    labels[:30, 1] = -1
    oof, weighing, found = weigh_members(members_of(logits), held_of(labels), settings_of("stack"))
    assert found["used"] == "stack"
    assert found["gain_low"] > 0
    lines = [line for line in weighing.lines if line is not None]
    slopes = np.stack([line.slope for line in lines])
    assert slopes / 2 == pytest.approx(right, abs=0.35)
    assert (slopes >= 0).all()
    assert found["fitted"]["m0"] == pytest.approx(slopes[0].mean() / 2)
    # Each fold's rows are by what the others teach.
    for group in range(3):
        own = group == GROUPS
        other = fit_weighing(labels[~own], logits[~own], GROUPS[~own], "stack", "mean_logit")
        wanted = other.merged(list(np.moveaxis(logits[own], 1, 0)), "mean_logit")
        assert np.array_equal(oof[own], wanted)
    # Linear: a weight per member and class, and an offset per class.
    joined, final = merge_test(members_of(logits), weighing, settings_of("stack"))
    linear = sum(each * slope / 2 for each, slope in zip(joined, slopes, strict=True))
    assert final == pytest.approx(linear + lines[0].offset, abs=1e-4)


def test_a_stack_without_a_prior_is_the_logistic_regression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, logits = evidence(3, np.array([[1.0] * CLASSES, [0.6] * CLASSES]))
    monkeypatch.setattr("foldwise.ensembling.weighing.PRIOR_STRENGTHS", (1e-6,))
    lines = fit_weighing(labels, logits, GROUPS, "stack", "mean_logit").lines
    for index in range(CLASSES):
        plain = LogisticRegression(C=1e9).fit(logits[:, :, index], labels[:, index])
        for member, line in enumerate(lines):
            assert line is not None
            assert line.slope[index] / 2 == pytest.approx(plain.coef_[0, member], abs=0.01)
            assert line.offset[index] == pytest.approx(plain.intercept_[0], abs=0.01)


def test_few_labels_leave_a_class_near_equal_weights() -> None:
    labels, logits = evidence(4, np.array([[1.5, 1.5, 1.5, 1.5], [0.0, 0.0, 0.0, 0.0]]))
    labels[:, 2] = 0
    labels[:, 3] = -1
    labels[:4, 3] = [1, 0, 1, 0]
    weighing = fit_weighing(labels, logits, GROUPS, "stack", "mean_logit")
    slopes = np.stack([line.slope for line in weighing.lines if line is not None]) / 2
    assert slopes[:, 2].tolist() == [0.5, 0.5]
    assert slopes[0, 3] < 1 < slopes[0, 0]
    assert np.isfinite(slopes).all()
    # Where the mean is right, the strongest prior is chosen, and next to nothing moves.
    labels, logits = evidence(5, np.full((2, CLASSES), 0.5))
    same = fit_weighing(labels, logits, GROUPS, "stack", "mean_logit").lines
    assert PRIOR_STRENGTHS[0] == max(PRIOR_STRENGTHS)
    for line in same:
        assert line is not None
        assert line.slope == pytest.approx(np.ones(CLASSES), abs=0.1)


def test_lines_survive_json() -> None:
    line = Line(np.array([0.1, 2.0]), np.array([-1.0]))
    again = Line.from_json(json.loads(json.dumps(line.as_json())))
    assert again is not None
    logits = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    assert np.array_equal(again(logits), line(logits))
    assert again(logits) == pytest.approx(logits * [0.1, 2.0] - 1, abs=1e-6)
    two = Weighing(np.array([0.25, 0.75]), (line, None))
    wanted = 0.25 * line(logits) + 0.75 * logits
    assert two.merged([logits, logits], "mean_logit") == pytest.approx(wanted, abs=1e-6)


def test_what_stack_is_not_for_is_refused() -> None:
    with pytest.raises(ValidationError, match="weights: stack is not for `members: median`"):
        settings_of("stack", "median")
    with pytest.raises(UserError, match="weights: stack regards every class by itself"):
        check_weights(settings_of("stack"), single=True)
    check_weights(settings_of("stack"), single=False)
    check_weights(settings_of("greedy"), single=True)
