"""Bounds from which on labels are possible, certain or within cost, that a promise holds for."""

from typing import Any

import numpy as np

from foldwise.core.errors import UserError
from foldwise.decision.bounds import Bounds, WithinCost
from foldwise.decision.calibrator import fit_calibrator
from foldwise.decision.cost_control import cost_threshold, costs_over_thresholds, lowest_cost
from foldwise.decision.costs import Costs
from foldwise.decision.evidence import Choice
from foldwise.decision.risk_control import (
    fewest,
    missed_labels,
    precision_threshold,
    recall_threshold,
    wrong_labels,
)
from foldwise.decision.settings import Guarantee, calibration_of
from foldwise.scoring.cross_fitting import Apply, cross_fit, with_several
from foldwise.scoring.probability import sigmoid

KEY = "params.yaml: threshold.guarantee"


def fit_bounds(labels: np.ndarray, logits: np.ndarray, settings: Guarantee, single: bool) -> Bounds:
    """Bounds that all promises hold for.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32, calibrated; of models that have not seen the images.
        settings: what is promised.
        single: every image has one label.

    Raises:
        UserError: a line for each promise that these images cannot give.

    >>> labels, logits = np.array([[0], [1]] * 60), np.float32([[-1], [1]] * 60)
    >>> fit_bounds(labels, logits, Guarantee(recall=0.9), single=False).possible
    0.0
    >>> fit_bounds(labels[:20], logits[:20], Guarantee(recall=0.9), single=False)
    Traceback (most recent call last):
    foldwise.core.errors.UserError: params.yaml: threshold.guarantee.recall: 0.9 with confidence \
0.9 takes 22 images that have labels, all of them found, and there are 10; promise less, or label \
more images
    """
    bounds = _best_bounds(labels, logits, settings, single)
    problems = []
    if settings.recall is not None and bounds.possible is None:
        images = int((labels == 1).any(1).sum())
        least = fewest(1 - settings.recall, settings.confidence)
        problems.append(
            f"{KEY}.recall: {settings.recall:g} with confidence {settings.confidence:g} takes "
            f"{least} images that have labels, all of them found, and there are {images}; promise "
            "less, or label more images"
        )
    if settings.precision is not None and bounds.certain is None:
        images = int((labels >= 0).any(1).sum())
        problems.append(
            f"{KEY}.precision: {settings.precision:g} with confidence {settings.confidence:g} "
            f"cannot be promised even for the surest of these {images} images; promise less, or "
            "label more images"
        )
    if settings.costs is not None and bounds.cost is None:
        images = int((labels >= 0).any(1).sum())
        lowest = lowest_cost(labels, logits, settings.costs) if images else np.inf
        problems.append(
            f"{KEY}.cost: {settings.cost:g} with confidence {settings.confidence:g} cannot be "
            f"promised by these {images} images, which cost {lowest:.3g} themselves at the "
            "cheapest threshold; allow more, or label more images"
        )
    if problems:
        raise UserError(*problems)
    return bounds


def _best_bounds(
    labels: np.ndarray, logits: np.ndarray, settings: Guarantee, single: bool
) -> Bounds:
    """None in place of what cannot be promised."""
    possible = certain = None
    if settings.recall is not None:
        possible = recall_threshold(labels, logits, settings.recall, settings.confidence)
    if settings.precision is not None:
        own = _likeliest(labels, logits) if single else (labels, logits)
        certain = precision_threshold(*own, settings.precision, settings.confidence)
    return Bounds(possible, certain, single, _within_cost(labels, logits, settings))


def _within_cost(labels: np.ndarray, logits: np.ndarray, settings: Guarantee) -> WithinCost | None:
    if settings.costs is None or settings.cost is None:
        return None
    threshold = cost_threshold(labels, logits, settings.costs, settings.cost, settings.confidence)
    return None if threshold is None else WithinCost(threshold, settings.costs)


