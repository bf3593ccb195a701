"""Steps are taken by evidence: what hurts is left out, and what is rich must earn it."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from foldwise.decision.calibration_error import calibration_errors, image_losses
from foldwise.decision.calibrator import fit_calibrator
from foldwise.decision.decision import fit_decision
from foldwise.decision.evidence import Choice, choose
from foldwise.decision.ladder import cross_calibrated, oof_rungs
from foldwise.decision.settings import Calibration, Threshold, check_decision
from foldwise.decision.simplest import simplest_of_best
from foldwise.scoring.cross_fitting import cross_fit, with_several
from foldwise.scoring.objective import score

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def asked(**keys: Any) -> Threshold:
    return Threshold.model_validate({"objective": "accuracy", "scope": "auto"} | keys)


def drawn(images: int, classes: int, seed: int, slope: float = 1.0, offset: float = 0.0) -> Data:
    """Labels of logits that are calibrated once multiplied and moved; and folds."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(images, classes)).astype(np.float32)
    p = 1 / (1 + np.exp(-(slope * logits + offset)))
    return (rng.random(p.shape) < p).astype(np.int8), logits, np.arange(images) % 3


def rows(gains: list[tuple[float, float]]) -> tuple[int, list[str]]:
    """The rule, of candidates whose gains lie in an interval (independent of each other)."""
    rng = np.random.default_rng(0)
    parts = [np.zeros(4000), *(rng.uniform(low, high, 4000) for low, high in gains)]
    table = np.stack(parts, 1)
    names = ["none", *(f"c{i}" for i in range(1, len(gains) + 1))]
    place, found = simplest_of_best(names, table.mean(0), table)
    return place, [found[name].get("left_out", "taken") for name in names[1:]]


def test_the_rule_takes_the_simplest_within_noise_of_the_best() -> None:
    assert rows([(-3, -1), (-4, -2)]) == (0, ["hurts", "hurts"])
    # Not below zero beyond noise is enough, however little it is.
    assert rows([(-3, 1)]) == (1, ["taken"])
    assert rows([(-3, -1), (-1, 1)]) == (2, ["hurts", "taken"])
    assert rows([(1, 3), (1.5, 3.5), (2, 4)]) == (
        1,
        ["taken", *["c1 is simpler, and as good within noise"] * 2],
    )
    # The first is worse than the best beyond noise, the second is not.
    assert rows([(1, 1.1), (3, 5), (4, 5)]) == (
        2,
        ["c3 is better beyond noise", "taken", "c2 is simpler, and as good within noise"],
    )
    assert rows([(-1, 2), (1, 2)]) == (2, ["within noise, where others help", "taken"])


def test_losses_of_images_sum_to_the_likelihood() -> None:
    labels, logits, _ = drawn(50, 4, 1)
    labels[:9, 2] = -1
    one = np.eye(4, dtype=np.int8)[np.arange(50) % 4]
    one[3] = 0
    for truth, softmax in ((labels, False), (one, True)):
        losses, counts = image_losses(truth, logits, softmax)
        wanted = calibration_errors(truth, logits, softmax)["nll"]
        assert losses.sum() / counts.sum() == pytest.approx(wanted)


