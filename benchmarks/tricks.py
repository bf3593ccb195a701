"""What `benchmarks.backbones` tries: data sets, base recipes, and tricks switched on alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]

Overrides = dict[str, Any]
"""Values by dotted keys: `lr`, `epochs`, `seed`, and what stands below `model` and `train`."""


@dataclass(frozen=True)
class Study:
    """One base recipe and what is changed of it."""

    title: str
    data: str
    """Whose images: a key of `DATA`."""
    base: Overrides
    tricks: dict[str, Overrides]
    objective: str
    """What the common threshold is best for; of several labels alone."""
    figures: tuple[str, str]


DEFAULT = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
TWO_FOLDS = {"split": {"method": "kfold", "stratify": True, "test": 0.0}, "folds": [0, 1]}


def one_fold(share: float) -> dict[str, Any]:
    """A share is held out once, which trains on more for the same time."""
    return {
        "split": {"method": "holdout", "fraction": share, "stratify": True, "test": 0.0},
        "folds": [0],
    }


DATA: dict[str, dict[str, Any]] = {
    "glyphs": {
        "data": {
            "source": "glyphs",
            "glyphs": DEFAULT["data"]["glyphs"] | {"images": {"train": 2400, "test": 0}},
        }
    }
    | one_fold(1 / 3),
    "caltech": {"data": {"source": "annotations"}} | one_fold(1 / 2),
    "voc": {"data": {"source": "voc", "voc": {"year": 2007}}} | TWO_FOLDS,
}
"""Sections of params.yaml; `data.path` is missing."""

NOISE: dict[str, Overrides] = {"another seed": {"seed": 43}}
AVERAGES: dict[str, Overrides] = {
    "`averaging: {method: ema, decay: 0.95}`": {
        "train.averaging": {"method": "ema", "decay": 0.95}
    },
    "`averaging: {method: swa}`": {"train.averaging": {"method": "swa"}},
    "`averaging: {method: soup, of: best, epochs: 3}`": {
        "train.averaging": {"method": "soup", "of": "best", "epochs": 3}
    },
}
ANY_NETWORK: dict[str, Overrides] = {
    "`train.layer_decay: 0.8`": {"train.layer_decay": 0.8},
    "`dropout: 0.2`": {"model.dropout": 0.2},
    **AVERAGES,
    "`pooling: gem`": {"model.pooling": "gem"},
    "`pooling: both`": {"model.pooling": "both"},
    "`mixup: 0.2`": {"train.mixup": 0.2},
    "`cutmix: 1.0`": {"train.cutmix": 1.0},
    "`label_smoothing: 0.1`": {"train.loss_options": {"label_smoothing": 0.1}},
    "`train.sampler: balanced`": {"train.sampler": "balanced"},
}
SEVERAL_LABELS: dict[str, Overrides] = {
    "`loss: asymmetric`": {"train.loss": "asymmetric"},
    "`head: query`": {"model.head": "query", "model.query": {"embedding": 256}},
}
PRETRAINED: dict[str, Overrides] = {
    "`batch_norm: frozen`": {"train.batch_norm": "frozen"},
    "frozen to the end (`freeze: {epochs: all}`)": {"train.freeze": {"epochs": "all"}},
    "`train.layer_decay: 0.8`": {"train.layer_decay": 0.8},
    "`drop_path: 0.1`": {"model.drop_path": 0.1},
    "flips (`HorizontalFlip`)": {"train.augment": [{"HorizontalFlip": {"p": 0.5}}]},
}
FROZEN: dict[str, Overrides] = {
    "`freeze.head: logistic`": {"train.freeze": {"epochs": "all", "head": "logistic"}},
    "`feature_norm: null`": {"model.feature_norm": None},
    "`feature_norm: unit`": {"model.feature_norm": "unit"},
    "`freeze.views: [identity, hflip]`": {
        "train.freeze": {"epochs": "all", "views": ["identity", "hflip"]}
    },
    "`pooling: gem`": {"model.pooling": "gem"},
    "`pooling: both`": {"model.pooling": "both"},
    "`pooling: both` and `freeze.head: logistic`": {
        "model.pooling": "both",
        "train.freeze": {"epochs": "all", "head": "logistic"},
    },
    "`dropout: 0.2`": {"model.dropout": 0.2},
    "`train.sampler: balanced`": {"train.sampler": "balanced"},
    **AVERAGES,
    "`label_smoothing: 0.1`": {"train.loss_options": {"label_smoothing": 0.1}},
}


def rates(lr: float) -> dict[str, Overrides]:
    """A third of the rate, and three times it."""
    return {"`lr` x 3": {"lr": 3 * lr}, "`lr` / 3": {"lr": lr / 3}}


def growing(sizes: dict[int, int]) -> dict[str, Overrides]:
    """Smaller images at first."""
    named = ", ".join(f"{side}: {epochs}" for side, epochs in sizes.items())
    return {f"`resize: {{{named}}}`": {"train.resize": sizes}}


def lite0(side: int, lr: float, epochs: int, loss: str) -> Overrides:
    """EfficientNet-Lite0 with ImageNet's weights."""
    return {
        "lr": lr,
        "epochs": epochs,
        "seed": 42,
        "model.backbone": "efficientnet_lite/lite0",
        "model.pretrained": True,
        "model.normalize": "efficientnet_lite",
        "model.image_size": side,
        "train.batch_size": 32,
        "train.loss": loss,
    }


