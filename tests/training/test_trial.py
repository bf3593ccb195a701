"""What a network cannot learn from is one line before training."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from foldwise.core.errors import UserError
from foldwise.model.classifier import build_network
from foldwise.training.settings import Recipe, Train
from foldwise.training.trial import try_step
from tests.fitting import recipe as fitted
from tests.small import model


def tried(settings: dict[str, Any], images: int = 10, **train: Any) -> None:
    recipe = Recipe(
        member="m",
        model=model(**settings),
        lr=0.1,
        epochs=2,
        seed=3,
        train=Train(**{"batch_size": 4} | train),
    )
    network = build_network(recipe.model, 3, pretrained=False)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    torchs, pythons = torch.get_rng_state(), random.getstate()
    numpys = str(np.random.get_state(legacy=False))
    training = network.training
    try:
        try_step(recipe, network, images, 3)
    finally:
        assert torch.equal(torch.get_rng_state(), torchs)
        assert str(np.random.get_state(legacy=False)) == numpys
        assert random.getstate() == pythons
        assert network.training == training
        assert all(each.grad is None for each in network.parameters())
        assert all(torch.equal(each, before[n]) for n, each in network.state_dict().items())


PLAIN: dict[str, Any] = {"options": {"widths": [4, 8], "pools": [0]}, "image_size": 16}
TINY_RESNET: dict[str, Any] = {
    "backbone": "foldwise/bottleneck_resnet",
    "options": {"widths": [4, 4, 4], "depths": [1, 1, 1]},
    "image_size": 16,
}


@pytest.mark.parametrize(
    ("settings", "images", "train"),
    [
        (PLAIN, 10, {}),
        (PLAIN | {"channels": 1, "feature_norm": "batch", "dropout": 0.5}, 1, {}),
        (PLAIN | {"views": "five_crop", "shortest_edge": 20}, 10, {}),
        (PLAIN, 10, {"freeze": {"epochs": "all"}}),
        (PLAIN, 10, {"freeze": {"epochs": 1}}),
        (TINY_RESNET, 10, {}),
        # One image is left for the last batch; it joins the one before.
        (TINY_RESNET, 9, {}),
        # A frozen backbone normalises by what it has learned.
        (TINY_RESNET, 1, {"freeze": {"epochs": "all"}}),
        (TINY_RESNET | {"views": "five_crop", "shortest_edge": 20}, 1, {}),
    ],
)
def test_what_can_learn_is_left_as_it_was(
    settings: dict[str, Any], images: int, train: dict[str, Any]
) -> None:
    tried(settings, images, **train)


@pytest.mark.parametrize(
    ("settings", "images", "train", "said"),
    [
        (TINY_RESNET, 1, {}, "batches of 1 images of 3 x 16 x 16: Expected more than 1 value"),
        (TINY_RESNET, 10, {"batch_size": 1}, "batches of 1 images"),
        (
            {"backbone": "timm/vit_tiny_patch16_224", "image_size": 32},
            10,
            {},
            r"models.m: timm/vit_tiny_patch16_224 cannot learn from batches of 2 images of "
            r"3 x 32 x 32: .*224.*; change image_size",
        ),
        (
            {"backbone": "timm/vit_tiny_patch16_224", "image_size": 32},
            10,
            {"freeze": {"epochs": "all"}},
            "3 x 32 x 32",
        ),
        (
            {"backbone": "timm/vit_tiny_patch16_224", "image_size": 224},
            10,
            {"resize": {192: 2}},
            "3 x 192 x 192: .*224.*; change train.resize",
        ),
        (
            {"backbone": "torchvision/alexnet", "image_size": 32},
            10,
            {},
            r"alexnet cannot learn .* 3 x 32 x 32: .*too small",
        ),
    ],
)
def test_what_a_library_refuses_is_one_line(
    settings: dict[str, Any], images: int, train: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said) as error:
        tried(settings, images, **train)
    assert "\n" not in str(error.value)


def test_every_size_of_a_curriculum_is_tried() -> None:
    """Three halvings leave nothing of 16 pixels' quarter but one; a fourth would take that too."""
    made = fitted(
        epochs=3,
        model={"options": {"widths": [4] * 4, "pools": [0, 1, 2, 3]}},
        extra={"twin": {"per_epoch": 4}},
        curriculum={0.5: 1},
    )
    network = build_network(made.model, 3, pretrained=False)
    with pytest.raises(UserError, match=r"1 x 8 x 8.*change train\.curriculum"):
        try_step(made, network, 10, 3)
