"""The recipes: what their authors published, key by key, and whether they run."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from dvc.utils.hydra import apply_overrides

from benchmarks.backbones import recipe_of, runs_of
from benchmarks.tricks import STUDIES
from foldwise.checks import check_params
from foldwise.model.classifier import build_network
from foldwise.model.dataset import ImageDataset
from foldwise.params import Params, read_params
from foldwise.training.augment import make_augment
from foldwise.training.lightning_module import MemberModule
from foldwise.training.optimizer import make_optimizer, make_schedules
from tests.conftest import ROOT
from tests.pictures import stored

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))

# Rows: what the systems' authors did. `models` and what `augment` says are compared whole.
COMMON = {"train.keep": "last", "train.warm_start": None, "train.weight_decay": 0.0}
PUBLISHED: dict[str, dict[str, Any]] = {
    "dacon-resnet50": COMMON
    | {
        "lr": 1e-5,
        "epochs": 150,
        "folds": (0,),
        "split.method": "holdout",
        "data.source": "dacon",
        "model.backbone": "torchvision/resnet50",
        "model.pretrained": True,
        "model.head": "append",
        "model.image_size": 256,
        "model.shortest_edge": None,
        "model.views": "single",
        "model.channels": 3,
        "model.normalize": "imagenet",
        "train.loss": "multilabel_soft_margin",
        "train.optimizer": "adam",
        "train.scheduler": "constant",
        "train.augment": [
            {"HorizontalFlip": {"p": 0.5}},
            {"VerticalFlip": {"p": 0.5}},
            {"RandomBrightnessContrast": {"p": 1.0}},
            {"Rotate": {"p": 1.0, "border_mode": 4}},
        ],
        "tta.views": ("identity",),
        "threshold.fixed": 0.5,
    },
    "dacon-efficientnet-b5": COMMON
    | {
        "lr": 1e-3,
        "epochs": 15,
        "folds": (0, 1, 2, 3, 4),
        "split.method": "kfold",
        "split.shuffle": False,
        "data.source": "dacon",
        "model.backbone": "efficientnet_pytorch/efficientnet-b5",
        "model.pretrained": True,
        "model.head": "append",
        "model.image_size": 256,
        "model.normalize": "imagenet",
        "train.batch_size": 16,
        "train.loss": "multilabel_soft_margin",
        "train.optimizer": "adam",
        "train.scheduler": "constant",
        "train.keep": "best",
        "train.monitor": "valid_loss",
        "train.early_stopping.monitor": "valid_loss",
        "train.augment": [{"RandomRotate90": {"p": 0.5}}],
        "tta.views": ("identity", "rot90", "rot180", "rot270"),
        "tta.merge": "mean_probability",
        "ensemble.folds": "mean_probability",
        "threshold.fixed": 0.6,
    },
    "annotations-bottleneck-resnet": COMMON
    | {
        "lr": 1e-2,
        "epochs": 30,
        "folds": (0,),
        "split.method": "holdout",
        "data.source": "annotations",
        "model.backbone": "foldwise/bottleneck_resnet",
        "model.options": {"widths": [64, 128, 256, 512], "depths": [2, 3, 5, 3]},
        "model.pretrained": False,
        "model.head": "replace",
        "model.image_size": 224,
        "model.shortest_edge": None,
        "model.normalize": "half",
        "train.batch_size": 32,
        "train.loss": "cross_entropy",
        "train.optimizer": "momentum",
        "train.momentum": 0.9,
        "train.scheduler": "constant",
        "train.overfit_batches": None,
        "train.augment": [],
        "tta.views": ("identity",),
        "evaluate.submission": "data/result.csv",
    },
    "voc2007-resnet50-fivecrop": COMMON
    | {
        "lr": 1e-4,
        "epochs": 10,
        "folds": (0,),
        "split.method": "list",
        "data.source": "voc",
        "data.voc.train_list": "train",
        "data.voc.valid_list": "val",
        "model.backbone": "torchvision/resnet50",
        "model.pretrained": True,
        "model.head": "replace",
        "model.image_size": 224,
        "model.shortest_edge": 400,
        "model.views": "five_crop",
        "model.normalize": "imagenet",
        "train.batch_size": 8,
        "train.loss": "bce",
        "train.loss_options.pos_weight": None,
        "train.optimizer": "adam",
        "train.scheduler": "constant",
        "train.augment": [
            {"HorizontalFlip": {"p": 0.5}},
            {"Rotate": {"limit": 25, "p": 1.0}},
        ],
        "tta.views": ("identity",),
    },
}
# What won, and gained where it was measured alone, as the recipes' comments cite it.
EVIDENCE: dict[str, dict[str, Any]] = {
    "dacon-best": {
        "lr": 1e-3,
        "epochs": 30,
        "folds": (0, 1, 2, 3, 4),
        "model.backbone": "timm/tf_efficientnetv2_m.in21k",
        "model.pretrained": True,
        "model.dropout": 0.5,
        "model.image_size": 384,
        "tta.views": ("identity", "rot90", "rot180", "rot270"),
    },
    "voc2007-best": {
        "model.image_size": 448,
        "model.head": "query",
        "train.loss": "asymmetric",
        "threshold.scope": "auto",
        "threshold.calibration": "auto",
    },
    "voc2007-dinov2-frozen": {
        "model.backbone": "timm/vit_small_patch14_dinov2.lvd142m",
        "model.pretrained": True,
        "model.image_size": 224,
        "model.pooling": None,
        "train.freeze.epochs": "all",
        "train.freeze.head": "logistic",
    },
}
# How the first and the third went on, written as commands in the recipes' comments.
CONTINUED: dict[str, dict[str, Any]] = {
    "dacon-resnet50": {"lr": 1e-6, "epochs": 60, "train.warm_start": "HEAD"},
    "annotations-bottleneck-resnet": {
        "lr": 1e-2,
        "epochs": 50,
        "train.warm_start": "HEAD",
        "train.augment_from": "original",
        "train.augment": [
            {"RandomResizedCrop": {"size": [224, 224]}},
            {"HorizontalFlip": {"p": 0.5}},
            {"VerticalFlip": {"p": 0.5}},
            {"Rotate": {"limit": 90, "p": 1.0}},
        ],
    },
}


def read(path: Path) -> Params:
    check_params(augment=True, path=path)
    return read_params(path)


def value(params: Params, key: str) -> Any:
    """The setting of a dotted key; `model` is the only member's."""
    current: Any = params.models[params.members[0]] if key.startswith("model.") else params
    for name in key.removeprefix("model.").split("."):
        current = getattr(current, name)
    return list(current) if key == "train.augment" else current


