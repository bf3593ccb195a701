"""A recipe that suits a data set and a machine: quick, good or best.

Every number that no data set decides comes from a recipe of this repository, or from the
documentation of the network that it is of.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

Tier = Literal["quick", "good", "best"]
TIERS: tuple[str, ...] = get_args(Tier)
SEED = 42
LITE = {"lite0": 288, "lite1": 240, "lite2": 260}
"""Their input in recipes/voc2007-lite-frozen.yaml, in pixels."""
SMALL = 96
"""Images of this side or less gain nothing from an input of full size."""
STEPS = {"good": 3000, "best": 6000}
"""Steps of training that a fine-tuning is given, if that is 5 to 30 epochs."""


@dataclass(frozen=True)
class Fitted:
    """What a recipe is fitted to."""

    images: int
    """Of the train part."""
    rarest: int
    """Images of the rarest class."""
    side: int
    """Median of the shorter sides, in pixels."""
    single: bool
    """Every image has one class."""
    source: str
    gpu: bool
    split: dict[str, Any]
    """Keys that the source settles."""
    folds: int | None = None
    """Of the source's own."""
    groups: int | None = None
    mirror: bool = True
    """A mirrored image shows the same."""
    classes: int = 1

    @property
    def stratifies(self) -> bool:
        """Whether folds can hold every class alike: of one label, scikit-learn asks for two images
        of each class, and for a test part of no fewer images than classes.

        >>> Fitted(9, 1, 99, single=True, source="folder", gpu=False, split={}).stratifies
        False
        """
        return not self.single or (self.rarest >= 2 and self.images >= 5 * self.classes)


def recipe_for(tier: str, fitted: Fitted) -> dict[str, Any]:
    """All sections of params.yaml but `data`, `evaluate` and `compute`.

    >>> fitted = Fitted(600, 20, 333, single=False, source="voc", gpu=False, split={})
    >>> recipe_for("quick", fitted)["members"], recipe_for("best", fitted)["folds"]
    (['lite0'], [0, 1, 2, 3, 4])
    """
    listed = fitted.split.get("method") == "list"
    views = _views(fitted)
    models = _models(tier, fitted, views)
    quick = tier == "quick"
    threshold: dict[str, Any] = {"objective": "exact_match", "calibration": "temperature"}
    threshold |= {"scope": "global"}
    if not fitted.single:
        threshold = {"objective": "micro_f1", "calibration": "auto", "scope": "auto"}
    if fitted.source == "dacon":
        threshold = {"objective": "accuracy", "calibration": "temperature"}
        threshold |= {"decode": "count_prior", "scope": "global"}
    tta: dict[str, Any] = {"views": views, "merge": "mean_logit"}
    return {
        "lr": 1e-3 if quick else 3e-4,
        "epochs": 1 if quick else _epochs(tier, fitted.images),
        "seed": SEED,
        "folds": list(range(_folds(fitted))),
        "members": list(models),
        "split": {"method": "kfold", "shuffle": True, "duplicates": "together"}
        | ({"stratify": True} if not listed and fitted.stratifies else {})
        | fitted.split,
        "models": models,
        "train": _train(tier, fitted, views),
        "tta": tta | ({"select": "audit"} if tier == "best" and len(views) > 1 else {}),
        "ensemble": {"weights": "equal", "folds": "mean_logit", "members": "mean_logit"},
        "threshold": threshold,
    }


def _views(fitted: Fitted) -> list[str]:
    if fitted.source == "dacon":
        # Mirrored letters are other letters; the competition's are turned at random.
        return ["identity", "rot90", "rot180", "rot270"]
    return ["identity", "hflip"] if fitted.mirror else ["identity"]


def _folds(fitted: Fitted) -> int:
    """Five; fewer where the rarest class, or the groups, would not go round."""
    if fitted.folds is not None:
        return fitted.folds
    return int(np.clip(min(fitted.rarest, fitted.groups or 5), 2, 5)) if fitted.rarest > 2 else 3


def _epochs(tier: str, images: int) -> int:
    return int(np.clip(round(STEPS[tier] * 32 / max(1, images)), 5, 30))


def _lite(name: str, fitted: Fitted) -> dict[str, Any]:
    size = 128 if fitted.side <= SMALL else LITE[name]
    return {
        "backbone": f"efficientnet_lite/{name}",
        "pretrained": True,
        "head": "replace",
        "pooling": "both",
        "feature_norm": "batch",
        "image_size": size,
        "channels": 3,
        "normalize": "efficientnet_lite",
    }


def _models(tier: str, fitted: Fitted, views: list[str]) -> dict[str, Any]:
    if tier == "quick":
        return {"lite0": _lite("lite0", fitted)}
    large = {
        "backbone": "torchvision/efficientnet_v2_s",
        "pretrained": True,
        "head": "replace",
        "image_size": 128 if fitted.side <= SMALL else 384,
        "channels": 3,
        "normalize": "imagenet",
    }
    tuned = {"v2s": large} if fitted.gpu else {"tuned": _tuned("lite0", fitted)}
    if tier == "good":
        return tuned
    if fitted.gpu:
        convnext = large | {"backbone": "torchvision/convnext_small"}
        convnext["image_size"] = 128 if fitted.side <= SMALL else 288
        tuned |= {"convnext": convnext}
    else:
        tuned |= {"tuned2": _tuned("lite2", fitted)}
    frozen = _lite("lite1", fitted) | {
        "train": {"augment": [], "averaging": None, "freeze": _frozen(views)}
    }
    return tuned | {"frozen": frozen}


def _tuned(name: str, fitted: Fitted) -> dict[str, Any]:
    """A backbone to fine-tune: at what its own training saw, as a CPU has to do it."""
    model = _lite(name, fitted)
    return model | {"image_size": min(model["image_size"], 224)}


def _frozen(views: list[str]) -> dict[str, Any]:
    return {"epochs": "all", "views": views, "head": "logistic"}


def _train(tier: str, fitted: Fitted, views: list[str]) -> dict[str, Any]:
    common = {
        "batch_size": 32,
        "loss": "cross_entropy" if fitted.single else "bce",
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "scheduler": "onecycle",
        "warm_start": None,
        "keep": "last",
    }
    if tier == "quick":
        return common | {"freeze": _frozen(views), "augment": []}
    augment: list[Any] = [{"RandomBrightnessContrast": {"p": 0.5}}]
    if fitted.source == "dacon":
        augment = [{"RandomRotate90": {"p": 1.0}}, *augment]
    elif fitted.mirror:
        augment = [{"HorizontalFlip": {"p": 0.5}}, *augment]
    augment.append({"Affine": {"scale": [0.85, 1.15], "rotate": [-10, 10], "p": 0.5}})
    return common | {
        "gradient_clip": 1.0,
        "averaging": {"method": "ema", "decay": 0.99},
        "augment": augment,
    }
