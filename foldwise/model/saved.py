"""A trained member on disk: weights.safetensors and model.json, nothing pickled."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.pretrained import load_matching_weights
from foldwise.model.settings import Model

WEIGHTS = "weights.safetensors"
MODEL = "model.json"


def images_digest(shas: Iterable[str]) -> str:
    """One digest of a set of images, given the sha256 of each."""
    return hashlib.sha256("\n".join(sorted(shas)).encode()).hexdigest()


@dataclass(frozen=True)
class TrainedMember:
    """One member of one fold, as it is loaded: all that inference needs."""

    network: Classifier
    """On the CPU, ready for inference."""
    model: Model
    """What its input must be."""
    classes: list[str]
    """Names of its outputs, in order."""
    softmax: bool
    """Its outputs are a softmax's: classes exclude each other."""


def save_member(
    folder: Path,
    network: nn.Module,
    model: Model,
    classes: list[str],
    softmax: bool,
    origin: dict[str, Any],
) -> None:
    """Write a network's weights and all that is needed to use it.

    Args:
        folder: an existing folder.
        network: on any device.
        model: what it was built by.
        classes: names of its outputs, in order.
        softmax: whether its outputs are a softmax's.
        origin: how it was trained, for people and for later checks; JSON.
    """
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS)
    mean, std = model.mean_and_std()
    content: dict[str, Any] = {
        "backbone": model.backbone,
        "classes": classes,
        "softmax": softmax,
        "input": {
            "size": model.image_size,
            "shortest_edge": model.shortest_edge,
            "views": model.views,
            "channels": model.channels,
            "mean": mean,
            "std": std,
        },
        "model": model.model_dump(mode="json"),
        **origin,
    }
    (folder / MODEL).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_model(folder: Path) -> dict[str, Any]:
    """What stands in model.json. Raises `UserError` if there is none."""
    path = folder / MODEL
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro train`") from None
    if "model" not in content:
        # Of older commits, whose recipe held it: their members may join, and be gone on from.
        recipe = content["recipe"]
        softmax = recipe["train"]["loss"] == "cross_entropy"
        content |= {"model": recipe["model"], "softmax": softmax}
    return content


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
    load_matching_weights(network, read_weights(folder), source, advice)


def load_member(folder: Path) -> TrainedMember:
    """Load what `save_member` wrote. Raises `UserError` if the folder holds no trained member."""
    content = read_model(folder)
    model = Model.model_validate(content["model"])
    network = build_network(model, len(content["classes"]), pretrained=False)
    network.load_state_dict(read_weights(folder))
    return TrainedMember(network.eval(), model, content["classes"], content["softmax"])
