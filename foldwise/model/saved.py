"""A trained member on disk: weights.safetensors and model.json, nothing pickled."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.pretrained import fit_weights
from foldwise.training.settings import Recipe

WEIGHTS = "weights.safetensors"
MODEL = "model.json"


def images_digest(shas: Iterable[str]) -> str:
    """One digest of a set of images, given the sha256 of each."""
    return hashlib.sha256("\n".join(sorted(shas)).encode()).hexdigest()


def save_member(
    folder: Path,
    network: nn.Module,
    recipe: Recipe,
    fold: int,
    classes: list[str],
    epoch: int,
    unseen: str,
    warm_start: str | None = None,
) -> None:
    """Write a network's weights and all that is needed to use it.

    Args:
        folder: an existing folder.
        network: on any device.
        recipe: what it was made by, overrides applied.
        fold: the fold that it has never seen.
        classes: names of its outputs, in order.
        epoch: how many epochs its weights were trained.
        unseen: digest of the images that it has never seen.
        warm_start: the commit whose weights it started from.
    """
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS)
    mean, std = recipe.model.mean_and_std()
    content: dict[str, Any] = {
        "member": recipe.member,
        "fold": fold,
        "backbone": recipe.model.backbone,
        "classes": classes,
        "input": {
            "size": recipe.model.image_size,
            "shortest_edge": recipe.model.shortest_edge,
            "views": recipe.model.views,
            "channels": recipe.model.channels,
            "mean": mean,
            "std": std,
        },
        "epoch": epoch,
        "unseen": unseen,
        "warm_start": warm_start,
        "recipe": recipe.model_dump(mode="json"),
    }
    (folder / MODEL).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_model(folder: Path) -> dict[str, Any]:
    """What stands in model.json. Raises `UserError` if there is none."""
    try:
        return json.loads((folder / MODEL).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run `dvc repro train`") from None


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """A trained member's weights. Raises `UserError` if there are none."""
    try:
        return load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise UserError(f"{folder / WEIGHTS}: no such file; run `dvc repro train`") from None


def copy_weights(network: Classifier, folder: Path) -> None:
    """Give a network a trained member's weights. Raises `UserError` if they do not fit."""
    source = f"weights of {json.dumps(read_model(folder)['backbone'])} in {folder / WEIGHTS}"
    advice = "warm-start from the same backbone, head and classes"
    fit_weights(network, read_weights(folder), source, advice)


def load_member(folder: Path) -> tuple[Classifier, Recipe, list[str]]:
    """The network (on CPU, ready for inference), its recipe and its classes.

    Raises `UserError` if the folder holds no trained member.
    """
    content = read_model(folder)
    recipe = Recipe.model_validate(content["recipe"])
    network = build_network(recipe.model, len(content["classes"]), pretrained=False)
    network.load_state_dict(read_weights(folder))
    return network.eval(), recipe, content["classes"]
