"""What is refused before long work begins, because a later stage would refuse it.

Nothing here decides a result: it refuses, or does nothing. What a stage computes comes from the
sections of params.yaml that it reads itself, so that a new key of one section reruns no stage that
reads another; dvc.yaml therefore names this module for no stage.
"""

from pathlib import Path

import numpy as np

from foldwise.core.settings import PARAMS
from foldwise.decision.settings import check_decision
from foldwise.ensembling.settings import check_weights
from foldwise.params import read_params
from foldwise.training.settings import Recipe


def check_params(augment: bool = False, path: Path = PARAMS) -> None:
    """Refuse a params.yaml that some stage would refuse later, after long work.

    Args:
        augment: try every member's augmentation as well, which takes seconds.
        path: of the file.

    Raises:
        UserError: names every wrong key, its value and what is allowed.
    """
    params = read_params(path)
    if augment:
        for member in params.members:
            _try_augment(params.recipe(member))


def check_data(single: bool, classes: int) -> None:
    """Refuse what does not suit the data set, before anything is trained on it.

    Args:
        single: every image has one label.
        classes: how many there are.

    Raises:
        UserError: the decoder gives several labels where images have one, or too many; members are
            to be stacked where classes exclude each other.
    """
    params = read_params()
    check_decision(params.threshold, single, classes)
    check_weights(params.ensemble, single)


def check_networks(classes: int, built: str, images: int | None = None) -> None:
    """Refuse other members whose networks cannot be built, before one member is trained for long.

    Args:
        classes: how many outputs they have.
        built: the member that is built anyway.
        images: that they are trained on, to try a step of each, which takes seconds; None: don't.

    Raises:
        UserError: a library has no such network, refuses its options, or the network cannot learn
            from its input.
    """
    # Only here: torch takes seconds to import.
    from foldwise.model.classifier import build_network
    from foldwise.training.trial import try_step

    params = read_params()
    for member in params.members:
        if member != built:
            network = build_network(params.models[member], classes, pretrained=False)
            if images is not None:
                try_step(params.recipe(member), network, images, classes)


def _try_augment(recipe: Recipe) -> None:
    """Augment a blank image, wider than high, on its way to the network."""
    from foldwise.model.geometry import cut, resize
    from foldwise.training.augment import make_augment

    model = recipe.model
    blank = np.zeros((model.image_size, model.image_size * 4 // 3, model.channels), np.uint8)
    augment = make_augment(recipe.train.augment)
    if augment is None:
        return
    if recipe.train.augment_from == "original":
        cut(resize(augment(blank, 0), model), model)
    else:
        cut(augment(resize(blank, model), 0), model)