def tuned(side: int, lr: float, epochs: int, loss: str) -> Overrides:
    """Its new layer is trained alone at first, then all of it for three epochs.

    So few images make few steps: a new layer that starts with the backbone is not done in these.
    """
    base = lite0(side, lr, epochs, loss)
    return base | {"train.batch_size": 16, "train.freeze": {"epochs": epochs - 3}}


def frozen(side: int, lr: float, epochs: int, loss: str) -> Overrides:
    """Its new layer alone is trained, on standardised features."""
    base = lite0(side, lr, epochs, loss)
    return base | {"model.feature_norm": "batch", "train.freeze": {"epochs": "all"}}


DEFAULT_EPOCHS = 5
STUDIES: dict[str, Study] = {
    "glyphs": Study(
        "The default data: `foldwise/plain_cnn` from scratch",
        "glyphs",
        {"lr": DEFAULT["lr"], "epochs": DEFAULT_EPOCHS, "seed": DEFAULT["seed"]}
        | {f"model.{name}": value for name, value in DEFAULT["models"]["cnn"].items()}
        | {f"train.{name}": value for name, value in DEFAULT["train"].items()},
        NOISE
        | SEVERAL_LABELS
        | growing({32: 2, 48: 2, 64: 1})
        | ANY_NETWORK
        | rates(DEFAULT["lr"]),
        "accuracy",
        ("accuracy", "macro_ap"),
    ),
    "caltech": Study(
        "Caltech-101, 80 categories: EfficientNet-Lite0, fine-tuned at 64 pixels",
        "caltech",
        tuned(64, 1e-3, 10, "cross_entropy"),
        NOISE | PRETRAINED | ANY_NETWORK | growing({32: 8, 48: 1, 64: 1}) | rates(1e-3),
        "accuracy",
        ("top1", "macro_ap"),
    ),
    "voc": Study(
        "PASCAL VOC 2007: EfficientNet-Lite0, fine-tuned at 80 pixels",
        "voc",
        tuned(80, 1e-3, 23, "bce"),
        NOISE
        | PRETRAINED
        | ANY_NETWORK
        | {"`loss: asymmetric`": SEVERAL_LABELS["`loss: asymmetric`"]}
        | growing({48: 21, 64: 1, 80: 1})
        | rates(1e-3),
        "micro_f1",
        ("macro_ap", "micro_f1"),
    ),
    "caltech-frozen": Study(
        "Caltech-101, 80 categories: EfficientNet-Lite0, frozen, at 96 pixels",
        "caltech",
        frozen(96, 1e-2, 20, "cross_entropy"),
        NOISE | rates(1e-2) | FROZEN,
        "accuracy",
        ("top1", "macro_ap"),
    ),
    "voc-frozen": Study(
        "PASCAL VOC 2007: EfficientNet-Lite0, frozen, at 128 pixels",
        "voc",
        frozen(128, 3e-3, 20, "bce"),
        NOISE | rates(3e-3) | FROZEN | {"`loss: asymmetric`": SEVERAL_LABELS["`loss: asymmetric`"]},
        "micro_f1",
        ("macro_ap", "micro_f1"),
    ),
}
