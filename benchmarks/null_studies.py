"""Studies of a space in which no choice matters: `python -m benchmarks.null_studies`.

Twenty studies, each of its own composed images: base and trials are the same small network, trained
on each fold with another seed. Prints, as Markdown, what the best trial seems to gain over the
base, what `nested_gain` leaves of it, and how many intervals cover zero; then the same of simulated
studies in which one trial is better by a known amount.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
from scipy.special import ndtri
from torch.nn import functional

from benchmarks.machine import machine
from foldwise.composing.composer import Composer
from foldwise.composing.glyph_set import GlyphSet
from foldwise.composing.settings import Compose
from foldwise.decision.ladder import ablation
from foldwise.scoring.bootstrap import DRAWS, interval
from foldwise.scoring.objective import Objective
from foldwise.sources.glyphs.sets import digits
from foldwise.tuning.fold_sums import FoldSums
from foldwise.tuning.nested import nested_gain

ACCURACY = Objective(name="accuracy")
# Real studies: as the default's images, but so small that 3,060 trainings take minutes.
STUDIES, TRIALS, FOLDS = 20, 50, 3
FIRST_TRIALS = 4
"""Of the same studies, had they ended there."""
FIRST = 1000
"""Seed of the first study; the interval's form was chosen on simulations and other seeds."""
LOOK = Compose(canvas=16, glyphs=(1, 2), size=(14, 16), noise=(0.1, 0.3))
IMAGES, SIDE = 2400, 8
HIDDEN, BATCH, EPOCHS, LR = 32, 40, 10, 1e-2
# Simulated studies.
REPEATS, FEW_TRIALS, FEW_DRAWS = 150, 12, 200
GAINS = (0.0, 0.005, 0.01, 0.02)
"""Of one trial over all others, in accuracy."""
SHAPE = (3000, 5)
"""Images and labels of each."""
BASE, OWN, LUCK = 0.9, 0.7, 0.05
"""Accuracy of the base; what images are to a model, and a training to a fold, as standard
deviations beside that of how hard a label is, 1."""


