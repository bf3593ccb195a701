"""Fits one member with Lightning."""

import logging
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.fabric.plugins.environments import ClusterEnvironment
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from foldwise.core.errors import Terminated, UserError
from foldwise.features.kept import FeatureFolder
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import choose_device, choose_precision
from foldwise.model.saved import copy_weights
from foldwise.model.settings import Compute
from foldwise.training.callbacks import make_callbacks
from foldwise.training.checkpoint import LAST, AtomicCheckpoints, drop_damaged, load_checkpoint
from foldwise.training.curves import Curves
from foldwise.training.data_module import DataModule
from foldwise.training.distributed import is_main_process, process_count, share_batch_norm
from foldwise.training.learned_rows import LearnedRows
from foldwise.training.lightning_module import MemberModule
from foldwise.training.losses import check_labels
from foldwise.training.settings import Recipe
from foldwise.training.solved import solve_member
from foldwise.training.soup import cook_soup
from foldwise.training.trial import try_step


@dataclass(frozen=True)
class TrainingRun:
    """One fold's training, apart from what its recipe says."""

    seed: int
    """Of initial weights, order, dropout and mixing."""
    compute: Compute
    """Where it runs."""
    checkpoints: Path
    """Folder that belongs to this very run."""
    features: FeatureFolder
    """Of frozen backbones, which any run may use."""
    curves: Curves
    """Logs every epoch."""
    start: Path | None = None
    """A trained member, whose weights are where training starts."""
    groups: np.ndarray | None = None
    """(train images,): their folds, by which a solved head chooses its regularisation; None: they
    are in no folds."""
    precision: str | None = None
    """Lightning's name of it; None: by `compute`, without a trial."""
    learned: LearnedRows | None = None
    """All that is learned from, where that is more than the train images."""
    taught: np.ndarray | None = None
    """(stored images of `learned`, classes): soft targets; -1 where there are none."""


def fit_member(
    recipe: Recipe, train: ImageDataset, valid: ImageDataset, run: TrainingRun
) -> tuple[Classifier, int]:
    """Train on one data set, watch another; resume from `run.checkpoints` where it holds any.

    Args:
        recipe: how to train.
        train: images that may be augmented.
        valid: the held-out images.
        run: where, and from what.

    Returns:
        The network, and how many epochs the weights that it holds were trained.
    """
    _hush_lightning()
    pl.seed_everything(run.seed, verbose=False)
    network = build_network(recipe.model, train.labels.shape[1], pretrained=run.start is None)
    if run.start is not None:
        copy_weights(network, run.start)
    last = run.checkpoints / LAST
    if is_main_process():
        drop_damaged(run.checkpoints, run.curves.title)
        if not last.exists():
            try_step(recipe, network, len(train), train.labels.shape[1])
    if run.compute.channels_last:
        network.use_channels_last()
    check_labels(recipe.train.loss, valid.labels)
    if recipe.solved:
        if not is_main_process():
            # Whatever starts several: there is nothing to share.
            return network, 0
        groups = np.zeros(len(train), np.int64) if run.groups is None else run.groups
        solve_member(recipe, network, (train, valid), groups, run.features, run.compute, run.curves)
        return network, 0
    member = MemberModule(network, recipe, train.labels, run.seed)
    # Deterministic mode would otherwise fill all fresh memory, which costs time and mends nothing.
    # The types do not know it: torch adds this switch to its module at run time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    data = _fed_by(member, train, valid, run)
    if process_count(run.compute) > 1:
        share_batch_norm(network, choose_device(run.compute.accelerator))
    if run.compute.compile:
        network.compile()
    kept, callbacks = make_callbacks(recipe, run.checkpoints, run.curves)
    uneven = member.steps is not None
    trainer = make_trainer(recipe, run.compute, run.checkpoints, callbacks, run.precision, uneven)
    try:
        trainer.fit(
            member,
            datamodule=data,
            ckpt_path=str(last) if last.exists() else None,
            weights_only=True,
        )
        epoch = restore_kept(trainer, member, data, kept, run)
    except BaseException as error:
        if not (Terminated.came or isinstance(error, Terminated)):
            raise
        raise Terminated(_where_it_ended(run.curves.title, _epochs_kept(last), recipe)) from None
    return network, epoch


def _fed_by(
    member: MemberModule, train: ImageDataset, valid: ImageDataset, run: TrainingRun
) -> DataModule:
    """What a member is fed, from where an interrupted training goes on."""
    data = DataModule(
        member, train, valid, run.seed, run.compute, run.features, run.learned, run.taught
    )
    member.steps = data.steps()
    # Lightning starts the loader's workers before it tells the sampler where it resumes; they
    # would read the first batches in the first epoch's order.
    data.start_at(_epochs_kept(run.checkpoints / LAST))
    return data


