"""Beside Optuna's plain use, at equal seconds.

`python -m benchmarks.beside_optuna [seconds] [seeds]`: both search the same space of small networks
on the same composed images. Plainly: Optuna's TPE, each trial trained on two thirds and judged by
the last one, the best taken. As `tune` does it: the base first, successive halving on the first
fold, then all folds, the best out-of-fold taken. Whatever is chosen is trained on every fold anew,
with another seed, and the mean of the folds is judged on test images. Seconds are of the processor,
of one thread. Prints Markdown.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import optuna
import torch
from torch import nn
from torch.nn import functional

from benchmarks.machine import machine
from foldwise.composing.composer import Composer
from foldwise.composing.settings import Compose
from foldwise.core.settings import read_file
from foldwise.evaluation.average_precision import average_precision
from foldwise.scoring.objective import Objective
from foldwise.sources.glyphs.sets import digits
from foldwise.tuning.conclusion import conclude
from foldwise.tuning.halving import rungs
from foldwise.tuning.search import Judge, make_report
from foldwise.tuning.space import Dimension, Space
from foldwise.tuning.study import Study
from foldwise.tuning.trial import Outcome

LOOK = Compose(canvas=24, glyphs=(1, 3), size=(12, 16), noise=(0.1, 0.4))
SIDE, TRAIN, TEST, FOLDS, EPOCHS = 12, 900, 6000, 3, 9
BASE: dict[str, Any] = {
    "lr": 3e-3,
    "train.batch_size": 32,
    "train.weight_decay": 0.01,
    "models.cnn.dropout": 0.0,
    "models.cnn.options": {"widths": [12]},
}
SPACE = {
    "lr": Dimension(log=(3e-4, 1e-1)),
    "train.batch_size": Dimension(int=(8, 128)),
    "train.weight_decay": Dimension(log=(1e-4, 1.0)),
    "models.cnn.dropout": Dimension(uniform=(0.0, 0.6)),
    "models.cnn.options": Dimension(choice=tuple({"widths": [width]} for width in (4, 8, 12, 24))),
}


class Data:
    """Images (images, 1, side, side) and labels (images, classes) of one seed."""

    def __init__(self, seed: int) -> None:
        composer = Composer(digits(), LOOK, seed, 0)
        found = [composer.compose(index) for index in range(TRAIN + TEST)]
        small = [
            cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image, _ in found
        ]
        self.images = torch.from_numpy(np.stack(small)[:, None].astype(np.float32) / 255 - 0.5)
        self.labels = np.stack([labels for _, labels in found]).astype(np.int8)
        self.folds = np.arange(TRAIN) % FOLDS

    def held_out(self, fold: int) -> np.ndarray:
        """Which of all images a fold holds out of training."""
        return np.append(self.folds == fold, np.zeros(TEST, bool))


def network(values: dict[str, Any], classes: int) -> nn.Module:
    width = values["models.cnn.options"]["widths"][0]
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(values["models.cnn.dropout"]),
        nn.Linear(2 * width * (SIDE // 4) ** 2, classes),
    )  # fmt: skip


def epochs_of(
    data: Data, values: dict[str, Any], fold: int, seed: int
) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Trains on all train images but the fold's; after every epoch, what gives logits of images."""
    torch.manual_seed(seed * 100 + fold)
    net = network(values, data.labels.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), values["lr"],
                                  weight_decay=values["train.weight_decay"])  # fmt: skip
    own = np.flatnonzero(data.folds != fold)
    targets = torch.from_numpy(data.labels).float()
    batch = values["train.batch_size"]
    steps = EPOCHS * -(-len(own) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, values["lr"], steps)

    def logits(images: np.ndarray) -> np.ndarray:
        net.eval()
        with torch.no_grad():
            return np.asarray(net(data.images[images]).numpy())

    for _ in range(EPOCHS):
        net.train()
        order = torch.randperm(len(own))
        for start in range(0, len(own), batch):
            rows = own[order[start : start + batch].numpy()]
            loss = functional.binary_cross_entropy_with_logits(
                net(data.images[rows]), targets[rows]
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        yield logits


def whole(data: Data, values: dict[str, Any], fold: int, seed: int) -> Callable[..., np.ndarray]:
    """As `epochs_of`, after the last one."""
    return list(epochs_of(data, values, fold, seed))[-1]


def plainly(data: Data, seed: int, seconds: float) -> tuple[dict[str, Any], float, int]:
    """What Optuna chooses by one hold-out, how good it looks, and how many were tried."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    own, until = data.held_out(0), time.process_time() + seconds
    while time.process_time() < until:
        trial = study.ask()
        values = {key: each.value_of(each.suggest(trial, key)) for key, each in SPACE.items()}
        found = whole(data, values, 0, seed)(own) > 0
        trial.set_user_attr("values", values)
        study.tell(trial, float((found == data.labels[own]).mean()))
    best = study.best_trial
    assert best.value is not None
    return best.user_attrs["values"], best.value, len(study.trials)


def as_tune(data: Data, seed: int, seconds: float) -> tuple[dict[str, Any], float, int, Any]:
    """What `tune` chooses; likewise, and the nested gain."""
    base = read_file(Path("params.yaml"))
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder), Space(base, SPACE), {"seed": seed}, seed)
        until = time.process_time() + seconds
        labels, ids = data.labels[:TRAIN], np.arange(TRAIN).astype(str)

        def run(values: dict[str, Any], report: Callable[..., bool], run_seed: int) -> Outcome:
            predicted = np.zeros_like(labels)
            scores = {}
            for fold in range(FOLDS):
                own = data.held_out(fold)
                for epoch, logits in enumerate(epochs_of(data, values, fold, run_seed), 1):
                    if fold == 0 and epoch in rungs(EPOCHS):
                        scores[epoch] = float(
                            average_precision(data.labels[own], logits(own)).mean()
                        )
                        if report(rungs(EPOCHS).index(epoch), epoch, scores[epoch]):
                            return Outcome("pruned")
                predicted[own[:TRAIN]] = logits(own) > 0
            return Outcome("complete", predicted=predicted, ids=ids, scores=scores)

        first = run(BASE, lambda *_: False, seed)
        assert first.predicted is not None
        judge = Judge(labels, ids, data.folds, Objective(name="accuracy"), first.predicted)
        facts = judge(ids, first.predicted) | {"values": BASE, "seconds": 0.0}
        study.add_base(first, facts["score"], EPOCHS, facts)
        while time.process_time() < until:
            asked = study.ask(10**6)
            assert asked is not None
            outcome = run(asked.values, make_report(study, asked), seed)
            facts = {"seconds": 0.0}
            if outcome.predicted is not None:
                facts |= judge(ids, outcome.predicted)
            study.tell(asked.trial, outcome, facts)
        found = conclude(study, judge, "beside", "none", list(range(FOLDS)))
        number, score = study.best()
        return study.trials[number].user_attrs["values"], score, study.ended(), found.metrics


def on_test(data: Data, values: dict[str, Any], seed: int) -> float:
    """Accuracy of the mean of all folds, trained anew, on test images."""
    test = np.arange(TRAIN, TRAIN + TEST)
    logits = [whole(data, values, fold, seed)(test) for fold in range(FOLDS)]
    mean = torch.sigmoid(torch.from_numpy(np.stack(logits))).mean(0).numpy()
    return float(((mean > 0.5) == data.labels[test]).mean())


def main() -> None:
    seconds, seeds = (int(each) for each in (*sys.argv[1:], *("60", "5")[len(sys.argv) - 1 :]))
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    print(f"{machine()} {seconds} s of search each.\n")
    print("| seed | base: test | plain Optuna: trials | looks | test | tune: trials | looks | "
          "test | nested gain |\n|---:|" + "---:|" * 8)  # fmt: skip
    tested: list[tuple[float, float, float]] = []
    for seed in range(seeds):
        data = Data(seed)
        plain, looks, tried = plainly(data, seed, seconds)
        ours, ours_looks, ours_tried, metrics = as_tune(data, seed, seconds)
        tested.append(tuple(on_test(data, each, 7 + seed) for each in (BASE, plain, ours)))  # type: ignore[arg-type]
        base, theirs, own = tested[-1]
        gain = metrics["nested"]
        print(f"| {seed} | {base:.4f} | {tried} | {looks:.4f} | {theirs:.4f} | {ours_tried} | "
              f"{ours_looks:.4f} | {own:.4f} | {gain['value']:+.4f} [{gain['low']:+.4f}, "
              f"{gain['high']:+.4f}] |", flush=True)  # fmt: skip
    means = [statistics.mean(each) for each in zip(*tested, strict=True)]
    print(f"| mean | {means[0]:.4f} | | | {means[1]:.4f} | | | {means[2]:.4f} | |")


if __name__ == "__main__":
    main()
