"""Fits one member with Lightning."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar

from stages.network.averaging import make_averaging
from stages.network.checkpoint import LAST, AtomicCheckpoints, EarlyStoppingOnce, StopWhenOrphaned
from stages.network.classifier import Classifier, build_network
from stages.network.curves import Curves
from stages.network.dataset import ImageDataset
from stages.network.feeding import Feeding
from stages.network.loader import choose_device
from stages.network.module import Member
from stages.network.precision import choose_precision
from stages.network.processes import follows
from stages.network.saved import copy_weights
from stages.network.shared_norm import share_norms
from stages.settings.compute import Compute
from stages.settings.train import Recipe


def fit_member(
    recipe: Recipe,
    train: ImageDataset,
    valid: ImageDataset,
    seed: int,
    compute: Compute,
    checkpoints: Path,
    features: Path,
    curves: Curves,
    start: Path | None = None,
) -> tuple[Classifier, int]:
    """Train on one data set, watch another; resume from `checkpoints` where it holds any.

    Args:
        recipe: how to train.
        train: images that may be augmented.
        valid: the held-out images.
        seed: of initial weights, order, dropout and mixing.
        compute: where to run.
        checkpoints: folder that belongs to this very run.
        features: folder of frozen backbones' features, which any run may use.
        curves: logs every epoch.
        start: a trained member, whose weights are where training starts.

    Returns:
        The network, and how many epochs the weights that it holds were trained.
    """
    _hush_lightning()
    pl.seed_everything(seed, verbose=False)
    network = build_network(recipe.model, train.labels.shape[1], pretrained=start is None)
    if start is not None:
        copy_weights(network, start)
    if compute.channels_last:
        network.use_channels_last()
    member = Member(network, recipe, train.labels, seed)
    # Deterministic mode would otherwise fill all fresh memory, which costs time and mends nothing.
    # The types do not know it: torch adds this switch to its module at run time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    device = choose_device(compute.accelerator)
    precision = choose_precision(compute.precision, device)
    feeding = Feeding(member, train, valid, seed, compute, precision, device, features)
    if _several(compute) and device.type == "cpu":
        share_norms(network)
    if compute.compile:
        network.compile()
    last = checkpoints / LAST
    if last.exists():
        # Lightning starts the loader's workers before it tells the sampler where it resumes; they
        # would read the first batches in the first epoch's order.
        done = torch.load(last, map_location="cpu", weights_only=False)["epoch"]
        feeding.start_at(done + 1)
    best, callbacks = _callbacks(recipe, checkpoints, curves)
    trainer = pl.Trainer(
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.num_nodes,
        strategy=_strategy(compute, recipe),
        plugins=[AtomicCheckpoints()],
        # Settings allow only names that Lightning knows; its type is their closed list.
        precision=precision,  # type: ignore[arg-type]
        max_epochs=recipe.epochs,
        callbacks=callbacks,
        logger=False,
        deterministic="warn",
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty() and not follows(),
        use_distributed_sampler=False,
        sync_batchnorm=device.type == "cuda" and _several(compute),
        gradient_clip_val=recipe.train.gradient_clip,
        accumulate_grad_batches=recipe.train.accumulate,
        reload_dataloaders_every_n_epochs=int(0 < recipe.frozen_epochs < recipe.epochs),
    )
    trainer.fit(
        member,
        datamodule=feeding,
        ckpt_path=str(last) if last.exists() else None,
        weights_only=False,
    )
    epoch = curves.epochs
    if best is not None and trainer.is_global_zero:
        kept = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
        member.load_state_dict(kept["state_dict"])
        epoch = kept["epoch"] + 1
    return network, epoch


def _callbacks(
    recipe: Recipe, checkpoints: Path, curves: Curves
) -> tuple[ModelCheckpoint | None, list[pl.Callback]]:
    """The best epoch's checkpoint, where that is wanted, and all callbacks with it."""
    callbacks: list[pl.Callback] = [*make_averaging(recipe), curves, StopWhenOrphaned()]

    def mode(metric: str) -> str:
        return "min" if metric.endswith("loss") else "max"

    common: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    best = None
    if recipe.train.keep == "best":
        monitor = recipe.train.monitor
        best = ModelCheckpoint(
            checkpoints, filename="best-{epoch}", monitor=monitor, mode=mode(monitor), **common
        )
        callbacks.append(best)
    stopping = recipe.train.early_stopping
    if stopping is not None:
        callbacks.append(
            EarlyStoppingOnce(
                stopping.monitor,
                patience=stopping.patience,
                mode=mode(stopping.monitor),
                check_on_train_epoch_end=True,
            )
        )
    if sys.stderr.isatty() and not follows():
        callbacks.append(TQDMProgressBar())
    # Saves the epoch's end after `curves` and the best weights took note of it.
    last = ModelCheckpoint(checkpoints, filename=LAST.removesuffix(".ckpt"), **common)
    return best, [*callbacks, last]


def _several(compute: Compute) -> bool:
    return compute.devices != 1 or compute.num_nodes > 1


def _strategy(compute: Compute, recipe: Recipe) -> str:
    if _several(compute) and recipe.frozen_epochs and compute.strategy in ("auto", "ddp"):
        # A frozen backbone takes no part in some steps.
        return "ddp_find_unused_parameters_true"
    return compute.strategy


def _hush_lightning() -> None:
    """Silence what Lightning says of hardware and loaders at every start."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    # Small folds lack classes; MacroAveragePrecision leaves them out.
    warnings.filterwarnings("ignore", "No positive samples found in target.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
