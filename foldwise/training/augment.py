"""From params.yaml's list of transforms to an albumentations pipeline, by the library's names."""

import os
import random
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.core.errors import UserError

if TYPE_CHECKING:
    import albumentations

    from foldwise.model.dataset import Augmentation

Spec = tuple[str | dict[str, dict[str, Any]], ...]


def make_augment(spec: Spec) -> "Augmentation | None":
    """The augmentation of images, uint8 (height, width, channels); None where there is none.

    Each entry of `spec` is a transform's name, or `{name: {argument: value}}`; transforms that
    hold others (OneOf, SomeOf, Sequential) take them as a list of the same form in `transforms`.

    Raises `UserError` for a name or argument that albumentations lacks or refuses.
    """
    if not spec:
        return None
    # albumentations asks the network for a newer release when imported; importing it takes
    # seconds, so only who needs it does.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    import albumentations

    pipeline = albumentations.Compose([_transform(each, "train.augment") for each in spec])
    return partial(_augmented, pipeline)


def _augmented(pipeline: "albumentations.Compose", pixels: np.ndarray, seed: int) -> np.ndarray:
    """One image, uint8 (height, width, channels), augmented as `seed` says.

    Raises `UserError` if the pipeline changes the type or the channels.
    """
    # All transforms draw from one stream. `set_random_seed` would give each a stream of its own
    # from the same seed: those of equal probability would always fire together.
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    augmented = pipeline(image=pixels)["image"]
    if augmented.dtype != np.uint8:
        raise UserError(
            f"params.yaml: train.augment: turns pixels into {augmented.dtype}; leave out Normalize "
            "and ToFloat, and set `normalize` of the model instead"
        )
    if augmented.ndim != 3 or augmented.shape[2] != pixels.shape[2]:
        raise UserError(
            f"params.yaml: train.augment: makes images of shape {augmented.shape} of "
            f"{pixels.shape}; let it keep the channels"
        )
    return augmented


def _transform(entry: str | dict[str, dict[str, Any]], key: str) -> "albumentations.BasicTransform":
    import albumentations

    if isinstance(entry, dict) and len(entry) != 1:
        raise UserError(f"params.yaml: {key}: got {entry}; write one transform per list item")
    name, arguments = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
    arguments = dict(arguments)
    transform = getattr(albumentations, name, None)
    known = (albumentations.BasicTransform, albumentations.BaseCompose)
    if not (isinstance(transform, type) and issubclass(transform, known)):
        raise UserError(
            f"params.yaml: {key}: albumentations {albumentations.__version__} has no transform "
            f"'{name}'; use one of https://albumentations.ai/docs"
        )
    if "transforms" in arguments:
        arguments["transforms"] = [_transform(each, key) for each in arguments["transforms"]]
    try:
        with warnings.catch_warnings():
            # An argument that a transform does not know is only a warning there.
            warnings.simplefilter("error", UserWarning)
            return transform(**arguments)
    except (UserWarning, ValueError, TypeError) as error:
        raise UserError(f"params.yaml: {key}: {name}: {error}") from None
