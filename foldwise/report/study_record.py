"""What a search for settings left: its outcome and its trials, as the files hold them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from foldwise.core.damage import UNREADABLE
from foldwise.core.errors import UserError
from foldwise.core.files import plain_text

TRIAL_COLUMNS = ("trial", "state", "score", "low", "high", "best", "gain", "gain_low", "gain_high",
                 "seconds", "epochs", "within_noise")  # fmt: skip
"""Of the table of trials; behind them a column per key."""
STATED = ("state", "within_noise")
"""Those that are not numbers."""


class StudyGain(BaseModel):
    """A gain over the base with its 95 % interval."""

    value: float
    low: float
    high: float
    verdict: str


class StudyWinner(BaseModel):
    """The complete trial with the best out-of-fold score."""

    trial: int
    params: dict[str, Any]
    score: float
    gain: StudyGain
    """As if nobody had chosen."""


class StudyCheapest(BaseModel):
    """Of the trials that are within noise of the winner, the one that took the least time."""

    trial: int
    seconds: float


class StudyOutcome(BaseModel):
    """What tune.json holds, if not `{}`."""

    study: str
    objective: str
    base: str
    trials: dict[str, int]
    """How many are complete, pruned, failed."""
    seconds: float
    winner: StudyWinner
    nested: StudyGain | None = None
    """The winner's gain with what choosing cost taken off."""
    within_noise: list[int]
    importances_of: str = "score"
    """What scores the importances are of: where few trials are complete, the first rung's."""
    cheapest: StudyCheapest | None = None


@dataclass(frozen=True)
class StudyRecord:
    """A search for settings."""

    outcome: StudyOutcome
    trials: pd.DataFrame
    """`TRIAL_COLUMNS`, a row per trial, the first is the base."""
    values: pd.DataFrame
    """A column per key, rows as of `trials`: what each drew as JSON, a word or a number; or ""."""
    rungs: pd.DataFrame
    """`trial`, `step`, `epochs`, `folds`, `score`."""
    importances: pd.DataFrame
    """`key`, `importance`."""


def read_study_record(
    outcome: Path, trials: Path, rungs: Path, importances: Path
) -> StudyRecord | None:
    """The search whose files these are; None where there was none: `{}`.

    Raises:
        UserError: a file is missing, or not what a search leaves.
    """
    path = outcome
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content == {}:
            return None
        found = StudyOutcome.model_validate(content)
        path = trials
        table, values = _trial_tables(path)
        if found.winner.trial not in set(table["trial"]):
            raise ValueError(f"it has no trial {found.winner.trial}, which {outcome.name} names")
        path = rungs
        steps = pd.read_csv(path)[["trial", "step", "epochs", "folds", "score"]].astype(float)
        path = importances
        shares = pd.read_csv(path, dtype={"key": str}, keep_default_na=False)[["key", "importance"]]
        shares = shares.assign(key=shares["key"].map(plain_text))
        return StudyRecord(found, table, values, steps, shares.astype({"importance": float}))
    except FileNotFoundError:
        reason = "no such file"
    except UNREADABLE as error:
        reason = f"is no file of a study ({(str(error).splitlines() or ['?'])[-1].strip()[:120]})"
    raise UserError(
        f"{path}: {reason}; `git checkout HEAD -- {path}` brings it back, and where there was no "
        f"study {outcome} is {{}}"
    )


def _trial_tables(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    # By their places: a key may be called `epochs`, as a column is.
    raw = pd.read_csv(path, header=None, dtype=str, keep_default_na=False)
    names, count = tuple(raw.iloc[0]), len(TRIAL_COLUMNS)
    if names[:count] != TRIAL_COLUMNS:
        raise ValueError(f"its columns are not {', '.join(TRIAL_COLUMNS)} and keys")
    rows = raw.iloc[1:].reset_index(drop=True)
    fixed = rows.iloc[:, :count].set_axis(list(names[:count]), axis=1)
    numbers = {name: _trial_numbers(fixed[name]) for name in TRIAL_COLUMNS if name not in STATED}
    table = fixed.assign(**numbers).astype({"trial": int})
    values = rows.iloc[:, count:].set_axis(list(names[count:]), axis=1)
    return table, values.map(plain_text)


def _trial_numbers(texts: pd.Series) -> pd.Series:
    return texts.replace("", np.nan).astype(float)


def drawn_value(text: str) -> Any:
    """What a cell of the table stands for.

    >>> drawn_value('["identity"]'), drawn_value("asymmetric"), drawn_value("1e-06")
    (['identity'], 'asymmetric', 1e-06)
    """
    try:
        return json.loads(text)
    except ValueError:
        return text


def as_numbers(texts: list[str]) -> list[float] | None:
    """The values as numbers, or None if one is something else.

    >>> as_numbers(["1", "2.5"]), as_numbers(["1", "true"])
    ([1.0, 2.5], None)
    """
    found = [drawn_value(each) for each in texts]
    numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x in found)
    if not numeric or not np.isfinite(np.array(found, np.float64)).all():
        return None
    return [float(each) for each in found]


def short_texts(texts: list[str], most: int = 28) -> dict[str, str]:
    """How values are written for people, in one line, the long ones cut; they stay different.

    >>> short_texts(['["identity", "hflip"]', "0.0123456", "null"])
    {'["identity", "hflip"]': '[identity, hflip]', '0.0123456': '0.01235', 'null': 'null'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for text in dict.fromkeys(texts):
        numbers = as_numbers([text])
        plain = f"{numbers[0]:.4g}" if numbers else text.replace('"', "")
        # Of line separators and their like Vega's parser makes errors.
        line = "".join(each if each.isprintable() else " " for each in plain)
        short = line if len(line) <= most else f"{line[: most - 3].rstrip()}..."
        if short in taken and not numbers:
            short = f"{line[: most - 9].rstrip()}... ({len(found) + 1})"
        taken.add(short)
        found[text] = short
    return found
