"""A trained member on disk: weights.safetensors and model.json, nothing pickled."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn

from stages.errors import UserError
from stages.network.backbones import build_network
from stages.settings.network import Recipe

WEIGHTS = "weights.safetensors"
MODEL = "model.json"


def save_member(
    folder: Path, network: nn.Module, recipe: Recipe, fold: int, classes: list[str], epoch: int
) -> None:
    """Write a network's weights and all that is needed to use it.

    Args:
        folder: an existing folder.
        network: on any device.
        recipe: what it was made by, overrides applied.
        fold: the fold that it has never seen.
        classes: names of its outputs, in order.
        epoch: how many epochs its weights were trained.
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
            "channels": recipe.model.channels,
            "mean": mean,
            "std": std,
        },
        "epoch": epoch,
        "warm_start": None,
        "recipe": recipe.model_dump(mode="json"),
    }
    (folder / MODEL).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_member(folder: Path) -> tuple[nn.Module, Recipe, list[str]]:
    """The network (on CPU, ready for inference), its recipe and its classes.

    Raises `UserError` if the folder holds no trained member.
    """
    try:
        content = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename or folder}: no such file; run `dvc repro train`"
        ) from None
    recipe = Recipe.model_validate(content["recipe"])
    network = build_network(recipe.model, len(content["classes"]), pretrained=False)
    network.load_state_dict(weights)
    return network.eval(), recipe, content["classes"]
