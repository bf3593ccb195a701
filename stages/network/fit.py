"""Fits one member with Lightning."""

import logging
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from torch import nn

from stages.network.backbones import build_network
from stages.network.checkpoint import LAST, AtomicCheckpoints, EarlyStoppingOnce, StopWhenOrphaned
from stages.network.curves import Curves
from stages.network.dataset import (
    EpochSampler,
    ImageDataset,
    choose_device,
    make_loader,
    worker_count,
)
from stages.network.module import Member
from stages.settings.network import Compute, Recipe


def fit_member(
    recipe: Recipe,
    train: ImageDataset,
    valid: ImageDataset,
    seed: int,
    compute: Compute,
    checkpoints: Path,
    curves: Curves,
) -> tuple[nn.Module, int]:
    """Train on one data set, watch another; resume from `checkpoints` where it holds any.

    Args:
        recipe: how to train.
        train: items keyed by (epoch, position).
        valid: the held-out images.
        seed: of initial weights, order and dropout.
        compute: where to run.
        checkpoints: folder that belongs to this very run.
        curves: logs every epoch.

    Returns:
        The network, and how many epochs the weights that it holds were trained.
    """
    _hush_lightning()
    pl.seed_everything(seed, verbose=False)
    network = build_network(recipe.model, train.labels.shape[1])
    member = Member(network, recipe, train.labels, seed)
    last = checkpoints / LAST
    # Saves the epoch's end after `curves` and the best weights took note of it.
    save_last = ModelCheckpoint(
        checkpoints,
        filename=LAST.removesuffix(".ckpt"),
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    callbacks: list[pl.Callback] = [curves, StopWhenOrphaned()]
    mode = {"valid_loss": "min"}
    best = None
    if recipe.train.keep == "best":
        best = ModelCheckpoint(
            checkpoints,
            filename="best-{epoch}",
            monitor=recipe.train.monitor,
            mode=mode.get(recipe.train.monitor, "max"),
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        callbacks.append(best)
    stopping = recipe.train.early_stopping
    if stopping is not None:
        callbacks.append(
            EarlyStoppingOnce(
                stopping.monitor,
                patience=stopping.patience,
                mode=mode.get(stopping.monitor, "max"),
                check_on_train_epoch_end=True,
            )
        )
    if sys.stderr.isatty():
        callbacks.append(TQDMProgressBar())
    # Deterministic mode would otherwise fill all fresh memory, which costs time and mends nothing.
    # The types do not know it: torch adds this switch to its module at run time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    device = choose_device(compute.accelerator)
    workers = worker_count(compute.workers, device)
    sampler = EpochSampler(train, seed)
    if last.exists():
        # Lightning starts the loader's workers before it tells the sampler where it resumes; they
        # would read the first batches in the first epoch's order.
        done = torch.load(last, map_location="cpu", weights_only=False)["epoch"]
        sampler.set_epoch(done + 1)
    trainer = pl.Trainer(
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.num_nodes,
        strategy=compute.strategy,
        plugins=[AtomicCheckpoints()],
        # Settings allow only names that Lightning knows; its type is their closed list.
        precision=_precision(compute.precision, device),  # type: ignore[arg-type]
        max_epochs=recipe.epochs,
        callbacks=[*callbacks, save_last],
        logger=False,
        deterministic="warn",
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        use_distributed_sampler=False,
    )
    trainer.fit(
        member,
        make_loader(train, recipe.train.batch_size, workers, sampler),
        make_loader(valid, compute.batch_size, workers),
        ckpt_path=str(last) if last.exists() else None,
        weights_only=False,
    )
    epoch = curves.epochs
    if best is not None:
        kept = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
        member.load_state_dict(kept["state_dict"])
        epoch = kept["epoch"] + 1
    return member.network, epoch


def _precision(precision: str, device: torch.device) -> str:
    """Lightning's name for it; `auto` is bf16 where the hardware computes in it."""
    if precision != "auto":
        return precision
    if device.type == "cpu":
        # oneDNN offers bf16 on any CPU, but only these instructions make it faster.
        capabilities = torch.cpu.get_capabilities()
        supported = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    else:
        supported = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return "bf16-mixed" if supported else "32-true"


def _hush_lightning() -> None:
    """Silence what Lightning says of hardware and loaders at every start."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