def composed(glyphs: GlyphSet, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (images, pixels) float32 around 0, and their labels (images, classes)."""
    composer = Composer(glyphs, LOOK, seed, 0)
    found = [composer.compose(index) for index in range(IMAGES)]
    small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image, _ in found]
    images = np.stack(small).reshape(IMAGES, -1).astype(np.float32) / 255 - 0.5
    return images, np.stack([labels for _, labels in found])


def trained(
    images: np.ndarray, labels: np.ndarray, others: np.ndarray, seeds: list[int]
) -> np.ndarray:
    """Labels (seeds, others, classes) int8 of other images, by a network of each seed.

    Networks are trained side by side, but share nothing: each has its own first weights and its own
    order of images.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    sizes = (images.shape[1], HIDDEN, labels.shape[1])
    weights = []
    for inputs, outputs in pairwise(sizes):
        drawn = [torch.randn(inputs, outputs, generator=each) for each in generators]
        weights.append((torch.stack(drawn) * (2 / inputs) ** 0.5).requires_grad_())
        weights.append(torch.zeros(len(seeds), 1, outputs, requires_grad=True))

    def logits(shown: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(torch.baddbmm(weights[1], shown, weights[0]))
        return torch.baddbmm(weights[3], hidden, weights[2])

    optimizer = torch.optim.Adam(weights, LR)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, EPOCHS)
    own, targets = torch.from_numpy(images), torch.from_numpy(labels).float()
    for _ in range(EPOCHS):
        orders = torch.stack([torch.randperm(len(own), generator=each) for each in generators])
        for start in range(0, len(own), BATCH):
            batch = orders[:, start : start + BATCH]
            loss = functional.binary_cross_entropy_with_logits(
                logits(own[batch]), targets[batch], reduction="none"
            )
            optimizer.zero_grad()
            # A sum over networks: none has a part in another's gradient.
            loss.mean((1, 2)).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    with torch.no_grad():
        shown = torch.from_numpy(others).expand(len(seeds), -1, -1)
        return (logits(shown) > 0).numpy().astype(np.int8)


def real_studies() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Labels, (trials, images, classes) predicted ones and folds of each study."""
    glyphs = digits()
    folds = np.arange(IMAGES) % FOLDS
    for study in range(STUDIES):
        images, labels = composed(glyphs, FIRST + study)
        predicted = np.empty((TRIALS + 1, *labels.shape), np.int8)
        for fold in range(FOLDS):
            own = folds == fold
            trials = np.random.SeedSequence((FIRST + study, fold)).generate_state(TRIALS + 1)
            seeds = [int(seed) for seed in trials]
            predicted[:, own] = trained(images[~own], labels[~own], images[own], seeds)
        yield labels, predicted, folds


def simulated(folds: int, gain: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Likewise, the last trial better by a gain: a label is wrong where it is too hard."""
    rng = np.random.default_rng((seed, folds))
    spread = np.sqrt(1 + OWN**2 + LUCK**2)
    means = np.full(FEW_TRIALS + 1, ndtri(BASE) * spread)
    means[-1] = ndtri(BASE + gain) * spread
    groups = np.arange(SHAPE[0]) % folds
    luck = rng.normal(0, LUCK, (len(means), folds, 1))[:, groups]
    hard = rng.normal(0, 1, SHAPE) + rng.normal(0, OWN, (len(means), *SHAPE)) + luck
    right = hard < means[:, None, None]
    return np.ones(SHAPE, np.int8), right.astype(np.int8), groups


def analysed(
    labels: np.ndarray, predicted: np.ndarray, folds: np.ndarray, draws: int, gain: float = 0.0
) -> dict[str, Any]:
    """Of one study: naive and nested gain, and what their intervals say beside the true gain."""
    scores = (predicted == labels).mean((1, 2))
    winner = int(scores.argmax())
    true = gain * (winner == len(predicted) - 1)
    rungs = {"base": [predicted[0]], "winner": [predicted[winner]]}
    naive = ablation(labels, rungs, ACCURACY, draws=draws)["winner"]
    nested = nested_gain(labels, predicted, ACCURACY, folds, draws=draws)
    # Images alone, the choice made anew in each draw.
    sums = FoldSums(labels, predicted, ACCURACY, folds)
    again = [sums.gain(each, sums.choice(each)) for each in sums.drawn(draws)]
    images = interval(nested["value"], np.concatenate(again))
    found: dict[str, Any] = {"winner": winner, "true": true, "score": scores[0]}
    for name, (value, low, high) in {
        "naive": (naive["gain"], naive["gain_low"], naive["gain_high"]),
        "images": (images.value, images.low, images.high),
        "nested": (nested["value"], nested["low"], nested["high"]),
    }.items():
        found |= {
            name: value,
            f"{name}_length": high - low,
            f"{name}_covers": low <= true <= high,
            f"{name}_helps": low > 0,
        }
    return found


def line(title: str, name: str, rows: list[dict[str, Any]]) -> str:
    """Of one kind of gain: smallest, mean, largest, mean length, how many cover and help."""
    values = [row[name] for row in rows]
    cells = [title, *(f"{found:+.4f}" for found in (min(values), np.mean(values), max(values)))]
    cells.append(str(sum(value > 0 for value in values)))
    cells.append(f"{np.mean([row[f'{name}_length'] for row in rows]):.4f}")
    cells += [str(sum(row[f"{name}_{what}"] for row in rows)) for what in ("covers", "helps")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    torch.set_num_threads(1)
    print(f"# What choosing cost\n\n{machine()}\n\n## No choice matters\n")
    rows, early = [], []
    for labels, predicted, folds in real_studies():
        rows.append(analysed(labels, predicted, folds, DRAWS))
        early.append(analysed(labels, predicted[: FIRST_TRIALS + 1], folds, DRAWS))
    print(f"{STUDIES} studies of {TRIALS} trials and the base, {FOLDS} folds of {IMAGES} composed "
          f"images: networks that differ in their seed alone, "
          f"{STUDIES * (TRIALS + 1) * FOLDS:,} trainings. Mean accuracy of the base "
          f"{np.mean([row['score'] for row in rows]):.4f}; the base is best itself in "
          f"{sum(row['winner'] == 0 for row in rows)}.\n")  # fmt: skip
    print("| trials | gain over the base | lowest | mean | highest | above 0 | length of interval "
          "| covers 0 | \"helps\" |\n|---:|---|" + "---:|" * 7)  # fmt: skip
    for trials, found in ((TRIALS, rows), (FIRST_TRIALS, early)):
        print(line(f"{trials} | naive: the best trial's", "naive", found))
        print(line(f"{trials} | nested, interval of images alone", "images", found))
        print(line(f"{trials} | nested", "nested", found), flush=True)
    print("\n## One trial is better\n")
    print(f"Simulated: {FEW_TRIALS} trials and the base, {SHAPE[0]} images of {SHAPE[1]} labels, "
          f"one trial better by so much; {REPEATS} studies each. The true gain is that of the "
          f"trial that is best on all folds.\n")  # fmt: skip
    print("| folds | better by | it is chosen | true gain | naive | nested | images alone: covers "
          "| nested: covers | length | \"helps\" |\n|---:|" + "---:|" * 9)  # fmt: skip
    for number in (3, 5):
        for gain in GAINS:
            studies = [
                analysed(*simulated(number, gain, seed), FEW_DRAWS, gain) for seed in range(REPEATS)
            ]
            mean = {key: np.mean([row[key] for row in studies]) for key in studies[0]}
            chosen = np.mean([row["winner"] == FEW_TRIALS for row in studies])
            cells = [str(number), f"{gain:g}", f"{chosen:.3f}"]
            cells += [f"{mean[key]:+.4f}" for key in ("true", "naive", "nested")]
            cells += [f"{mean[key]:.3f}" for key in ("images_covers", "nested_covers")]
            cells += [f"{mean['nested_length']:.4f}", f"{mean['nested_helps']:.3f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