def _likeliest(labels: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The label, and the logit, of each image's likeliest class; (images, 1)."""
    best = logits.argmax(1)[:, None]
    return np.take_along_axis(labels, best, 1), np.take_along_axis(logits, best, 1)


def kept(labels: np.ndarray, possible: np.ndarray, certain: np.ndarray) -> dict[str, float]:
    """How well promises are kept on images whose labels are known.

    Args:
        labels: (images, classes): 1, 0 or -1.
        possible: (images, classes): 1 or 0.
        certain: likewise.

    Returns:
        `recall` of the possible labels, mean over images that have labels; `possible_per_image`;
        `precision` of the certain ones, mean over the images that have some; `with_certain`, how
        many have some.

    >>> labels, logits = np.array([[1, 0], [0, 1]]), np.array([[3.0, 1.0], [1.0, -3.0]])
    >>> found = kept(labels, logits >= 0, logits >= 2)
    >>> found["recall"], found["possible_per_image"], found["precision"], found["with_certain"]
    (0.5, 1.5, 1.0, 0.5)
    """
    half = np.array(0.5)
    missed = missed_labels(labels, possible)
    wrong = wrong_labels(labels, certain)
    some = (certain == 1) & (labels >= 0)
    share = float(some.any(1).sum() / max(wrong.images, 1))
    return {
        "recall": float(1 - missed.at(half)),
        "possible_per_image": float(possible.sum(1).mean()),
        "precision": float(1 - wrong.at(half) / share) if share else 0.0,
        "with_certain": share,
    }


def cost_kept(labels: np.ndarray, marked: np.ndarray, costs: Costs) -> dict[str, float]:
    """What labels cost where they are wrong, and how many there are.

    Args:
        labels: (images, classes): 1, 0 or -1.
        marked: (images, classes): 1 or 0.
        costs: of wrong labels.

    Returns:
        `cost`, mean over images of the mean over their labelled classes, and `labels_per_image`.

    >>> cost_kept(np.array([[1, 0], [0, -1]]), np.array([[0, 0], [0, 1]]), Costs(5.0, 1.0))
    {'cost': 1.25, 'labels_per_image': 0.5}
    """
    each = costs_over_thresholds(labels, marked, np.array([0.5]), costs)
    return {
        "cost": float(each.mean()) if len(each) else 0.0,
        "labels_per_image": float(marked.sum(1).mean()),
    }


def promises_kept(bounds: Bounds, labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """What `kept` finds of the labels of some bounds, and `cost_kept` where a cost is promised.

    Args:
        bounds: that were fitted on other images.
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes), calibrated.

    >>> bounds = Bounds(None, None, False, WithinCost(1.0, Costs(5.0, 1.0)))
    >>> promises_kept(bounds, np.array([[1, 0]]), np.array([[0.0, 3.0]]))["cost"]
    3.0
    """
    said = kept(labels, bounds.possible_labels(logits), bounds.certain_labels(logits))
    if bounds.cost is not None:
        said |= cost_kept(labels, bounds.labels_within_cost(logits), bounds.cost.costs)
    return said


def cross_fitted_bounds(
    labels: np.ndarray,
    logits: np.ndarray,
    folds: np.ndarray,
    choice: Choice,
    single: bool,
) -> dict[str, float]:
    """What `kept` finds of each fold's images by bounds of the other folds, and `decided`.

    Args:
        labels: (images, classes): 1, 0 or -1.
        logits: (images, classes) float32, not calibrated.
        folds: (images,).
        choice: the decision's settings, which promise something.
        single: every image has one label.

    >>> labels, logits = np.array([[0], [1]] * 60), np.float32([[-1], [1]] * 60)
    >>> from foldwise.decision.settings import Threshold
    >>> ours = Threshold(objective="accuracy", guarantee=Guarantee(recall=0.9))
    >>> folds = np.arange(120) // 60
    >>> found = cross_fitted_bounds(labels, logits, folds, Choice(ours), single=False)
    >>> found["recall"], found["possible_per_image"]
    (1.0, 0.5)
    """
    settings = choice.settings.guarantee
    assert settings is not None

    def fit(truth: np.ndarray, own: np.ndarray, groups: np.ndarray) -> Apply:
        line = fit_calibrator(truth, own, calibration_of(choice.of(groups)), single)
        bounds = _best_bounds(truth, line(own), settings, single)

        def applied(held: np.ndarray) -> np.ndarray:
            made = line(held)
            done = np.repeat(bounds.decided(made)[:, None], made.shape[1], 1)
            ways = (bounds.possible_labels, bounds.certain_labels, bounds.labels_within_cost)
            return np.stack([*(way(made) for way in ways), done], -1)

        return applied

    found = cross_fit(labels, logits, with_several(folds), fit)
    decided = float(found[:, 0, 3].mean())
    said = kept(labels, found[..., 0], found[..., 1]) | {"decided": decided}
    if settings.costs is not None:
        said |= cost_kept(labels, found[..., 2], settings.costs)
    return said


def summary(bounds: Bounds, settings: Guarantee, found: dict[str, float]) -> dict[str, Any]:
    """For metrics/threshold.json: what is promised, from which probability on, and what was kept.

    Args:
        bounds: of all folds.
        settings: what is promised.
        found: by `cross_fitted_bounds`.

    >>> found = {"recall": 0.96, "possible_per_image": 3.0, "precision": 1.0, "with_certain": 0.0}
    >>> said = summary(Bounds(0.0, None, False), Guarantee(recall=0.9), found | {"decided": 0.0})
    >>> said["recall"]["cross_fitted"], said["recall"]["probability"]
    (0.96, 0.5)
    """
    content: dict[str, Any] = {"confidence": settings.confidence}
    also = {"recall": "possible_per_image", "precision": "with_certain", "cost": "labels_per_image"}
    within = None if bounds.cost is None else bounds.cost.threshold
    thresholds = {"recall": bounds.possible, "precision": bounds.certain, "cost": within}
    for name, bound in thresholds.items():
        if bound is not None:
            content[name] = {
                "promised": getattr(settings, name),
                "probability": float(sigmoid(np.array(bound))),
                "cross_fitted": found[name],
                also[name]: found[also[name]],
            }
    if bounds.abstains:
        content["decided"] = found["decided"]
    return content
