"""A trained member on disk: weights.safetensors and model.json, nothing pickled."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from foldwise.core.damage import damaged, file_sum
from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.pretrained import load_matching_weights
from foldwise.model.settings import Model

WEIGHTS = "weights.safetensors"
MODEL = "model.json"
SUMS = "sha256"
"""Key of model.json: the sums by which damage to either file is seen."""


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
    frozen: bool
    """Its backbone is as it came, that of every fold."""


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
    try:
        save_file(weights, folder / WEIGHTS)
    except SafetensorError as error:
        raise _refused_by_system(error, folder / WEIGHTS) from None
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
    content[SUMS] = {"weights": file_sum(folder / WEIGHTS)}
    content[SUMS]["model"] = content_sum(content)
    (folder / MODEL).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _refused_by_system(error: SafetensorError, path: Path) -> Exception:
    """The operating system's error that safetensors hides in its text; else its own."""
    number = re.search(r"os error (\d+)", str(error))
    if number is None:
        return error
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path))


def weights_sum(network: nn.Module) -> str:
    """The sha256 of all weights and their names, in hexadecimal digits."""
    digest = hashlib.sha256()
    for name, weight in network.state_dict().items():
        digest.update(name.encode() + weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def content_sum(content: dict[str, Any]) -> str:
    """Of all that stands in model.json but this sum itself, however it is laid out."""
    rest = content | {SUMS: {"weights": content[SUMS]["weights"]}}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, reason: str) -> UserError:
    """The line for a file of a member's folder, `<member>/<fold>`, that is not what was saved."""
    return damaged(path, reason, f"train@{path.parent.parent.name}-{path.parent.name}")


def read_model(folder: Path) -> dict[str, Any]:
    """What stands in model.json. Raises `UserError` if there is none, or it is damaged."""
    path = folder / MODEL
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro train`") from None
    except ValueError:
        raise _damaged(path, "it is no JSON") from None
    if not isinstance(content, dict) or not _is_whole(content):
        raise _damaged(path, "its sum is another")
    if "model" not in content:
        # Of older commits, whose recipe held it: their members may join, and be gone on from.
        recipe = content["recipe"]
        softmax = recipe["train"]["loss"] == "cross_entropy"
        content |= {"model": recipe["model"], "softmax": softmax}
    return content


def _is_whole(content: dict[str, Any]) -> bool:
    """Whether the content of model.json is what was saved, as far as can be told."""
    if SUMS in content:
        sums = content[SUMS]
        if not isinstance(sums, dict) or {*sums} != {"weights", "model"}:
            return False
        return bool(sums["model"] == content_sum(content))
    # Members of older commits have no sums, under no key: the key itself may be what is damaged.
    sums_elsewhere = any(isinstance(each, dict) and "weights" in each for each in content.values())
    known = "classes" in content and bool({"model", "recipe"} & {*content})
    return known and not sums_elsewhere


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """A trained member's weights. Raises `UserError` if there are none, or they are damaged."""
    path = folder / WEIGHTS
    sums = read_model(folder).get(SUMS)
    try:
        if sums is not None and file_sum(path) != sums["weights"]:
            raise _damaged(path, "its sum is another")
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `dvc repro train`") from None
    except SafetensorError:
        raise _damaged(path, "it holds no tensors") from None


def copy_weights(network: Classifier, folder: Path) -> None:
    """Give a network a trained member's weights. Raises `UserError` if they do not fit."""
    source = f"weights of {json.dumps(read_model(folder)['backbone'])} in {folder / WEIGHTS}"
    advice = "warm-start from the same backbone, head and classes"
    load_matching_weights(network, read_weights(folder), source, advice)


def load_member(folder: Path) -> TrainedMember:
    """Load what `save_member` wrote.

    Raises `UserError` if the folder holds no trained member, or a damaged one.
    """
    content = read_model(folder)
    try:
        model = Model.model_validate(content["model"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, ("model", *first["loc"])))
        raise UserError(
            f"{folder / MODEL}: {key}: {first['msg']}; this version does not know such a member, "
            "train it anew"
        ) from None
    network = build_network(model, len(content["classes"]), pretrained=False)
    advice = "train it anew"
    load_matching_weights(network, read_weights(folder), str(folder / WEIGHTS), advice)
    return TrainedMember(
        network.eval(),
        model,
        content["classes"],
        content["softmax"],
        # Members of older commits do not say so.
        bool(content.get("frozen", False)),
    )
