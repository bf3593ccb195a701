"""Solved heads, against scikit-learn's logistic regression and a search by brute force."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier, FeatureNorm
from foldwise.scoring.cross_fitting import with_several
from foldwise.training.logistic import Rows, fit_head, loss_and_slope
from foldwise.training.settings import Recipe, make_recipe
from tests.fitting import fit, recipe, same

SHAPES = [(60, 7), (30, 50)]
"""More images than features, and fewer."""


def classifier(features: int, classes: int, norm: FeatureNorm = None) -> Classifier:
    torch.manual_seed(0)
    return Classifier(nn.Identity(), nn.Linear(features, classes), norm, 0.0)


def problem(
    images: int, features: int, views: int = 1, classes: int = 3, single: bool = False
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Features of each view, labels that they tell of in part, and folds."""
    rng = np.random.default_rng(images)
    first = rng.normal(1, 2, (images, features))
    logits = first @ rng.normal(size=(features, classes)) / features**0.5 + rng.normal(
        size=(images, classes)
    )
    labels = (logits > 0.5).astype(int)
    if single:
        labels = np.eye(classes, dtype=int)[logits.argmax(1)]
    seen = [first, *(first + rng.normal(0, 0.3, first.shape) for _ in range(views - 1))]
    return [each.astype(np.float32) for each in seen], labels, rng.permutation(images) % 4