def test_a_threshold_that_hurts_is_left_out() -> None:
    """Each fold teaches the other what is wrong there; p >= 1/2 lies between."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 3)).astype(np.float32)
    folds = np.arange(60) % 2
    labels = (logits > np.where(folds == 0, 0.5, -0.5)[:, None]).astype(np.int8)
    choice = choose(labels, logits, folds, asked(), single=False)
    candidates = choice.evidence["threshold"]["candidates"]
    assert candidates["global"]["left_out"] == candidates["shrunk"]["left_out"] == "hurts"
    assert candidates["global"]["gain_high"] < 0
    assert choice.evidence["threshold"]["taken"] == "plain"
    assert choice.left_out == ("+ threshold",)
    decision = fit_decision(labels, logits, folds, choice.settings, False, "threshold")
    assert np.array_equal(decision(logits), logits >= 0)
    rungs = oof_rungs(logits[None], logits[None], labels, logits, folds, choice, False)
    assert list(rungs) == ["single fold", "+ TTA"]


def test_each_step_is_taken_where_it_is_needed() -> None:
    labels, logits, folds = drawn(900, 3, 2, slope=0.5, offset=1.5)
    choice = choose(labels, logits, folds, asked(calibration="auto"), single=False)
    # One offset for all: no temperature can give it.
    assert choice.settings.calibration == "platt"
    said = choice.evidence["calibration"]["candidates"]
    assert said["temperature"]["left_out"] == "platt is better beyond noise"
    methods: list[Calibration] = ["temperature", "isotonic"]
    for method in methods:
        moved = np.empty_like(logits)
        for fold in range(3):
            own, rest = folds == fold, folds != fold
            moved[own] = fit_calibrator(labels[rest], logits[rest], method, False)(logits[own])
        wanted = calibration_errors(labels, moved, False)["nll"]
        assert said[method]["nll"] == pytest.approx(wanted, abs=1e-6)
    alone = choose(labels, logits, folds, asked(), single=False)
    assert alone.settings.scope == "global"
    assert alone.evidence["threshold"]["candidates"]["global"]["verdict"] == "helps"
    # Classes that need thresholds of their own.
    labels, logits, folds = drawn(900, 3, 9)
    unlike = logits + np.array([-3, 0, 3], np.float32)
    other = choose(labels, unlike, folds, asked(), single=False)
    assert other.settings.scope in ("shrunk", "per_class")
    decided = cross_fit(
        labels,
        unlike,
        folds,
        lambda truth, z, g: fit_decision(truth, z, g, other.settings, False, "threshold"),
    )
    found = other.evidence["threshold"]["candidates"][other.settings.scope]["score"]
    assert found == pytest.approx(score(labels, decided, other.settings.objective))


def test_a_folds_own_labels_choose_nothing_for_it() -> None:
    labels, logits, folds = drawn(300, 3, 3, slope=0.6, offset=0.8)
    settings = asked(calibration="auto", objective="macro_f1")
    before = choose(labels, logits, folds, settings, single=False)
    spoiled = np.where((folds == 1)[:, None], 1 - labels, labels)
    after = choose(spoiled, logits, folds, settings, single=False)
    assert set(before.by_fold) == {0, 1, 2}
    assert after.by_fold[1] == before.by_fold[1]
    assert after.by_fold[0] != before.by_fold[0]
    rest = folds != 2
    assert before.of(folds[rest]) == before.by_fold[2]
    assert before.of(folds) == before.settings
    # What is written for a fold is by its own choice.
    kinds = [("platt", "per_class"), ("temperature", "global"), ("isotonic", "shrunk")]
    own_steps = {i: asked(calibration=c, scope=s) for i, (c, s) in enumerate(kinds)}
    before = Choice(asked(calibration="platt", scope="global"), by_fold=own_steps)
    rungs = oof_rungs(logits[None], logits[None], labels, logits, folds, before, False)
    calibrated = cross_calibrated(labels, logits, folds, before, False)
    for fold, step in before.by_fold.items():
        own = folds == fold
        decision = fit_decision(labels[~own], logits[~own], folds[~own], step, False, "threshold")
        assert np.array_equal(list(rungs.values())[-1][0][own], decision(logits[own]))
        assert np.array_equal(calibrated[own], decision.calibrator(logits[own]))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_folds_and_a_single_hold_out(count: int) -> None:
    labels, logits, _ = drawn(120, 2, 4)
    folds = np.arange(120) % count
    choice = choose(labels, logits, folds, asked(calibration="auto"), single=False)
    assert set(choice.by_fold) == set(with_several(folds).tolist())
    assert not choice.settings.auto
    assert not any(each.auto for each in choice.by_fold.values())
    rungs = oof_rungs(logits[None], logits[None], labels, logits, folds, choice, False)
    assert all(each[0].shape == labels.shape for each in rungs.values())


def test_a_count_prior_that_hurts_is_left_out() -> None:
    labels, logits, folds = drawn(600, 6, 5, slope=0.3, offset=-1.5)
    settings = asked(objective="macro_f1", decode="count_prior")
    choice = choose(labels, logits, folds, settings, single=False)
    assert choice.evidence["decoder"]["candidates"]["count_prior"]["verdict"] == "hurts"
    assert choice.settings.decode == "threshold"
    assert "+ count prior" in choice.left_out
    rungs = oof_rungs(logits[None], logits[None], labels, logits, folds, choice, False)
    assert list(rungs)[-1] == "+ threshold"
    # Two of six are there: who knows it is right more often.
    rng = np.random.default_rng(0)
    noisy = rng.normal(size=(600, 6)).astype(np.float32) * 2
    two = (np.argsort(np.argsort(-noisy - rng.gumbel(size=noisy.shape), 1), 1) < 2).astype(np.int8)
    kept = choose(two, noisy, folds, asked(decode="count_prior"), single=False)
    assert kept.settings.decode == "count_prior"
    assert kept.evidence["decoder"]["candidates"]["count_prior"]["verdict"] == "helps"


def test_images_of_one_class_have_no_threshold_and_labels_that_calibration_may_spoil() -> None:
    rng = np.random.default_rng(6)
    logits = rng.normal(size=(300, 3)).astype(np.float32)
    labels = np.eye(3, dtype=np.int8)[(logits + rng.gumbel(size=logits.shape)).argmax(1)]
    choice = choose(labels, 8 * logits, np.arange(300) % 3, asked(calibration="auto"), single=True)
    assert choice.settings.scope == "global"
    assert "threshold" not in choice.evidence
    # The same sum for every class: one temperature is enough.
    assert choice.settings.calibration == "temperature"
    assert choice.left_out == ()


def test_what_evidence_cannot_decide_is_refused_or_left_out() -> None:
    with pytest.raises(ValidationError, match="fixed: is one probability"):
        asked(fixed=0.6)
    with pytest.raises(ValidationError, match="decode: top_k has no threshold"):
        asked(decode="top_k")
    common = asked(objective={"name": "micro_precision_at_recall", "recall": 0.9})
    labels, logits, folds = drawn(120, 2, 7)
    choice = choose(labels, logits, folds, common, single=False)
    assert list(choice.evidence["threshold"]["candidates"]) == ["plain", "global"]
    with pytest.raises(ValueError, match="scope: auto is to be chosen first"):
        fit_decision(labels, logits, folds, asked(), False, "threshold")
    with pytest.raises(ValueError, match="calibration: auto is to be chosen first"):
        fit_decision(
            labels, logits, folds, asked(calibration="auto", scope="global"), False, "threshold"
        )
    check_decision(asked(), single=True, classes=2)
    with pytest.raises(ValueError, match="not finite"):
        choose(labels, np.full_like(logits, np.nan), folds, asked(calibration="auto"), False)


def test_what_is_written_is_taken_as_it_is() -> None:
    labels, logits, folds = drawn(60, 2, 8)
    written = asked(scope="shrunk", calibration="platt")
    choice = choose(labels, logits, folds, written, single=False)
    assert choice.settings is written
    assert not choice.by_fold
    assert not choice.evidence
    fixed = asked(scope="global", fixed=0.6, calibration="auto")
    assert choose(labels, logits, folds, fixed, single=False).settings.fixed == 0.6
