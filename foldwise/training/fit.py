"""Fits one member with Lightning."""

import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from timm.layers import convert_sync_batchnorm

from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.compute import Compute
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import choose_precision
from foldwise.model.loader import choose_device
from foldwise.model.saved import copy_weights
from foldwise.training.callbacks import make_callbacks
from foldwise.training.checkpoint import LAST, AtomicCheckpoints
from foldwise.training.curves import Curves
from foldwise.training.data_module import Feeding
from foldwise.training.distributed import share_norms
from foldwise.training.lightning_module import Member
from foldwise.training.losses import check_labels
from foldwise.training.processes import follows
from foldwise.training.settings import Recipe


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
    check_labels(recipe.train.loss, valid.labels)
    # Deterministic mode would otherwise fill all fresh memory, which costs time and mends nothing.
    # The types do not know it: torch adds this switch to its module at run time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    device = choose_device(compute.accelerator)
    precision = choose_precision(compute.precision, device)
    feeding = Feeding(member, train, valid, seed, compute, precision, device, features)
    several = process_count(compute, device) > 1
    if several:
        (convert_sync_batchnorm if device.type == "cuda" else share_norms)(network)
    if compute.compile:
        network.compile()
    last = checkpoints / LAST
    if last.exists():
        # Lightning starts the loader's workers before it tells the sampler where it resumes; they
        # would read the first batches in the first epoch's order.
        done = torch.load(last, map_location="cpu", weights_only=False)["epoch"]
        feeding.start_at(done + 1)
    best, callbacks = make_callbacks(recipe, checkpoints, curves)
    trainer = _trainer(
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.num_nodes,
        strategy=_strategy(compute, recipe, several),
        plugins=[AtomicCheckpoints()],
        precision=precision,
        max_epochs=recipe.epochs,
        callbacks=callbacks,
        logger=False,
        deterministic="warn",
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty() and not follows(),
        use_distributed_sampler=False,
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
    elif recipe.train.averaging is not None and trainer.is_global_zero:
        # A training that was resumed after its last epoch does not come to where Lightning would
        # put the average in the weights' place.
        member.load_state_dict(torch.load(last, weights_only=False)["state_dict"])
    return network, epoch


def _trainer(**settings: Any) -> pl.Trainer:
    """Lightning's trainer. Raises `UserError` if it cannot run as `compute` has it."""
    try:
        return pl.Trainer(**settings)
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"params.yaml: compute: {line}") from None


def process_count(compute: Compute, device: torch.device) -> int:
    """How many processes train one fold."""
    devices = compute.devices
    if devices == "auto":
        devices = torch.cuda.device_count() if device.type == "cuda" else 1
    return devices * compute.num_nodes


def _strategy(compute: Compute, recipe: Recipe, several: bool) -> str:
    if several and recipe.frozen_epochs and compute.strategy in ("auto", "ddp"):
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
