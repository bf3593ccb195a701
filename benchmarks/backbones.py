"""What each trick of training gains, switched on alone: `python -m benchmarks.backbones STUDY PATH`

STUDY is one of `benchmarks/tricks.py`: glyphs (which needs no PATH), caltech, voc, caltech-frozen
and voc-frozen; PATH is what `data.path` would be. A base recipe is trained and, one after the
other, the same with one thing changed. What is done is kept in `.benchmarks/` and not done again.

`python -m benchmarks.backbones` prints all that is kept as Markdown: the gain out-of-fold with its
paired 95 % interval, and the processor's seconds of training.

The test part is never looked at. Where images have several labels, they are given by one threshold
for all classes, fitted to the other fold, or to other fifths of a single one.
"""

import datetime
import hashlib
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.machine import machine
from benchmarks.tricks import DATA, DEFAULT, ROOT, STUDIES, Overrides, Study
from foldwise.core import files
from foldwise.evaluation.headline import Drawn, headline
from foldwise.evaluation.predictions import Part
from foldwise.features.kept import FeatureFolder, frozen_features
from foldwise.images.store import ImageStore
from foldwise.inference.view_logits import ThroughViews, head_logits, view_logits
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.loader import plain_loader
from foldwise.model.settings import Compute, Model
from foldwise.model.views import make_view
from foldwise.scoring.cross_fitting import cross_fit, with_several
from foldwise.scoring.objective import Objective
from foldwise.scoring.thresholds import threshold_fit
from foldwise.training.augment import make_augment
from foldwise.training.curves import Curves
from foldwise.training.fit import TrainingRun, fit_member
from foldwise.training.settings import Recipe, Train, make_recipe

KEPT = ROOT / ".benchmarks"
BASE = "base"
COMPUTE = Compute(accelerator="cpu", precision="32-true", engine="torch", workers=0)
LIBRARIES = ("torch", "timm", "lightning", "scikit-learn")


class DecodedStore(ImageStore):
    """Decodes every image once: how fast files are read is not what is measured."""

    @cache  # noqa: B019  # one store per process
    def pixels(self, id: str, channels: int = 3) -> np.ndarray:
        """As the store's own."""
        return super().pixels(id, channels)


@dataclass(frozen=True)
class Images:
    """One data set's train part, divided."""

    store: ImageStore
    ids: np.ndarray
    folds: np.ndarray
    labels: np.ndarray
    classes: list[str]
    single: bool

    @property
    def held(self) -> np.ndarray:
        """(images,) bool: which are held out by a fold."""
        return self.folds >= 0

    def dataset(self, rows: np.ndarray, recipe: Recipe, augmented: bool) -> ImageDataset:
        """Some of the images, as the stage `train` has them."""
        augment = make_augment(recipe.train.augment) if augmented else None
        ids, labels = self.ids[rows].tolist(), self.labels[rows]
        how = (recipe.train.augment_from, recipe.seed)
        return ImageDataset(self.store, ids, labels, recipe.model, augment, *how)


def params_of(data: str, path: str) -> dict[str, Any]:
    """A params file that the first two stages take."""
    sections = DATA[data]
    whole = sections | {"data": sections["data"] | {"path": path}}
    return DEFAULT | {"threshold": {"objective": "accuracy"}} | whole


def read_images(data: str, path: str | None) -> Images:
    """Images of a data set, fetched and divided by the stages where they are not yet."""
    folder = KEPT / data
    if path is not None and not (folder / files.FOLDS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "params.yaml").write_text(yaml.safe_dump(params_of(data, path)))
        for stage in ("fetch", "split"):
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-m", f"stages.{stage}"]
            subprocess.run(command, cwd=folder, env=environment, check=True)
    dataset = files.read_dataset(folder)
    classes = dataset["classes"]
    # The test part is not in it.
    folds = files.read_folds(folder / files.FOLDS)
    ids = folds["id"].to_numpy(str)
    return Images(
        DecodedStore(folder / files.IMAGES),
        ids,
        folds["fold"].to_numpy(),
        files.labels_of(ids, classes, folder).to_numpy(np.int8),
        classes,
        dataset["task"] == "multiclass",
    )


def recipe_of(changed: Overrides) -> Recipe:
    """The recipe that dotted keys say."""

    def below(name: str) -> dict[str, Any]:
        named = {key.partition(".")[2]: x for key, x in changed.items() if key.startswith(name)}
        return json.loads(json.dumps(named))

    model, train = Model.model_validate(below("model.")), Train.model_validate(below("train."))
    return make_recipe("m", model, train, changed["lr"], changed["epochs"], changed["seed"])


