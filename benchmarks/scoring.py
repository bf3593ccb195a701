"""Time and memory of scoring 50,000 images x 26 classes, beside the ways it is usually done.

python -m benchmarks.scoring
"""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV

from benchmarks.machine import machine
from foldwise.decision.calibrator import fit_calibrator
from foldwise.decision.class_thresholds import class_thresholds
from foldwise.decision.count_prior import fit_count_weights, map_decision, marginal_decision
from foldwise.ensembling.view_audit import ViewAudit
from foldwise.scoring.bootstrap import DRAWS
from foldwise.scoring.objective import Objective, score
from foldwise.scoring.probability import sigmoid
from foldwise.scoring.thresholds import best_threshold, threshold_curve, threshold_fit

IMAGES, CLASSES, VIEWS, FOLDS, STEPS = 50_000, 26, 4, 5, 100
ACCURACY, MICRO, MACRO = (Objective(name=name) for name in ("accuracy", "micro_f1", "macro_f1"))


def measured(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the fastest of three calls, and the MB that a fourth one holds at most."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(times), peak / 1e6


def grid(labels: np.ndarray, logits: np.ndarray) -> float:
    """The published way: probabilities, then the best of 100 steps."""
    probabilities = sigmoid(logits)
    steps = np.linspace(0, 1, STEPS)
    return max(float(((probabilities >= step) == labels).mean()) for step in steps)


def grid_per_class(labels: np.ndarray, logits: np.ndarray) -> list[float]:
    """The same for every class, by F1."""
    return [
        max(
            score(labels[:, [index]], p[:, None] >= step, MICRO)
            for step in np.linspace(0, 1, STEPS)
        )
        for index, p in enumerate(sigmoid(logits).T)
    ]


def scikit_learn(labels: np.ndarray, logits: np.ndarray) -> Any:
    """Its scorer's loop over 100 thresholds, on all labels as one binary problem."""
    x, y = logits.reshape(-1, 1), labels.ravel()
    fitted = LogisticRegression().fit(x[:1000], y[:1000])
    tuner = TunedThresholdClassifierCV(
        fitted, scoring="accuracy", thresholds=STEPS, cv="prefit", refit=False
    )
    return tuner.fit(x, y)


def main() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((IMAGES, CLASSES)) < 0.46).astype(np.int8)
    folds = np.arange(IMAGES) % FOLDS
    views = np.stack(
        [2 * labels - 0.8 + rng.normal(scale=1.5, size=labels.shape) for _ in range(VIEWS)]
    ).astype(np.float32)
    logits = views[0]
    weights = fit_count_weights(labels, logits)

    def audit(select: bool) -> Any:
        found = ViewAudit(
            labels, views, folds, "mean_probability", ACCURACY, threshold_fit(ACCURACY, False)
        )
        found.table(["a", "b", "c", "d"], 0)
        return found.select_cross_fitted() if select else None

    calls: dict[str, Callable[[], Any]] = {
        "global threshold, exact: accuracy": lambda: best_threshold(
            threshold_curve(labels, logits, ACCURACY)
        ),
        **{
            f"global threshold, exact: {each.name}": lambda each=each: best_threshold(  # type: ignore[misc]  # mypy infers no default of a lambda
                threshold_curve(labels, logits, each)
            )
            for each in (MICRO, MACRO, Objective(name="sample_f1"))
        },
        "grid of 100 steps (numpy): accuracy": lambda: grid(labels, logits),
        "TunedThresholdClassifierCV, 100 steps: accuracy": lambda: scikit_learn(labels, logits),
        "per class, exact: accuracy": lambda: class_thresholds(labels, logits, ACCURACY),
        "per class, exact: macro F1": lambda: class_thresholds(labels, logits, MACRO),
        "per class, exact: micro F1": lambda: class_thresholds(labels, logits, MICRO),
        "per class, ascent: exact match": lambda: class_thresholds(
            labels, logits, Objective(name="exact_match")
        ),
        "grid of 100 steps per class (numpy): F1": lambda: grid_per_class(labels, logits),
        "count prior: weights": lambda: fit_count_weights(labels, logits),
        "count prior: most labels right": lambda: marginal_decision(logits, weights),
        "count prior: likeliest set": lambda: map_decision(logits, weights),
        f"audit of {VIEWS} views, {DRAWS} draws": lambda: audit(select=False),
        f"audit of {VIEWS} views, {DRAWS} draws, and selection": lambda: audit(select=True),
        **{
            f"calibration: {method}": lambda method=method: fit_calibrator(  # type: ignore[misc]  # mypy infers no default of a lambda
                labels, logits, method, False
            )
            for method in ("temperature", "class_temperature", "platt", "isotonic")
        },
    }
    print(machine())
    print(f"\n| {IMAGES:,} images x {CLASSES} classes | seconds | peak MB |\n|---|---|---|")
    for name, call in calls.items():
        seconds, peak = measured(call)
        print(f"| {name} | {seconds:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
