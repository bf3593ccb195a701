"""Training of small networks in this process, to the end or until it is killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from foldwise.features.kept import FeatureFolder
from foldwise.model.classifier import Classifier
from foldwise.model.dataset import ImageDataset
from foldwise.model.settings import Compute, Model
from foldwise.training.curves import Curves
from foldwise.training.fit import TrainingRun, fit_member
from foldwise.training.settings import Recipe, Train

COMPUTE = Compute(accelerator="cpu", precision="32-true", workers=0, batch_size=4)


def recipe(epochs: int = 2, model: dict[str, Any] | None = None, **train: Any) -> Recipe:
    network = {
        "backbone": "foldwise/plain_cnn",
        "options": {"widths": [4, 8], "pools": [0]},
        "image_size": 16,
        "channels": 1,
    }
    chosen = {"batch_size": 4, "scheduler": "constant", "optimizer": "momentum"} | train
    return Recipe(
        member="m",
        model=Model.model_validate(network | (model or {})),
        lr=0.05,
        epochs=epochs,
        seed=3,
        train=Train.model_validate(chosen),
    )


def training_run(
    folder: Path, curves: Curves, compute: Compute = COMPUTE, start: Path | None = None, **more: Any
) -> TrainingRun:
    features = FeatureFolder(folder / "features")
    return TrainingRun(1, compute, folder / "kept", features, curves, start, **more)


def fit(
    made: Recipe,
    data: tuple[ImageDataset, ImageDataset],
    folder: Path,
    until: int | None = None,
    meanwhile: Callable[[Path], None] = lambda _: None,
    **more: Any,
) -> tuple[Classifier, list[dict[str, float]]]:
    """Train (or be killed after `until` epochs); the network and the epochs' metrics.

    `meanwhile` is done with the checkpoints' folder before training goes on after the kill;
    `more` is what else the run is given.
    """
    curves = Curves(folder / "curves", "m", made)
    if until is not None:
        # What a kill leaves: the checkpoint of an epoch before the last.
        stop = Curves.on_train_epoch_start

        def killed(self: Curves, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == until:
                raise KeyboardInterrupt
            stop(self, trainer, module)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Curves, "on_train_epoch_start", killed)
            with pytest.raises((KeyboardInterrupt, SystemExit)):
                fit_member(made, *data, training_run(folder, curves, **more))
        meanwhile(folder / "kept")
        curves = Curves(folder / "curves", "m", made)
    network, _ = fit_member(made, *data, training_run(folder, curves, **more))
    return network, curves._rows


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(each, theirs[name]) for name, each in one.state_dict().items())