def out_of_fold(images: Images, recipe: Recipe, title: str) -> tuple[np.ndarray, float]:
    """Logits (held-out images, classes) of models that never saw them; seconds of training."""
    logits = np.empty((len(images.ids), len(images.classes)), np.float32)
    features = FeatureFolder(KEPT / "features", (tuple(images.ids.tolist()),))
    seconds = 0.0
    for fold in np.unique(images.folds[images.held]):
        held = images.folds == fold
        train, valid = (images.dataset(~held, recipe, True), images.dataset(held, recipe, False))
        if recipe.train.freeze is not None:
            # Computed once for all folds and tricks, which is not what is timed.
            network = build_network(recipe.model, len(images.classes))
            frozen_features(features, network, train, recipe.train.freeze.views, COMPUTE)
        scratch = KEPT / "scratch"
        curves = Curves(scratch / "curves", f"{title}, fold {fold}", recipe)
        # Each trick trains on the same order of images as the base.
        seed = zlib.crc32(f"{recipe.seed} {fold}".encode())
        checkpoints = scratch / f"checkpoints-{os.getpid()}-{time.monotonic_ns()}"
        groups = np.arange(len(train)) % 5
        run = TrainingRun(
            seed, COMPUTE, checkpoints, features, curves, groups=groups, precision="32-true"
        )
        start = time.process_time()
        network, _ = fit_member(recipe, train, watched(recipe, valid), run)
        seconds += time.process_time() - start
        for path in checkpoints.glob("*.ckpt"):
            path.unlink()
        logits[held] = identity_logits(network.eval(), recipe, valid, features)
    return logits[images.held], seconds


def watched(recipe: Recipe, valid: ImageDataset) -> ImageDataset:
    """What is judged after every epoch: little, where nothing is chosen by it."""
    averaging = recipe.train.averaging
    if averaging is not None and averaging.method == "soup":
        return valid
    return valid.only(range(0, len(valid), 8), augmented=False)


def identity_logits(
    network: Classifier, recipe: Recipe, valid: ImageDataset, features: FeatureFolder
) -> np.ndarray:
    """(images, classes) of one view, as the stage `predict` computes them."""
    if recipe.frozen:
        found = frozen_features(features, network, valid, ["identity"], COMPUTE)
        return head_logits(network, found.through, 1, valid.ids, recipe.softmax, "m")[0]
    seen = ThroughViews(network, recipe.model, [make_view("identity")], recipe.softmax)
    batches = plain_loader(valid, COMPUTE.batch_size, 0)
    return view_logits(seen, batches, torch.device("cpu"), "m")[0]


def kept_at(study: str, changed: Overrides) -> Path:
    """Where a run's logits are, under a name that says all that was asked for."""
    asked = json.dumps([STUDIES[study].data, changed], sort_keys=True)
    return KEPT / "runs" / f"{study}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.npz"


def runs_of(study: Study) -> dict[str, Overrides]:
    """The base and every trick, with all that they say."""
    return {BASE: study.base} | {name: study.base | each for name, each in study.tricks.items()}


def train_study(name: str, path: str) -> None:
    """Do what is not done yet."""
    study = STUDIES[name]
    images = read_images(study.data, path)
    for trick, changed in runs_of(study).items():
        kept = kept_at(name, changed)
        if kept.exists():
            continue
        logits, seconds = out_of_fold(images, recipe_of(changed), f"{name}: {trick}")
        files.write_arrays(kept, logits=logits, seconds=np.array(seconds))


def figures_of(study: Study, images: Images, logits: np.ndarray) -> Mapping[str, Drawn]:
    """Of out-of-fold logits, with draws of images that are the same for all runs."""
    objective = Objective.model_validate({"name": study.objective})
    fit = threshold_fit(objective, images.single)
    labels = images.labels[images.held]
    predicted = cross_fit(labels, logits, with_several(images.folds[images.held]), fit)
    part = Part(images.ids[images.held], labels, logits, logits, predicted)
    return headline(part, images.single).metrics


def table(name: str) -> str:
    """One study as Markdown; what is not done yet is left out."""
    study = STUDIES[name]
    images = read_images(study.data, None)
    rows = []
    base: Mapping[str, Drawn] = {}
    for trick, changed in runs_of(study).items():
        kept = kept_at(name, changed)
        if not kept.exists():
            continue
        with np.load(kept) as arrays:
            logits, seconds = arrays["logits"], float(arrays["seconds"])
        found = figures_of(study, images, logits)
        base = base or found
        cells = [trick]
        for figure in study.figures:
            gain = (found[figure] - base[figure]).interval()
            low_high = f"[{gain.low:+.4f}, {gain.high:+.4f}]"
            said = f"{gain.value:+.4f} {low_high} {gain.verdict}"
            cells.append(f"{found[figure].value:.4f}" if trick == BASE else said)
        rows.append([*cells, f"{seconds:.0f}"])
    heads = ["", *study.figures, "seconds"]
    lines = [f"| {' | '.join(each)} |" for each in (heads, ["---", "---", "---", "--:"], *rows)]
    folds = len(np.unique(images.folds[images.held]))
    what = (
        f"{images.held.sum():,} images held out of {len(images.ids):,} by {folds} "
        f"fold{'s' * (folds > 1)}, {len(images.classes)} classes"
    )
    return f"## {study.title}\n\n{what}. Base: {described(study.base)}.\n\n" + "\n".join(lines)


def described(base: Overrides) -> str:
    """The most important of a base recipe."""
    shown = ("lr", "epochs", "model.image_size", "train.batch_size", "train.loss")
    named = [f"`{key.rpartition('.')[2]}: {base[key]}`" for key in shown]
    return ", ".join(named)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    if arguments:
        path = Path(arguments[1]).resolve() if arguments[1:] else ROOT / "data/incoming"
        train_study(arguments[0], str(path))
        return
    versions = ", ".join(f"{each} {version(each)}" for each in LIBRARIES)
    print(f"{machine()} {versions}. {datetime.date.today():%d.%m.%Y}.")
    for name in STUDIES:
        if kept_at(name, STUDIES[name].base).exists():
            print(f"\n{table(name)}")


if __name__ == "__main__":
    main(sys.argv[1:])
