"""What watches a training: curves, checkpoints, averages, stopping, progress."""

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar

from foldwise.training.averaging import make_averaging
from foldwise.training.checkpoint import LAST, SOUP, SUFFIX
from foldwise.training.curves import Curves
from foldwise.training.distributed import is_main_process
from foldwise.training.ending import EarlyStoppingOnce, EndOnSignal, StopWhenOrphaned
from foldwise.training.precision import KeptPrecision
from foldwise.training.settings import Recipe


def make_callbacks(
    recipe: Recipe, checkpoints: Path, curves: Curves
) -> tuple[ModelCheckpoint | None, list[pl.Callback]]:
    """All callbacks, and what keeps checkpoints of the best epoch, or of a soup's, if wanted."""
    callbacks: list[pl.Callback] = [
        *make_averaging(recipe),
        curves,
        EndOnSignal(),
        StopWhenOrphaned(),
        KeptPrecision(),
    ]

    def mode(metric: str) -> str:
        return "min" if metric.endswith("loss") else "max"

    common: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    kept = None
    averaging = recipe.train.averaging
    if averaging is not None and averaging.method == "soup":
        monitor = "epoch" if averaging.of == "last" else recipe.train.monitor
        kept = ModelCheckpoint(
            checkpoints,
            filename=f"{SOUP}{{epoch}}",
            monitor=monitor,
            mode=mode(monitor),
            # One more than is needed, as below.
            save_top_k=averaging.epochs + 1,
            save_weights_only=True,
            **common,
        )
        callbacks.append(kept)
    if recipe.train.keep == "best":
        monitor = recipe.train.monitor
        kept = ModelCheckpoint(
            checkpoints,
            filename="best-{epoch}",
            monitor=monitor,
            mode=mode(monitor),
            # The one before stays too: ended before the last checkpoint is written, training goes
            # on from the one before that, which knows no other best epoch.
            save_top_k=2,
            **common,
        )
        callbacks.append(kept)
    stopping = recipe.train.early_stopping
    if stopping is not None:
        callbacks.append(
            EarlyStoppingOnce(
                stopping.monitor,
                patience=stopping.patience,
                mode=mode(stopping.monitor),
                check_on_train_epoch_end=True,
                # What is not finite is no improvement; Lightning would stop at once, and a
                # resumed training would not know.
                check_finite=False,
            )
        )
    if sys.stderr.isatty() and is_main_process():
        callbacks.append(TQDMProgressBar())
    # Saves the epoch's end after `curves` and the best weights took note of it.
    last = ModelCheckpoint(checkpoints, filename=LAST.removesuffix(SUFFIX), **common)
    return kept, [*callbacks, last]