def by_scikit_learn(
    views: list[np.ndarray], labels: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (classes, features) and offsets, of one class after the other."""
    weights, offsets = [], []
    for truth in labels.T:
        known = np.tile(truth >= 0, len(views))
        model = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000)
        model.fit(
            np.concatenate(views).astype(np.float64)[known],
            np.tile(truth, len(views))[known],
            np.full(known.sum(), 1 / len(views)),
        )
        weights.append(model.coef_[0])
        offsets.append(model.intercept_[0])
    return np.array(weights), np.array(offsets)


def solved(network: Classifier) -> tuple[np.ndarray, np.ndarray]:
    return network.fc.weight.detach().numpy(), network.fc.bias.detach().numpy()


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_the_weights_of_every_class_are_scikit_learns(
    shape: tuple[int, int], views: int, strength: float
) -> None:
    seen, labels, groups = problem(*shape, views)
    labels[::5, 1] = -1
    network = classifier(shape[1], 3)
    assert fit_head(network, seen, labels, groups, [strength], softmax=False) == strength
    for found, wanted in zip(solved(network), by_scikit_learn(seen, labels, strength), strict=True):
        assert np.allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_weights_of_a_softmax_are_scikit_learns(shape: tuple[int, int], views: int) -> None:
    seen, labels, groups = problem(*shape, views, single=True)
    network = classifier(shape[1], 3)
    fit_head(network, seen, labels, groups, [0.1], softmax=True)
    model = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000)
    weight = np.full(len(labels) * views, 1 / views)
    rows = np.concatenate(seen).astype(np.float64)
    model.fit(rows, np.tile(labels.argmax(1), views), weight)
    weights, offsets = solved(network)
    assert np.allclose(weights, model.coef_, atol=1e-3)
    # All offsets together may move; their differences may not.
    assert np.allclose(
        offsets - offsets.mean(), model.intercept_ - model.intercept_.mean(), 0, 1e-3
    )


def test_softmax_rows_without_a_class_take_no_part() -> None:
    (seen,), labels, groups = problem(40, 5, single=True)
    unlabelled = labels.copy()
    unlabelled[::4] = -1
    networks = classifier(5, 3), classifier(5, 3)
    fit_head(networks[0], [seen], unlabelled, groups, [0.1], softmax=True)
    known = unlabelled.max(1) > 0
    fit_head(networks[1], [seen[known]], labels[known], groups[known], [0.1], softmax=True)
    for one, other in zip(*map(solved, networks), strict=True):
        assert np.allclose(one, other, atol=1e-3)


STRENGTHS = [1e-3, 1e-2, 1e-1, 1.0, 10.0]


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("shape", [*SHAPES, (200, 3)])
@pytest.mark.parametrize("holdout", [False, True])
def test_the_strength_is_the_one_with_the_least_loss_on_other_folds(
    shape: tuple[int, int], single: bool, holdout: bool
) -> None:
    views, labels, groups = problem(*shape, views=2, single=single)
    if holdout:
        groups = np.zeros(len(labels), int)
    # By the first view alone, as its docstring says.
    first, parts = views[0].astype(np.float64), with_several(groups)
    assert len(np.unique(parts)) > 1
    losses = []
    for strength in STRENGTHS:
        total = 0.0
        for group in np.unique(parts):
            own = parts == group
            model = LogisticRegression(C=strength, tol=1e-8, max_iter=10_000)
            for truth in [labels.argmax(1)] if single else labels.T:
                model.fit(first[~own], truth[~own])
                found = model.predict_proba(first[own])
                total += own.sum() * log_loss(truth[own], found, labels=model.classes_)
        losses.append(total)
    network = classifier(shape[1], 3)
    chosen = fit_head(network, views, labels, groups, STRENGTHS, softmax=single)
    assert chosen == STRENGTHS[int(np.argmin(losses))]


def test_strengths_differ_among_those_problems() -> None:
    """Else the test above would pass whatever is chosen."""
    found = set()
    for shape, single in product([*SHAPES, (200, 3)], [False, True]):
        views, labels, groups = problem(*shape, views=2, single=single)
        found.add(fit_head(classifier(shape[1], 3), views, labels, groups, STRENGTHS, single))
    assert len(found) > 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", ["batch", "unit"])
def test_features_are_standardised_by_those_that_are_fitted_to(
    shape: tuple[int, int], norm: FeatureNorm
) -> None:
    views, labels, groups = problem(*shape, views=2)
    network = classifier(shape[1], 3, norm)
    fit_head(network, views, labels, groups, [0.1], softmax=False)
    together = np.concatenate(views).astype(np.float64)
    mean, deviation = together.mean(0), np.sqrt(together.var(0) + 1e-5)

    def normalised(features: np.ndarray) -> np.ndarray:
        found = (features - mean) / deviation
        if norm == "unit":
            found *= shape[1] ** 0.5 / np.linalg.norm(found, axis=1, keepdims=True)
        return found

    weights, offsets = by_scikit_learn([normalised(each) for each in views], labels, 0.1)
    assert np.allclose(solved(network)[0], weights, atol=1e-3)
    # So that the network gives what was fitted, to images that it has not seen too.
    other = (views[0][:5] * 1.1).astype(np.float32)
    with torch.inference_mode():
        found = network.eval().head(torch.from_numpy(other)).numpy()
    assert np.allclose(found, normalised(other) @ weights.T + offsets, atol=5e-3)


def test_a_class_without_positives_is_improbable_and_harms_no_other() -> None:
    views, labels, groups = problem(60, 7)
    labels[:, 1] = 0
    network = classifier(7, 3)
    fit_head(network, views, labels, groups, STRENGTHS, softmax=False)
    weights, _ = solved(network)
    assert np.isfinite(weights).all()
    with torch.inference_mode():
        logits = network.head(torch.from_numpy(views[0])).numpy()
    assert logits[:, 1].max() < -4
    # Nor has one whose labels are all unknown any say.
    labels[:, 1] = -1
    chosen = fit_head(network, views, labels, groups, STRENGTHS, softmax=False)
    wanted, _ = by_scikit_learn(views, labels[:, [0, 2]], chosen)
    weights, _ = solved(network)
    assert np.allclose(weights[[0, 2]], wanted, atol=1e-3)
    assert np.allclose(weights[1], 0, atol=1e-6)


def test_the_gradient_is_the_losss() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 3))
    for softmax in (False, True):
        (seen,), labels, _ = problem(20, 4, single=softmax)
        labels[3] = -1
        rows = Rows(seen.astype(np.float64), labels, 0.5)
        _, slope = loss_and_slope(weights, rows, softmax)
        for _ in range(5):
            step = rng.normal(size=weights.shape) * 1e-6
            above = loss_and_slope(weights + step, rows, softmax)[0]
            below = loss_and_slope(weights - step, rows, softmax)[0]
            assert (slope * step).sum() * 2 == pytest.approx(above - below, rel=1e-4)


LOGISTIC: dict[str, Any] = {"freeze": {"epochs": "all", "head": "logistic"}, "loss": "bce"}


def test_a_solved_member_is_the_same_every_time_and_keeps_its_backbone(
    images: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = recipe(model={"feature_norm": "batch"}, **LOGISTIC)
    data = images(made)
    network, rows = fit(made, data, tmp_path / "one")
    assert capsys.readouterr().err.count("m: solved: train_loss 0.") == 1
    again, same_rows = fit(made, data, tmp_path / "two")
    assert same(network, again)
    assert rows == same_rows
    (row,) = rows
    assert set(row) == {"train_loss", "valid_loss", "valid_accuracy", "valid_macro_ap", "C"}
    assert made.train.freeze is not None
    assert row["C"] in made.train.freeze.strengths
    # It is the member's own network that gives these scores.
    seen = torch.stack([data[1].input(0, each) for each in range(5)]).float()
    with torch.inference_mode():
        logits = network.eval()((seen / 255 - 0.449) / 0.226).double().numpy()
    truth = data[1].labels.numpy()
    loss = (np.logaddexp(0, logits) - truth * logits).mean()
    assert row["valid_loss"] == pytest.approx(loss, rel=1e-2)
    assert not (tmp_path / "one/kept").exists() or not list((tmp_path / "one/kept").iterdir())


def test_processes_beside_the_main_one_solve_nothing(
    images: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(**LOGISTIC)
    monkeypatch.setenv("RANK", "1")
    _, rows = fit(made, images(made), tmp_path)
    assert not rows
    assert not (tmp_path / "features").exists()
    assert not (tmp_path / "curves").exists()


@pytest.mark.parametrize(
    ("train", "model", "said"),
    [
        ({"freeze": {"epochs": 2, "head": "logistic"}}, {}, "no steps to go on from; write"),
        ({"freeze": {"epochs": "all", "strengths": [1]}}, {}, "strengths: belongs to `head: log"),
        ({"freeze": {"epochs": "all", "head": "logistic", "strengths": [1, 0.1]}}, {}, "must rise"),
        ({"freeze": {"epochs": "all", "head": "logistic", "strengths": [0]}}, {}, "greater than 0"),
        ({"freeze": {"epochs": "all", "head": "logistic", "strengths": []}}, {}, "at least 1"),
        (LOGISTIC | {"loss": "focal"}, {}, "minimises bce or cross_entropy, not focal"),
        (LOGISTIC | {"loss_options": {"label_smoothing": 0.1}}, {}, "which loss_options is for"),
        (LOGISTIC | {"averaging": {"method": "ema"}}, {}, "which averaging is for; drop it"),
        (LOGISTIC | {"sampler": "balanced"}, {}, "which sampler is for; drop it"),
        (LOGISTIC | {"keep": "best"}, {}, "which keep is for; drop it"),
        (LOGISTIC | {"early_stopping": {}}, {}, "which early_stopping is for; drop it"),
        (LOGISTIC | {"overfit_batches": 1}, {}, "which overfit_batches is for; drop it"),
        (LOGISTIC | {"mixup": 0.2}, {}, "neither augmented nor mixed"),
        (LOGISTIC, {"dropout": 0.1}, "no steps, in which dropout drops"),
        (LOGISTIC, {"views": "five_crop", "shortest_edge": 20}, "one view of an image"),
        (LOGISTIC, {"head": "query"}, "head: query takes maps"),
    ],
)
def test_what_cannot_be_solved_is_refused_in_one_line(
    train: dict[str, Any], model: dict[str, Any], said: str
) -> None:
    base = recipe()
    made = base.model.model_validate(base.model.model_dump() | model | {"train": train})
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        make_recipe("m", made, base.train, 0.1, 2, 0)
    (line,) = refused.value.args
    assert "\n" not in line
    assert line.startswith("params.yaml: models.m")


def test_all_losses_that_it_has_are_taken() -> None:
    for loss in ("bce", "multilabel_soft_margin", "cross_entropy"):
        made: Recipe = recipe(**(LOGISTIC | {"loss": loss}))
        assert made.softmax == (loss == "cross_entropy")
