"""Promises over many data sets: `python -m benchmarks.guarantees`.

Simulated logits, and the default's out-of-fold ones (data/ensemble.npz), are divided at random
200 times: bounds are fitted on one part, and judged by the other. Prints, as Markdown, how often
recall and precision fall short of what was promised, beside a threshold tuned to the same recall
without a promise.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.machine import machine
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.decision.calibrator import fit_calibrator
from foldwise.decision.guarantee import fit_bounds, kept
from foldwise.decision.risk_control import missed_labels
from foldwise.decision.settings import Guarantee

DIVISIONS = 200
FITTED = 300
"""Images that bounds are fitted on."""
LATER = 20_000
"""Simulated images that they are judged by."""
PROMISED = {"recall": 0.95, "precision": 0.9}
CONFIDENCE = 0.9

Labelled = tuple[np.ndarray, np.ndarray]


def simulated() -> Iterator[tuple[Labelled, Labelled]]:
    """Six classes, overconfident logits; new ones every time."""
    for seed in range(DIVISIONS):
        rng = np.random.default_rng(seed)
        labels = (rng.random((FITTED + LATER, 6)) < 0.3).astype(np.int8)
        logits = (3.0 * (2 * labels - 1) + rng.normal(0, 3, labels.shape)).astype(np.float32)
        yield (labels[:FITTED], logits[:FITTED]), (labels[FITTED:], logits[FITTED:])


def divided(labels: np.ndarray, logits: np.ndarray) -> Iterator[tuple[Labelled, Labelled]]:
    """Images of a run, of which some are fitted on."""
    for seed in range(DIVISIONS):
        order = np.random.default_rng(seed).permutation(len(labels))
        own, others = order[:FITTED], order[FITTED:]
        yield (labels[own], logits[own]), (labels[others], logits[others])


def tuned(labels: np.ndarray, logits: np.ndarray, recall: float) -> float:
    """The highest threshold that reaches a recall on these images themselves."""
    loss = missed_labels(labels, logits)
    candidates = np.unique(loss.scores)
    return float(candidates[loss.at(candidates) <= 1 - recall + 1e-12][-1])


def promised(own: Labelled, others: Labelled, settings: Guarantee) -> dict[str, float] | None:
    """How well a promise is kept, or None where it is refused."""
    try:
        bounds = fit_bounds(*own, settings, single=False)
    except UserError:
        return None
    labels, logits = others
    return kept(labels, bounds.possible_labels(logits), bounds.certain_labels(logits))


def row(title: str, pairs: Iterator[tuple[Labelled, Labelled]]) -> str:
    """How often promises were refused and broken, and what came out on average."""
    found: dict[str, list[dict[str, float] | None]] = {"recall": [], "precision": []}
    missed = 0
    for (labels, logits), (other_labels, other_logits) in pairs:
        calibrator = fit_calibrator(labels, logits, "temperature", False)
        own, others = (labels, calibrator(logits)), (other_labels, calibrator(other_logits))
        for name, limit in PROMISED.items():
            settings = Guarantee.model_validate({name: limit, "confidence": CONFIDENCE})
            found[name].append(promised(own, others, settings))
        plain = np.array(tuned(*own, PROMISED["recall"]))
        missed += 1 - float(missed_labels(*others).at(plain)) < PROMISED["recall"]
    cells = [title, f"{missed / DIVISIONS:.3f}"]
    for name, also in (("recall", "possible_per_image"), ("precision", "with_certain")):
        given = [each for each in found[name] if each is not None]
        broken = sum(each[name] < PROMISED[name] for each in given) / DIVISIONS
        cells += [f"{1 - len(given) / DIVISIONS:.3f}", f"{broken:.3f}"]
        cells += [f"{np.mean([each[key] for each in given]):.3f}" for key in (name, also)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    ensemble = files.read_arrays(files.ENSEMBLE, "ensemble")
    classes = files.read_dataset()["classes"]
    labels = files.labels_of(ensemble["oof_id"], classes).to_numpy(np.int8)
    # The share that one in ten may exceed by chance, in two standard errors.
    most = 0.1 + 2 * np.sqrt(0.1 * 0.9 / DIVISIONS)
    print(f"# Guarantees\n\n{machine()}\n")
    print(f"Recall {PROMISED['recall']}, precision {PROMISED['precision']}, each with confidence "
          f"{CONFIDENCE}; fitted on {FITTED} images, {DIVISIONS} divisions. A promise may be "
          f"broken in 0.1 of them, by chance in up to {most:.3f}.\n")  # fmt: skip
    print("| data | tuned recall missed | recall: refused | broken | recall | possible labels "
          "| precision: refused | broken | precision | with certain ones |")  # fmt: skip
    print("|---|" + "---:|" * 9)
    print(row(f"simulated, {LATER} later images", simulated()), flush=True)
    later = len(labels) - FITTED
    print(row(f"the default's, {later} other images", divided(labels, ensemble["oof_logits"])))


if __name__ == "__main__":
    main()