def commands(path: Path) -> list[list[str]]:
    """The overrides of every `dvc exp run` in a recipe's comments."""
    lines = re.findall(r"^#\s+dvc exp run (.*)$", path.read_text(), re.MULTILINE)
    return [
        [word for word in shlex.split(line) if "=" in word and not word.startswith("-")]
        for line in lines
    ]


def test_all_that_were_published_are_here() -> None:
    assert {path.stem for path in RECIPES} >= {*PUBLISHED, *EVIDENCE}


@pytest.mark.parametrize("name", EVIDENCE)
def test_what_we_would_enter_is_what_the_evidence_says(name: str) -> None:
    params = read(ROOT / f"recipes/{name}.yaml")
    assert {key: value(params, key) for key in EVIDENCE[name]} == EVIDENCE[name]


def test_dirty_mnist_is_turned_and_never_flipped() -> None:
    augment = read(ROOT / "recipes/dacon-best.yaml").train.augment
    assert not [each for each in augment if "Flip" in str(each)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_is_what_was_published(name: str) -> None:
    params = read(ROOT / f"recipes/{name}.yaml")
    assert {key: value(params, key) for key in PUBLISHED[name]} == PUBLISHED[name]


@pytest.mark.parametrize("name", CONTINUED)
def test_a_recipe_says_how_to_go_on(name: str, tmp_path: Path) -> None:
    path = ROOT / f"recipes/{name}.yaml"
    (tmp_path / "params.yaml").write_text(path.read_text())
    apply_overrides(tmp_path / "params.yaml", commands(path)[-1])
    params = read(tmp_path / "params.yaml")
    assert {key: value(params, key) for key in CONTINUED[name]} == CONTINUED[name]


def test_the_course_project_first_overfits_five_batches(tmp_path: Path) -> None:
    path = ROOT / "recipes/annotations-bottleneck-resnet.yaml"
    (tmp_path / "params.yaml").write_text(path.read_text())
    apply_overrides(tmp_path / "params.yaml", commands(path)[0])
    assert read(tmp_path / "params.yaml").train.overfit_batches == 5


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_names_its_source_and_all_its_keys(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert set(yaml.safe_load(text)) == set(Params.model_fields)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_takes_its_first_step(path: Path, tmp_path: Path) -> None:
    """Real images through its augmentation, its network from scratch, its loss and optimizer."""
    params = read(path)
    recipe = params.recipe(params.members[0])
    store = stored(tmp_path, [(40, 60), (50, 45)])
    labels = torch.eye(26)[:2].numpy().astype(np.int8)
    augment = make_augment(recipe.train.augment)
    images = ImageDataset(
        store, store.ids, labels, recipe.model, augment, recipe.train.augment_from
    )
    torch.manual_seed(0)
    network = build_network(recipe.model, 26, pretrained=False)
    member = MemberModule(network, recipe, images.labels, 0)
    optimizer = make_optimizer(network, recipe)
    schedules = make_schedules(optimizer, recipe, 100)
    assert bool(schedules)
    batch = torch.stack([images[each][0] for each in range(2)])
    if "img_size" not in recipe.model.options:
        # Every fourth pixel: the whole of 448 x 448 would take half a minute.
        batch = batch[..., ::4, ::4]
    before = [each.detach().clone() for each in network.head_parameters()]
    logits = member(batch)
    loss = member.loss(logits, images.labels)
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    assert logits.shape == (2, 26)
    moved = [not torch.equal(*each) for each in zip(before, network.head_parameters(), strict=True)]
    assert any(moved)


@pytest.mark.parametrize("name", STUDIES)
def test_every_trick_that_is_measured_may_be_written_and_changes_its_base(name: str) -> None:
    base, *tricks = [recipe_of(changed) for changed in runs_of(STUDIES[name]).values()]
    assert tricks
    assert base not in tricks
    assert len({each.model_dump_json() for each in tricks}) == len(tricks)
