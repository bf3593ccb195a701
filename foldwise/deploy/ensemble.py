"""The finished ensemble, ready to run: by torch from data/, or by onnxruntime from an export."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from foldwise import revisions
from foldwise.core import files
from foldwise.core.damage import refuse_changed
from foldwise.core.errors import UserError
from foldwise.core.settings import Count, read
from foldwise.decision.decision import Decision
from foldwise.deploy.onnx_files import exported_members, fold_file, graph_runner, metadata
from foldwise.deploy.subset import Subset
from foldwise.ensembling.settings import Merge
from foldwise.ensembling.weighing import Line, Weighing
from foldwise.images.decode import MAX_PIXELS
from foldwise.images.decoding import Decoding, depth_is_settled
from foldwise.model.settings import Compute, Model


class UsedMember(BaseModel):
    """How one member takes part."""

    views: list[str]
    weight: float
    slope: list[float] | None = None
    offset: list[float] | None = None


class MergedFile(BaseModel):
    """What data/ensemble.json must hold."""

    folds: list[int]
    merge: dict[Literal["views", "folds", "members"], Merge]
    members: dict[str, UsedMember]


def read_ensemble() -> dict[str, Any]:
    """`folds`, `merge` (of views, folds and members) and `members`.

    Of each its `views`, its `weight` and, where its logits are moved before they are merged, its
    `slope` and `offset`.
    """
    return files.read_json(files.MERGING, "ensemble", files.checked_as(MergedFile))


def chosen_ensemble(subset: Subset) -> dict[str, Any]:
    """What `read_ensemble` reads, of some members and folds; warns if decided of more.

    Raises:
        UserError: there is no such member or fold.
    """
    return _chosen(read_ensemble(), subset)


def _chosen(ensemble: dict[str, Any], subset: Subset) -> dict[str, Any]:
    warning = subset.warning(ensemble)
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    return subset.of(ensemble)


def read_decision() -> Decision:
    """Calibrator, thresholds and decoder. Raises `UserError` if the file is missing or damaged."""
    return files.read_json(files.DECISION, "threshold", Decision.from_json)


def fold_folders(member: str, folds: list[int], temporary: Path) -> list[Path]:
    """Where the trained networks of a member lie, one per fold.

    Args:
        member: its name; `<revision>/<name>` for one of another commit, which DVC brings.
        folds: their numbers.
        temporary: an existing folder for what is brought.

    Raises:
        UserError: another commit's models cannot be had.
    """
    revision, _, name = member.rpartition("/")
    folder = files.MODELS / name
    if revision:
        commit = revisions.resolve(revision, f"{files.MERGING}: {member}")
        folder = temporary / member
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            revisions.fetch(commit, files.MODELS / name, folder)
    missing = [fold for fold in folds if not (folder / str(fold)).is_dir()]
    if missing:
        raise UserError(f"{folder / str(missing[0])}: no such folder; run `dvc repro train`")
    return [folder / str(fold) for fold in folds]


def member_decoding(member: str, temporary: Path) -> Decoding:
    """How the images were decoded that a member was trained on, as its commit's dataset.json says.

    Args:
        member: its name, as `fold_folders` has it.
        temporary: an existing folder for what is brought.

    Raises:
        UserError: that file is missing or damaged, or cannot be had.
    """
    return Decoding.from_json(_recorded_decoding(member, temporary))


def _recorded_decoding(member: str, temporary: Path) -> dict[str, Any] | None:
    """`decoding` of a member's dataset.json, known to be one."""
    revision = member.rpartition("/")[0]
    path = files.DATASET
    if revision:
        path = temporary / f"{revision}-{files.DATASET.name}"
        if not path.exists():
            commit = revisions.resolve(revision, f"{files.MERGING}: {member}")
            revisions.fetch(commit, files.DATASET, path)

    def checked(content: dict[str, Any]) -> dict[str, Any] | None:
        Decoding.from_json(content.get("decoding"))
        return content.get("decoding")

    return files.read_json(path, "fetch", checked)


Runner = Callable[[np.ndarray], np.ndarray]
"""uint8 images, as `geometry.as_input` makes them, to float32 logits (images, classes)."""