def _epochs_kept(last: Path) -> int:
    """How many epochs the last checkpoint has behind it; 0 where there is none."""
    return int(load_checkpoint(last)["epoch"]) + 1 if last.exists() else 0


def _where_it_ended(title: str, epochs: int, recipe: Recipe) -> str:
    how = "interrupted" if Terminated.came == signal.SIGINT else "ended by SIGTERM"
    if not epochs:
        return f"{title}: {how} in its first epoch; run again to start over"
    return f"{title}: {how} after epoch {epochs}/{recipe.epochs}, which is kept; run again to go on"


def restore_kept(
    trainer: pl.Trainer,
    member: MemberModule,
    data: DataModule,
    kept: ModelCheckpoint | None,
    run: TrainingRun,
) -> int:
    """Give the network the weights that are to be kept, where they are not its own by now.

    Args:
        trainer: that has trained it.
        member: as training left it.
        data: what it was fed.
        kept: the checkpoints of the best epoch, or of those that may be in a soup, if wanted.
        run: with the curves of all epochs.

    Returns:
        How many epochs the weights were trained; of a soup, the youngest of them.
    """
    averaging = member.recipe.train.averaging
    if averaging is not None and averaging.method == "soup":
        assert kept is not None
        # By all processes: each judges its share of the held-out images.
        return cook_soup(trainer, member, data, kept, run.curves)
    if not trainer.is_global_zero:
        return run.curves.epochs
    if kept is not None:
        best = load_checkpoint(Path(kept.best_model_path))
        member.load_state_dict(best["state_dict"])
        return int(best["epoch"]) + 1
    if averaging is not None:
        # A training that was resumed after its last epoch does not come to where Lightning would
        # put the average in the weights' place.
        member.load_state_dict(load_checkpoint(run.checkpoints / LAST)["state_dict"])
    return run.curves.epochs


def make_trainer(
    recipe: Recipe,
    compute: Compute,
    folder: Path,
    callbacks: list[pl.Callback],
    precision: str | None = None,
    uneven: bool = False,
) -> pl.Trainer:
    """Lightning's trainer.

    Args:
        recipe: how to train.
        compute: where to run.
        folder: for what Lightning may want to write.
        callbacks: what watches it.
        precision: Lightning's name of it, where another is wanted than `compute` has.
        uneven: epochs show different numbers of images.

    Raises:
        UserError: it cannot run as `compute` has it.
    """
    device = choose_device(compute.accelerator)
    try:
        return pl.Trainer(
            accelerator=compute.accelerator,
            devices=compute.devices,
            num_nodes=compute.num_nodes,
            strategy=_strategy(compute, recipe),
            plugins=[AtomicCheckpoints(), *_cluster()],
            default_root_dir=folder,
            # One of Lightning's names, which its types want as a literal.
            precision=precision or choose_precision(compute.precision, device),  # type: ignore[arg-type]
            max_epochs=recipe.epochs,
            callbacks=callbacks,
            logger=False,
            deterministic="warn",
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty() and is_main_process(),
            use_distributed_sampler=False,
            gradient_clip_val=recipe.train.gradient_clip,
            accumulate_grad_batches=recipe.train.accumulate,
            reload_dataloaders_every_n_epochs=int(
                uneven or 0 < recipe.frozen_epochs < recipe.epochs
            ),
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise UserError(f"params.yaml: compute: {line}") from None


def _cluster() -> list[ClusterEnvironment]:
    """Slurm, which is not to requeue by Lightning: that one's checkpoints are of unfinished epochs.

    Elsewhere none, which lets Lightning look for itself.
    """
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        return [SLURMEnvironment(auto_requeue=False)]
    return []


def _strategy(compute: Compute, recipe: Recipe) -> str:
    if process_count(compute) > 1 and recipe.frozen_epochs and compute.strategy in ("auto", "ddp"):
        # A frozen backbone takes no part in some steps.
        return "ddp_find_unused_parameters_true"
    return compute.strategy


def _hush_lightning() -> None:
    """Silence what Lightning says of hardware and loaders at every start, and nothing else."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # `compute.workers: auto` takes none on CPU, on purpose.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # A run that goes on has checkpoints there, and its lock is always there.
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
    # Of Lightning's own use of torch.
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
    # Small folds lack classes; MacroAveragePrecision leaves them out.
    warnings.filterwarnings("ignore", "No positive samples found in target.*")
    # Nothing is logged per step.
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
