"""What a study leaves, made up but in agreement, and the page that shows it."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.core.files import write_plot
from foldwise.report.study_record import TRIAL_COLUMNS, read_study_record
from foldwise.report.tuning import TuningSection, tuning_section
from stages import present

FILES = ("metrics/tune.json", *(f"plots/tune{each}.csv" for each in ("", "_rungs", "_importances")))
RUNGS = ("trial", "step", "epochs", "folds", "score")
IMPORTANCES = ("key", "importance")
VIEWS = (
    ["identity"],
    ["identity", "hflip"],
    ["identity", "rot90", "rot180", "rot270"],
    ["identity", "shift(1, 0)", "shift(0, 1)", "shift(-1, 0)", "shift(0, -1)", "hflip", "vflip"],
)
LOSSES = ("multilabel_soft_margin", "bce", "asymmetric")


def write_no_study(folder: Path) -> None:
    """What is committed where there was none."""
    (folder / "metrics/tune.json").write_text("{}\n")
    for name, columns in (
        ("tune", TRIAL_COLUMNS),
        ("tune_rungs", RUNGS),
        ("tune_importances", IMPORTANCES),
    ):
        (folder / f"plots/{name}.csv").write_text(",".join(columns) + "\n")


def write_study(folder: Path, trials: int = 30, more_keys: int = 0) -> dict[str, Any]:
    """Write a study of four keys and a base into a run's folder; what metrics/tune.json has.

    A third of the trials is complete, one in twenty failed, the others were pruned. The dropout is
    drawn only with the first loss.

    Args:
        folder: the repository's root, with `metrics` and `plots`.
        trials: the base among them.
        more_keys: numeric keys beside the four.
    """
    rng = np.random.default_rng(3)
    params: list[dict[str, Any]] = [{}]
    rows: list[dict[str, Any]] = []
    rungs: list[dict[str, Any]] = []
    for trial in range(trials):
        if trial:
            params.append(_drawn(rng, more_keys))
        own = params[trial]
        lr = np.log10(own.get("lr", 3e-3))
        worth = 0.92 - 0.012 * (lr + 2.2) ** 2 + 0.004 * (own.get("train.loss") == "asymmetric")
        worth += 0.002 * len(own.get("tta.views", [])) ** 0.5 + float(rng.normal(0, 0.002))
        reached = _rungs(rng, trial, worth, rungs)
        state = "complete" if trial == 0 or reached == 9 else "pruned"
        if trial and trial % 17 == 0:
            state = "failed"
        score = worth if state == "complete" else None
        seconds = 33.3 * reached + 5 * len(own.get("tta.views", []))
        epochs = reached * (3 if state == "complete" else 1)
        rows.append({"trial": trial, "state": state, "score": score, "seconds": seconds}
                    | {"epochs": epochs})  # fmt: skip
        if state == "complete":
            rungs.append({"trial": trial, "step": 3, "epochs": 27, "folds": 3, "score": worth})
    table = _compared(pd.DataFrame(rows))
    for key in list(dict.fromkeys(key for own in params for key in own)):
        table[key] = [_cell(own[key]) if key in own else None for own in params]
    keys = list(table.columns[len(TRIAL_COLUMNS) :])
    shares = dict(zip(keys, (0.5 ** (1 + n) for n in range(len(keys))), strict=True))
    content = _content(table, params, shares)
    (folder / "metrics/tune.json").write_text(json.dumps(content))
    write_plot(folder / "plots/tune_rungs.csv", pd.DataFrame(rungs, columns=RUNGS))
    write_plot(
        folder / "plots/tune_importances.csv", pd.DataFrame(shares.items(), columns=IMPORTANCES)
    )
    table.to_csv(folder / "plots/tune.csv", index=False)
    return content


def _drawn(rng: np.random.Generator, more_keys: int) -> dict[str, Any]:
    own: dict[str, Any] = {
        "lr": float(10 ** rng.uniform(-5, -1.5)),
        "train.loss": str(rng.choice(LOSSES)),
        "tta.views": VIEWS[rng.integers(len(VIEWS))],
    }
    if own["train.loss"] == LOSSES[0]:
        own["models.cnn.dropout"] = float(rng.uniform(0, 0.5))
    return own | {
        f"train.loss_options.weight_of_{each}": float(rng.uniform(0, 1))
        for each in range(more_keys)
    }


def _rungs(rng: np.random.Generator, trial: int, worth: float, rungs: list[dict[str, Any]]) -> int:
    """Epochs of the first fold that a trial reaches: 1, 3 or 9; each is a row of `rungs`."""
    reached = 9 if trial in (0, 1) or rng.random() < (worth > 0.915) * 0.9 else 1
    if reached == 1 and rng.random() < 0.4:
        reached = 3
    for step, epochs in enumerate((1, 3, 9)):
        if epochs <= reached:
            score = worth - 0.1 / epochs + float(rng.normal(0, 0.003))
            rungs.append(
                {"trial": trial, "step": step, "epochs": epochs, "folds": 1, "score": score}
            )
    return reached


def _compared(table: pd.DataFrame) -> pd.DataFrame:
    """With intervals, gains over the base, the best so far, and what is as good as the best."""
    score = table["score"].astype(float)
    gain = score - score[0]
    return table.assign(
        low=score - 0.004, high=score + 0.004, best=score.cummax().ffill(), gain=gain,
        gain_low=gain - 0.002 * (gain != 0), gain_high=gain + 0.002 * (gain != 0),
        within_noise=(score > score.max() - 0.004).astype(object).where(score.notna(), None),
    )[list(TRIAL_COLUMNS)]  # fmt: skip


def _cell(value: Any) -> Any:
    return value if isinstance(value, float) else json.dumps(value)


def _content(
    table: pd.DataFrame, params: list[dict[str, Any]], shares: dict[str, float]
) -> dict[str, Any]:
    best = int(table["score"].astype(float).argmax())
    row = table.iloc[best]
    gain = float(row["gain"])
    within = table[table["within_noise"].isin([True])]
    cheap = within.iloc[int(within["seconds"].argmin())]
    return {
        "study": "lr-and-loss",
        "objective": "accuracy",
        "base": "3f2a91c0aabbccddeeff00112233445566778899",
        "trials": {
            each: int((table["state"] == each).sum()) for each in ("complete", "pruned", "failed")
        },
        "seconds": 3456.7,
        "winner": {
            "trial": int(row["trial"]),
            "params": params[best],
            "score": float(row["score"]),
            "gain": {"value": gain, "low": gain - 0.002, "high": gain + 0.002, "verdict": "helps"},
        },
        "nested": {
            "value": gain / 2,
            "low": gain / 2 - 0.004,
            "high": gain / 2 + 0.004,
            "verdict": "within noise",
        },
        "within_noise": [int(each) for each in within["trial"]],
        "cheapest": {"trial": int(cheap["trial"]), "seconds": float(cheap["seconds"])},
        "importances": shares,
    }


def section_of(folder: Path, own: Any = None) -> TuningSection:
    record = read_study_record(*(folder / each for each in FILES))
    assert record
    return tuning_section(record, own)


def page_made_in(folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        present.main()
    return (folder / "plots/report.html").read_text(encoding="utf-8")


def rows_of(folder: Path) -> list[dict[str, str]]:
    """The table of trials, by no library of ours."""
    with (folder / "plots/tune.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def specs(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1])["specs"])


def rows_with(spec: dict[str, Any], *columns: str) -> list[dict[str, Any]]:
    """The rows of the spec's table that has these columns."""
    return next(rows for rows in spec["datasets"].values() if {*columns} <= rows[0].keys())


def edit_study(folder: Path, edit: Any, **columns: Any) -> None:
    """Edit tune.json, and columns of the table of trials."""
    content = json.loads((folder / FILES[0]).read_text())
    edit(content)
    (folder / FILES[0]).write_text(json.dumps(content))
    table = pd.read_csv(folder / FILES[1], dtype=str, keep_default_na=False)
    table.assign(**columns).to_csv(folder / FILES[1], index=False)