@dataclass(frozen=True)
class DeployedMember:
    """One member of the ensemble."""

    model: Model
    """What its input must be."""
    decoding: Decoding
    """How the images were decoded that it was trained on."""
    depth_settled: bool
    """Whether these, or a setting, said how many bits of deep samples count, as far as is known."""
    folds: Sequence[Runner]
    """Of each fold, all used views merged."""
    weight: float
    line: Line | None = None
    """What moves its logits, once folds are merged; None: nothing."""


@dataclass(frozen=True)
class FinishedEnsemble:
    """All that turns images into labels."""

    classes: list[str]
    members: Sequence[DeployedMember]
    folds_merge: Merge
    members_merge: Merge
    decision: Decision
    batch_size: int
    """Images at a time."""
    max_pixels: int
    """Of an image; beyond, it counts as bad."""

    def merged(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        """Logits of every member, its folds merged, as one; float32 (images, classes)."""
        weights = np.array([member.weight for member in self.members])
        lines = [member.line for member in self.members]
        return Weighing(weights, lines).merged(logits, self.members_merge)


def torch_ensemble(temporary: Path, subset: Subset) -> FinishedEnsemble:
    """The ensemble of the workspace's data/, on the device that `compute` names.

    Args:
        temporary: a folder for members that come from other commits.
        subset: which of its members and folds.

    Raises:
        UserError: something has not been run yet, or cannot be had; there is no such member or
            fold.
    """
    # Only here: what runs exported members needs no torch.
    from foldwise.deploy.torch_runner import TorchRunner, load_fold, share_backbones
    from foldwise.model.hardware import choose_device

    refuse_changed((files.DATASET, files.MERGING, files.DECISION))
    compute = read("compute", Compute, Compute())
    ensemble = chosen_ensemble(subset)
    classes = files.read_dataset()["classes"]
    merge = ensemble["merge"]
    device = choose_device(compute.accelerator)
    loaded_folds = {
        name: [
            load_fold(folder, classes, used["views"], merge["views"])
            for folder in fold_folders(name, ensemble["folds"], temporary)
        ]
        for name, used in ensemble["members"].items()
    }
    share_backbones(each for loaded in loaded_folds.values() for each in loaded)
    members = []
    for name, used in ensemble["members"].items():
        loaded = loaded_folds[name]
        runners = [TorchRunner(module, device) for module, _ in loaded]
        decoded = _recorded_decoding(name, temporary)
        members.append(_deployed(loaded[0][1], decoded, runners, used))
    return FinishedEnsemble(
        classes,
        members,
        merge["folds"],
        merge["members"],
        read_decision(),
        images_at_once(compute.batch_size, ensemble),
        read("data.max_pixels", Count, MAX_PIXELS),
    )


def onnx_ensemble(folder: Path, subset: Subset) -> FinishedEnsemble:
    """The ensemble of an export; nothing else is read.

    Args:
        folder: of the export.
        subset: which of its members and folds.

    Raises:
        UserError: files are missing, or not of one export; there is no such member or fold.
    """
    content = exported_members(folder)
    ensemble = _chosen(content["ensemble"], subset)
    members = []
    for name, used in ensemble["members"].items():
        paths = [fold_file(folder, name, fold) for fold in ensemble["folds"]]
        about = metadata(paths[0])
        model = Model.model_validate(about["input"])
        runners = [graph_runner(path) for path in paths]
        members.append(_deployed(model, about.get("decoding"), runners, used))
    return FinishedEnsemble(
        content["classes"],
        members,
        ensemble["merge"]["folds"],
        ensemble["merge"]["members"],
        Decision.from_json(content["decision"]),
        images_at_once(Compute().batch_size, ensemble),
        MAX_PIXELS,
    )


def _deployed(
    model: Model,
    decoded: dict[str, Any] | None,
    runners: Sequence[Runner],
    used: dict[str, Any],
) -> DeployedMember:
    decoding, settled = Decoding.from_json(decoded), depth_is_settled(decoded)
    return DeployedMember(model, decoding, settled, runners, used["weight"], Line.from_json(used))


def images_at_once(batch_size: int, ensemble: dict[str, Any]) -> int:
    """So many that they, seen through all views at once, are no more than a batch of `predict`."""
    views = max(len(used["views"]) for used in ensemble["members"].values())
    return max(1, batch_size // views)
