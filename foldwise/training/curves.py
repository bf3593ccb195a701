"""Learning curves: one row per epoch, live with DVCLive and on the screen."""

import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from dvclive import Live
from scmrepo.exceptions import SCMError

from foldwise.core.errors import UserError
from foldwise.training.layer_decay import rate_of
from foldwise.training.settings import Recipe

SIGN = "DVCLIVE_STEP_COMPLETED"
METRICS = ("train_loss", "valid_loss", "valid_accuracy", "valid_macro_ap")


class Curves(pl.Callback):
    """Logs every epoch's metrics; its rows travel in checkpoints, so a resumed run has them all."""

    def __init__(self, folder: Path, title: str, recipe: Recipe) -> None:
        self._folder = folder
        self.title = title
        self._recipe = recipe
        self._rows: list[dict[str, float]] = []
        self._live: Live | None = None
        self._start = 0.0

    @property
    def epochs(self) -> int:
        """How many epochs are done, those before a resumption included."""
        return len(self._rows)

    @property
    def rows(self) -> list[dict[str, float]]:
        """The metrics of every epoch."""
        return list(self._rows)

    @property
    def last(self) -> dict[str, float]:
        """The last epoch's metrics."""
        return self._rows[-1]

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._rows = list(state_dict["rows"])

    def on_fit_start(self, trainer: pl.Trainer, _: Any) -> None:
        if not trainer.is_global_zero:
            return
        self._open()
        for row in self._rows:
            self._write(row)
        if self._rows:
            print(
                f"{self.title}: resumed after epoch {len(self._rows)}/{self._recipe.epochs}",
                file=sys.stderr,
                flush=True,
            )

    def _open(self) -> None:
        options: dict[str, Any] = {"save_dvc_exp": False, "dvcyaml": None, "report": None}
        try:
            self._live = Live(str(self._folder), monitor_system=False, **options)
        except SCMError as error:
            raise UserError(
                f"git: {error}; make a first commit, to which a run's curves belong"
            ) from None
        self._live.log_params({"lr": self._recipe.lr, "epochs": self._recipe.epochs})

    def solved(self, row: dict[str, float], seconds: float) -> None:
        """Log a head that was solved, in no epochs.

        Args:
            row: every metric, and what else was found.
            seconds: that it took.
        """
        self._open()
        self._rows.append(row)
        self._write(row)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in row.items())
        print(f"{self.title}: solved: {shown} ({seconds:.1f} s)", file=sys.stderr, flush=True)
        self.on_fit_end()

    def _write(self, row: dict[str, float]) -> None:
        assert self._live is not None
        for name, value in row.items():
            self._live.log_metric(name, value, timestamp=False)
        self._live.make_summary()
        self._live.next_step()

    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, _: Any) -> None:
        row = {name: float(trainer.callback_metrics[name]) for name in METRICS}
        row["lr"] = rate_of(trainer.optimizers[0].param_groups[0])
        self._rows.append(row)
        if self._live is None:
            return
        self._write(row)
        if not sys.stderr.isatty():
            shown = ", ".join(f"{name} {row[name]:.4f}" for name in METRICS)
            seconds = time.monotonic() - self._start
            print(
                f"{self.title}: epoch {len(self._rows)}/{self._recipe.epochs}: {shown} "
                f"({seconds:.1f} s)",
                file=sys.stderr,
                flush=True,
            )

    def on_fit_end(self, *_: Any) -> None:
        if self._live is None:
            return
        try:
            self._live.end()
        except FileNotFoundError as error:
            # Its last act takes away a sign to VS Code, of which a project has one: where several
            # trainings end at once, another one may have done so.
            if Path(str(error.filename)).name != SIGN:
                raise
