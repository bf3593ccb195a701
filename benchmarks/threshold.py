"""Time of the exact threshold beside a 100-step grid, on 50,000 images x 26 classes.

    python -m benchmarks.threshold

Both look at the same logits in the same run; the exact search considers every distinct score.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

from stages.scoring.probability import sigmoid
from stages.scoring.threshold import best_threshold, cross_fitted, score_at, threshold_curve

IMAGES, CLASSES, ROUNDS = 50_000, 26, 5


def seconds(call: Callable[[], object]) -> float:
    """Median over some rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def grid(logits: np.ndarray, labels: np.ndarray) -> float:
    """The published way: probabilities, then the best of 100 steps."""
    probabilities = sigmoid(logits)
    steps = np.linspace(0, 1, 100)
    return max(float(((probabilities >= step) == labels).mean()) for step in steps)


def main() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((IMAGES, CLASSES)) < 0.46).astype(np.int8)
    logits = (2 * labels - 0.8 + rng.normal(scale=1.5, size=labels.shape)).astype(np.float32)
    folds = np.arange(IMAGES) % 5
    exact = seconds(lambda: best_threshold(threshold_curve(logits, labels, "accuracy")))
    crossed = seconds(lambda: cross_fitted(logits, labels, folds, "accuracy"))
    stepped = seconds(lambda: grid(logits, labels))
    best = best_threshold(threshold_curve(logits, labels, "accuracy"))
    print(f"| {IMAGES} x {CLASSES} scores | seconds | ratio to grid | accuracy |")
    print("|---|---|---|---|")
    score = score_at(logits, labels, best, "accuracy")
    print(f"| exact, every candidate | {exact:.2f} | {exact / stepped:.2f} | {score:.6f} |")
    print(f"| cross-fitted over 5 folds | {crossed:.2f} | {crossed / stepped:.2f} | |")
    print(f"| grid of 100 steps | {stepped:.2f} | 1 | {grid(logits, labels):.6f} |")


if __name__ == "__main__":
    main()
