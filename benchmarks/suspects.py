"""Are planted label errors among the suspected ones? `python -m benchmarks.suspects FOLDER`

Clones this repository's HEAD to FOLDER, fetches the data set of params.yaml, makes some labels of
its train part wrong (image-class pairs drawn with a seed, flipped), and reproduces the pipeline
there. A FOLDER that holds such a run is only looked at.

It prints, as Markdown, how many planted errors are among the first of each ranking, beside those
that a random list would hold; what they cost the test part's macro AP, beside the run that HEAD has
committed; and the same rankings for images of one label: scikit-learn's digits by a logistic
regression.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import machine
from benchmarks.planted import PLANTED, SHARE, reproduce
from foldwise.decision.decision import Decision
from foldwise.report.label_errors import label_quality, suspected_errors
from foldwise.scoring.probability import sigmoid

FIRST = (100, 200, 500)
DIGITS_FIRST, DIGITS_SEEDS = (27, 54), 6

Ranking = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From labels (images,) and probabilities (images, classes) to qualities (images,)."""


def by_score(method: str, adjust: bool = False) -> Ranking:
    """One of cleanlab's scores."""
    return lambda given, p: get_label_quality_scores(
        given, p, method=method, adjust_pred_probs=adjust
    )


def by_filter(given: np.ndarray, p: np.ndarray) -> np.ndarray:
    """What confident learning finds, then the rest; both by self-confidence."""
    found = find_label_issues(given, p, filter_by="confident_learning", n_jobs=1)
    return get_label_quality_scores(given, p) + ~found


RANKINGS: dict[str, Ranking] = {
    "self-confidence": by_score("self_confidence"),
    "normalized margin": by_score("normalized_margin"),
    "confidence-weighted entropy": by_score("confidence_weighted_entropy"),
    "self-confidence, adjusted": by_score("self_confidence", adjust=True),
    "normalized margin, adjusted": by_score("normalized_margin", adjust=True),
    "confident learning, then self-confidence": by_filter,
}


def found_among(quality: np.ndarray, wrong: np.ndarray, first: tuple[int, ...]) -> list[float]:
    """How many are wrong among the first so many; areas under precision-recall and ROC curve."""
    order = np.argsort(quality, kind="stable")
    counts = [float(wrong[order[:each]].sum()) for each in first]
    return [*counts, average_precision_score(wrong, -quality), roc_auc_score(wrong, -quality)]


def print_table(rows: dict[str, list[float]], first: tuple[int, ...], all: int, wrong: int) -> None:
    """Rankings beside a random one."""
    chance = [each * wrong / all for each in first] + [wrong / all, 0.5]
    heads = [f"of first {each}" for each in first] + ["average precision", "ROC AUC"]
    print(f"\n| ranking | {' | '.join(heads)} |\n|---{'|--:' * len(heads)}|")
    for name, row in {**rows, "chance": chance}.items():
        counts = [f"{each:.1f}".removesuffix(".0") for each in row[: len(first)]]
        areas = [f"{each:.4f}" for each in row[len(first) :]]
        print(f"| {name} | {' | '.join(counts + areas)} |")


def report(folder: Path) -> None:
    """What the rankings find in a run on planted errors, and what these cost."""
    classes = pd.read_json(folder / "data/dataset.json", typ="series")["classes"]
    with np.load(folder / "data/ensemble.npz") as ensemble:
        ids, logits = ensemble["oof_id"].tolist(), ensemble["oof_logits"]
    decision = json.loads((folder / "data/decision.json").read_text())
    logits = Decision.from_json(decision).calibrator(logits)
    labels = pd.read_parquet(folder / "data/labels.parquet").set_index("id")
    given = labels.loc[ids, classes].to_numpy(np.int8)
    planted = pd.read_csv(folder / PLANTED, dtype={"id": str, "class": str})
    position = {id: row for row, id in enumerate(ids)}
    wrong = np.zeros(given.shape, bool)
    wrong[planted["id"].map(position), planted["class"].map(classes.index)] = True

    print(f"{wrong.sum()} of {wrong.size} pairs planted: {(given[wrong] == 0).sum()} labels gone,")
    print(f"{(given[wrong] == 1).sum()} added.")
    listed = suspected_errors(given, logits, single=False, most=max(FIRST))
    hits = wrong[listed["row"], listed["class_index"]]
    precision = ", ".join(f"{hits[:each].mean():.1%} of the first {each}" for each in FIRST)
    print(f"`suspected_errors`: {precision} were planted.")
    p = np.stack([sigmoid(-logits), sigmoid(logits)], -1)
    rows = {"`label_quality`": label_quality(given, logits, single=False)}
    for name, ranking in RANKINGS.items():
        columns = [ranking(given[:, i], p[:, i]) for i in range(len(classes))]
        rows[name] = np.stack(columns, 1)
    found = {name: found_among(each.ravel(), wrong.ravel(), FIRST) for name, each in rows.items()}
    print_table(found, FIRST, wrong.size, int(wrong.sum()))

    clean = subprocess.run(
        ["git", "show", "HEAD:metrics/summary.json"], cwd=folder, check=True, capture_output=True
    )
    runs = {
        "as committed": json.loads(clean.stdout),
        "with planted errors": json.loads((folder / "metrics/summary.json").read_text()),
    }
    print("\n| labels of the train part | test macro AP | test accuracy |\n|---|--:|--:|")
    for name, content in runs.items():
        print(f"| {name} | {figure(content, 'macro_ap')} | {figure(content, 'accuracy')} |")


def figure(summary: Any, name: str) -> str:
    """A figure of the test part, whether it has an interval or not."""
    value = summary["test"][name]
    return f"{value['value'] if isinstance(value, dict) else value:.4f}"


def report_digits() -> None:
    """The rankings for images of one label: means over some draws of planted errors."""
    pixels, truth = load_digits(return_X_y=True)
    count = round(SHARE * len(truth))
    rows: dict[str, list[list[float]]] = {name: [] for name in RANKINGS}
    for seed in range(DIGITS_SEEDS):
        random = np.random.default_rng(seed)
        drawn = random.permutation(len(truth))[:count]
        given = truth.copy()
        given[drawn] = (truth[drawn] + random.integers(1, 10, count)) % 10
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        p = cross_val_predict(model, pixels, given, method="predict_proba", cv=folds)
        for name, ranking in RANKINGS.items():
            rows[name].append(found_among(ranking(given, p), given != truth, DIGITS_FIRST))
    print(f"\nDigits, one label per image: {count} of {len(truth)} labels planted,")
    print(f"means of {DIGITS_SEEDS} draws.")
    means = {name: np.mean(each, 0).tolist() for name, each in rows.items()}
    print_table(means, DIGITS_FIRST, len(truth), count)


def main(folder: Path) -> None:
    if not (folder / PLANTED).exists():
        reproduce(folder)
    print(machine())
    report(folder)
    report_digits()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
