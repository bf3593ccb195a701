"""One step on trial: what a network refuses to learn from is told before long work."""

import copy

import torch
from lightning.pytorch.utilities.seed import isolate_rng

from foldwise.core.errors import UserError
from foldwise.model.classifier import REFUSALS, Classifier
from foldwise.model.loader import Batches
from foldwise.training.settings import Recipe

ENOUGH = 2
"""Images that show whatever more would: only a single one has no spread to normalise by."""


def try_step(recipe: Recipe, network: Classifier, images: int, classes: int) -> None:
    """A forward and a backward pass of a copy, which leave the network and random state as is.

    Args:
        recipe: how the network is trained.
        network: on the CPU.
        images: how many it is trained on.
        classes: outputs that it must have.

    Raises:
        UserError: the network refuses the input's size, or batches as small as will come.
    """
    count = min(ENOUGH, Batches(images, recipe.train.batch_size, seed=0).smallest)
    model = recipe.model
    crops = (5,) if model.views == "five_crop" else ()
    growing = [round(model.image_size * share) for share in recipe.train.curriculum]
    for side in sorted({model.image_size, *recipe.sizes, *growing}, reverse=True):
        shape = (model.channels, side, side)
        refused = None
        with isolate_rng():
            try:
                found = _step(recipe, copy.deepcopy(network), torch.randn(count, *crops, *shape))
                if found != (count, classes):
                    refused = f"gives logits {found}, where ({count}, {classes}) are needed"
            except (*REFUSALS, AttributeError) as error:
                refused = " ".join(str(error).split()) or type(error).__name__
        if refused is not None:
            key = "train.curriculum" if growing else "train.resize"
            if side == model.image_size:
                key = "image_size"
            raise UserError(
                f"params.yaml: models.{recipe.member}: {model.backbone} cannot learn from batches "
                f"of {count} images of {' x '.join(map(str, shape))}: {refused}; change {key}, "
                "batch_size or options"
            )


def _step(recipe: Recipe, network: Classifier, inputs: torch.Tensor) -> tuple[int, ...]:
    """The shape of the logits of normalised images."""
    if recipe.frozen_epochs == recipe.epochs:
        with torch.inference_mode():
            features = network.eval().features(inputs)
        logits = network.train().head(features.clone())
    else:
        logits = network.train()(inputs)
    torch.autograd.backward(logits.float().sum())
    return tuple(logits.shape)
