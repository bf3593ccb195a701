"""The section of a report on the search that chose its settings."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from foldwise.charts.style import readable
from foldwise.params import value_at
from foldwise.report.figures import Figure
from foldwise.report.study_figures import ordered_keys, study_figures
from foldwise.report.study_record import StudyGain, StudyRecord, short_texts
from foldwise.revisions import shown

MOST_TRIALS = 500
"""Trials that charts and tables show."""


@dataclass(frozen=True)
class TuningSection:
    """What a page says of a search."""

    lead: str
    lines: list[str]
    """What else is to be known, a sentence each."""
    figures: dict[str, list[Figure]]
    """`overview`, `keys`."""
    keys: list[tuple[str, str]]
    """Of the table's last columns: the whole name and the short one."""
    within: list[dict[str, Any]]
    """Trials within noise of the winner, the best first."""
    every: list[dict[str, Any]]
    """All trials, in order."""


def tuning_section(record: StudyRecord, own: Any) -> TuningSection:
    """What a page says of a search.

    Args:
        record: of the search.
        own: what params.yaml holds now.
    """
    trials, values, lines = _shown_trials(record)
    written = values.apply(lambda column: column.map(short_texts(column.tolist())))
    objective = readable(record.outcome.objective)
    keys, more = ordered_keys(record)
    if more:
        lines.append(f"Charts show {len(keys)} of {len(keys) + more} keys, the most important.")
    trials = trials.assign(
        params=[_in_words(row) for row in written.to_dict("records")],
        winner=trials["trial"] == record.outcome.winner.trial,
    )
    figures, below = study_figures(record, trials, values, keys, objective)
    rows = _trial_rows(record, trials, values, written)
    within = [each for each in rows if each["within"]]
    return TuningSection(
        lead=_first_sentences(record),
        lines=[*_study_lines(record, own, len(within)), *below, *lines],
        figures=figures,
        keys=list(short_texts(list(values.columns), 40).items()),
        within=sorted(within, key=lambda row: -row["score"]),
        every=rows,
    )


def _shown_trials(record: StudyRecord) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Trials and values that are shown, and what is said of the others."""
    trials = record.trials
    if len(trials) <= MOST_TRIALS:
        return trials, record.values, []
    named = trials["trial"].isin([0, record.outcome.winner.trial])
    if record.outcome.cheapest:
        named |= trials["trial"] == record.outcome.cheapest.trial
    # The best; those without a score come last, in order.
    order = trials.assign(named=named).sort_values(
        ["named", "score"], ascending=False, kind="stable"
    )
    kept = order.index[:MOST_TRIALS].sort_values()
    line = f"{MOST_TRIALS:,} of {len(trials):,} trials are shown, those with the best scores first."
    return (
        trials.loc[kept].reset_index(drop=True),
        record.values.loc[kept].reset_index(drop=True),
        [line],
    )


def _in_words(row: dict[str, str]) -> str:
    said = ", ".join(f"{key} {text}" for key, text in row.items() if text)
    return f"{said[:237]}..." if len(said) > 240 else said or "the base"


def _first_sentences(record: StudyRecord) -> str:
    outcome = record.outcome
    winner = outcome.winner
    counts = ", ".join(f"{count:,} {state}" for state, count in outcome.trials.items())
    of = f"Of {sum(outcome.trials.values()):,} trials ({counts})"
    best = f"the best out-of-fold {readable(outcome.objective)}, {winner.score:.4f}"
    elsewhere = "What the test part says of this run stands under Results and in the ladder."
    base = f"the base, {shown(outcome.base)},"
    if winner.trial == 0:
        return f"{of} none beats {base} which has {best}. {elsewhere}"
    texts = {key: _as_text(value) for key, value in winner.params.items()}
    short = short_texts(list(texts.values()), 60)
    shares = record.importances.drop_duplicates("key").set_index("key")["importance"]
    ordered = sorted(texts, key=lambda key: -shares.get(key, 0.0))
    said = _first_of([f"{key} {short[texts[key]]}" for key in ordered])
    nested = "what that choice cost is not known"
    if outcome.nested:
        nested = f"with what that choice cost taken off, {_gain_in_words(outcome.nested)}"
    return (
        f"{of} trial {winner.trial} ({said}) has {best}. Its gain over {base} is "
        f"{_gain_in_words(winner.gain)} if one forgets that it was chosen for its score; {nested}. "
        f"{elsewhere}"
    )


def _first_of(texts: list[str], most: int = 4) -> str:
    """Those that a sentence has room for.

    >>> _first_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _gain_in_words(gain: StudyGain) -> str:
    return f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] ({gain.verdict})"


def _study_lines(record: StudyRecord, own: Any, within: int) -> list[str]:
    outcome = record.outcome
    found = []
    if outcome.cheapest:
        seconds = record.trials.set_index("trial")["seconds"].get(outcome.winner.trial, np.nan)
        beside = f"; the winner took {seconds:,.0f} s" if np.isfinite(seconds) else ""
        cheapest = "the base" if outcome.cheapest.trial == 0 else f"trial {outcome.cheapest.trial}"
        count = len(outcome.within_noise)
        are = "trial is" if count == 1 else "trials are"
        found.append(
            f"{count:,} {are} within noise of the winner, which is among them; the cheapest is "
            f"{cheapest} with {outcome.cheapest.seconds:,.0f} s{beside}."
        )
    found.append(f"Study {outcome.study}, {outcome.seconds / 60:,.0f} minutes in all.")
    if changed := keys_not_as_drawn(outcome.winner.params, own):
        verb = "differs" if len(changed) == 1 else "differ"
        found.append(f"This page's run is not the winner's: {_first_of(changed)} {verb}.")
    return found


def keys_not_as_drawn(params: dict[str, Any], own: Any) -> list[str]:
    """Keys whose values are others in params.yaml than they were drawn.

    >>> own = {"lr": "1e-1", "train": {"loss": "focal"}}
    >>> keys_not_as_drawn({"lr": 0.1, "train.loss": "bce", "recipe": "recipes/a.yaml"}, own)
    ['train.loss']
    """
    return [
        key
        for key, value in params.items()
        # A recipe is many keys, which a searched one may have changed.
        if key != "recipe" and not _as_drawn(value, value_at(own, key))
    ]


def _as_drawn(drawn: Any, own: Any) -> bool:
    if isinstance(drawn, float) and isinstance(own, str | int | float):
        # PyYAML reads 1e-06 as text.
        try:
            return bool(np.isclose(drawn, float(own), rtol=1e-9, atol=0))
        except ValueError:
            return False
    return bool(drawn == own)


def _trial_rows(
    record: StudyRecord, trials: pd.DataFrame, values: pd.DataFrame, written: pd.DataFrame
) -> list[dict[str, Any]]:
    """What tables hold of each trial; None where there is nothing."""
    within = set(record.outcome.within_noise)
    cheapest = record.outcome.cheapest
    found = []
    for number, row in enumerate(trials.to_dict("records")):
        numbers = {
            name: None if np.isnan(row[name]) else float(row[name])
            for name in ("score", "low", "high", "best", "gain", "gain_low", "gain_high", "seconds")
        }
        found.append(
            numbers
            | {
                "trial": row["trial"],
                "state": row["state"],
                "winner": bool(row["winner"]),
                "within": row["trial"] in within and row["state"] == "complete",
                "cheapest": cheapest is not None and cheapest.trial == row["trial"],
                "epochs": None if np.isnan(row["epochs"]) else f"{row['epochs']:g}",
                "params": row["params"],
                "values": list(zip(written.iloc[number], values.iloc[number], strict=True)),
            }
        )
    return found
