"""The finished ensemble, ready to run: by torch from data/, or by onnxruntime from an export."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.core import files
from foldwise.decision.decision import Decision
from foldwise.deploy.ensembled import fold_folders, read_ensemble
from foldwise.deploy.onnx_files import exported_members, fold_file, graph_runner, metadata
from foldwise.ensembling.settings import Merge
from foldwise.model.compute import Compute
from foldwise.model.settings import Model
from foldwise.params import read_params
from foldwise.sources.data_settings import Data

Runner = Callable[[np.ndarray], np.ndarray]
"""uint8 images, as `geometry.as_input` makes them, to float32 logits (images, classes)."""


@dataclass(frozen=True)
class Member:
    """One member of the ensemble."""

    model: Model
    """What its input must be."""
    folds: Sequence[Runner]
    """Of each fold, all used views merged."""
    weight: float


@dataclass(frozen=True)
class Engine:
    """All that turns images into labels."""

    classes: list[str]
    members: Sequence[Member]
    folds_merge: Merge
    members_merge: Merge
    decision: Decision
    batch_size: int
    """Images at a time."""
    max_pixels: int
    """Of an image; beyond, it counts as bad."""


def torch_engine(temporary: Path) -> Engine:
    """The ensemble of the workspace's data/, on the device that `compute` names.

    Args:
        temporary: a folder for members that come from other commits.

    Raises:
        UserError: something has not been run yet, or cannot be had.
    """
    # Only here: what runs exported members needs no torch.
    from foldwise.deploy.torch_runner import TorchRunner, load_fold
    from foldwise.model.loader import choose_device

    params = read_params()
    ensemble = read_ensemble()
    classes = files.read_dataset()["classes"]
    merge = ensemble["merge"]
    device = choose_device(params.compute.accelerator)
    members = []
    for name, used in ensemble["members"].items():
        folders = fold_folders(name, ensemble["folds"], temporary)
        loaded = [load_fold(folder, classes, used["views"], merge["views"]) for folder in folders]
        runners = [TorchRunner(module, device) for module, _ in loaded]
        members.append(Member(loaded[0][1], runners, used["weight"]))
    return Engine(
        classes,
        members,
        merge["folds"],
        merge["members"],
        Decision.from_json(files.read_json(files.DECISION, "threshold")),
        _images_at_once(params.compute.batch_size, ensemble),
        params.data.max_pixels,
    )


def onnx_engine(folder: Path) -> Engine:
    """The ensemble of an export; nothing else is read.

    Raises:
        UserError: files are missing, or not of one export.
    """
    content = exported_members(folder)
    ensemble = content["ensemble"]
    members = []
    for name, used in ensemble["members"].items():
        paths = [fold_file(folder, name, fold) for fold in ensemble["folds"]]
        model = Model.model_validate(metadata(paths[0])["input"])
        members.append(Member(model, [graph_runner(path) for path in paths], used["weight"]))
    return Engine(
        content["classes"],
        members,
        ensemble["merge"]["folds"],
        ensemble["merge"]["members"],
        Decision.from_json(content["decision"]),
        _images_at_once(Compute().batch_size, ensemble),
        Data.model_fields["max_pixels"].default,
    )


def _images_at_once(batch_size: int, ensemble: dict[str, Any]) -> int:
    """So many that they, seen through all views at once, are no more than a batch of `predict`."""
    views = max(len(used["views"]) for used in ensemble["members"].values())
    return max(1, batch_size // views)
