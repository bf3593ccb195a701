"""Promises over many data sets: `python -m benchmarks.guarantees`.

Simulated logits, and the default's out-of-fold ones (data/ensemble.npz), are divided at random
200 times: bounds are fitted on one part, and judged by the other. Prints, as Markdown, how often
recall, precision and cost fall short of what was promised, beside a threshold tuned to the same
recall, or the cheapest one, without a promise.
"""

from collections.abc import Iterator

import numpy as np

from benchmarks.machine import machine
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.decision.calibrator import fit_calibrator
from foldwise.decision.cost_control import STEP, STEPS, costs_over_thresholds
from foldwise.decision.guarantee import fit_bounds, promises_kept
from foldwise.decision.risk_control import missed_labels
from foldwise.decision.settings import Guarantee

DIVISIONS = 200
FITTED = 300
"""Images that bounds are fitted on."""
LATER = 6_000
"""Simulated images that they are judged by."""
PROMISED = {"recall": 0.95, "precision": 0.9}
CONFIDENCE = 0.9
PRICES = {"false_negative": 5.0, "false_positive": 1.0}
LIMITS = {"simulated": (0.3, 0.32, 0.42, 0.5), "the default's": (0.21, 0.22, 0.28, 0.32)}
"""Costs that are promised: less than any threshold costs, and more and more than the cheapest."""

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
    return promises_kept(bounds, labels, logits)


def row(title: str, pairs: list[tuple[Labelled, Labelled]]) -> str:
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


def cheapest(labels: np.ndarray, logits: np.ndarray, settings: Guarantee) -> float:
    """The cheapest of the thresholds that are tested, on these images themselves."""
    assert settings.costs is not None
    thresholds = settings.costs.threshold + STEP * np.arange(-STEPS, STEPS + 1)
    each = costs_over_thresholds(labels, logits, thresholds, settings.costs)
    return float(thresholds[each.mean(0).argmin()])


def cost_rows(title: str, pairs: list[tuple[Labelled, Labelled]], limits: tuple[float, ...]) -> str:
    """How often a cost was refused, and exceeded, with a promise and without one."""
    lines = []
    for limit in limits:
        settings = Guarantee.model_validate({"cost": limit, "confidence": CONFIDENCE} | PRICES)
        assert settings.costs is not None
        found, plain = [], 0
        for (labels, logits), (other_labels, other_logits) in pairs:
            calibrator = fit_calibrator(labels, logits, "temperature", False)
            own, others = (labels, calibrator(logits)), (other_labels, calibrator(other_logits))
            each = promised(own, others, settings)
            found += [] if each is None else [each]
            at = np.array([cheapest(*own, settings)])
            plain += costs_over_thresholds(*others, at, settings.costs).mean() > limit
        broken = sum(each["cost"] > limit for each in found) / DIVISIONS
        cells = [f"{1 - len(found) / DIVISIONS:.3f}", f"{broken:.3f}"]
        for key in ("cost", "labels_per_image"):
            cells.append(f"{np.mean([each[key] for each in found]):.3f}" if found else "")
        lines.append(f"| {title} | {limit:g} | {plain / DIVISIONS:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
    data = {"simulated": list(simulated())}
    data["the default's"] = list(divided(labels, ensemble["oof_logits"]))
    for name, pairs in data.items():
        others = "later" if name == "simulated" else "other"
        print(row(f"{name}, {len(pairs[0][1][0])} {others} images", pairs), flush=True)
    print(f"\nA missed label costs {PRICES['false_negative']:g}, a wrongly added one "
          f"{PRICES['false_positive']:g}; per image and class:\n")  # fmt: skip
    print("| data | promised cost | exceeded by the cheapest threshold | refused | broken | cost "
          "| labels |")  # fmt: skip
    print("|---|" + "---:|" * 6)
    for name, pairs in data.items():
        print(cost_rows(name, pairs, LIMITS[name]), flush=True)


if __name__ == "__main__":
    main()
