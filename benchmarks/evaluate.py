"""How long the stages take that turn predictions into figures, pictures and the page.

`python -m benchmarks.evaluate [images] [classes] [single]` makes a folder with data of that size
(composed images of 128 pixels, predictions that err at random, five folds, one member, two views; a
tenth as many test images) and runs the stages `ensemble`, `threshold`, `evaluate` and `present`
there, each in a process of its own as DVC does. It prints their seconds and the page's size, as
Markdown.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.machine import machine
from benchmarks.train import composed
from foldwise.core import files
from foldwise.evaluation.tables import CURVES
from foldwise.images.decode import inspect
from foldwise.images.store import ImageWriter

STAGES = ("ensemble", "threshold", "evaluate", "present")
FOLDS, VIEWS, DISTINCT = 5, ["identity", "hflip"], 500
ROOT = Path(__file__).parents[1]


def write_images(folder: Path, ids: list[str]) -> None:
    """A store of composed images, the same ones again and again under ids of their own."""
    made = composed(folder, 128, DISTINCT)
    contents = [made.data(id) for id in made.ids]
    seen = [inspect(each, 10**9) for each in contents]
    with ImageWriter(folder / files.IMAGES) as writer:
        for position, id in enumerate(ids):
            writer.add(id, contents[position % DISTINCT], seen[position % DISTINCT])


def write_data(folder: Path, images: int, classes: int, single: bool) -> None:
    """What the stages before `ensemble` leave."""
    rng = np.random.default_rng(0)
    count = images + images // 10
    ids = [f"{index:06d}" for index in range(count)]
    write_images(folder, ids)
    names = [f"class {index}" for index in range(classes)]
    truth = rng.normal(size=(count, classes)).astype(np.float32)
    labels = (truth > 1).astype(np.int8)
    if single:
        labels = np.eye(classes, dtype=np.int8)[truth.argmax(1)]
    part = np.where(np.arange(count) < images, "train", "test")
    table = pd.DataFrame(labels, columns=names)
    table.insert(0, "id", ids)
    table.insert(1, "part", part)
    table.to_parquet(folder / files.LABELS, index=False)
    dataset = {
        "name": "benchmark",
        "task": "multiclass" if single else "multilabel",
        "classes": names,
        "images": {"train": images, "test": count - images},
        "submission": {"columns": names, "index": "id"},
        "origin": {"glyphs": "digits"},
        "dropped": [],
    }
    (folder / files.DATASET).write_text(json.dumps(dataset))
    fold = np.arange(images) % FOLDS
    pd.DataFrame({"id": ids[:images], "fold": fold}).to_csv(folder / files.FOLDS, index=False)
    for each in range(FOLDS):
        own = np.flatnonzero(fold == each)
        arrays = {"views": np.array(VIEWS)}
        for name, rows in (("oof", own), ("test", np.arange(images, count))):
            noise = rng.normal(size=(len(VIEWS), len(rows), classes))
            arrays[f"{name}_id"] = np.array(ids)[rows]
            arrays[f"{name}_logits"] = (2 * truth[rows] - 2 + noise).astype(np.float32)
        target = folder / files.PREDICTIONS / "cnn" / f"{each}.npz"
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_arrays(target, **arrays)
        curves = folder / files.CURVES / "cnn" / str(each) / "plots" / "metrics"
        curves.mkdir(parents=True)
        for name in CURVES:
            rows_ = pd.DataFrame({"step": range(5), name: np.linspace(1, 0.5, 5)})
            rows_.to_csv(curves / f"{name}.tsv", sep="\t", index=False)


def write_params(folder: Path) -> None:
    """The default ones, with these folds and views."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["folds"] = list(range(FOLDS))
    params["tta"] |= {"views": VIEWS}
    params["threshold"] |= {"decode": "auto"}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def main(folder: Path, images: int, classes: int, single: bool) -> None:
    (folder / "data").mkdir()
    write_data(folder, images, classes, single)
    write_params(folder)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    print(f"{images} images x {classes} classes, {images // 10} test images. {machine()}\n")
    print("| stage | seconds |\n|---|--:|")
    for stage in STAGES:
        start = time.perf_counter()
        command = [sys.executable, "-m", f"stages.{stage}"]
        subprocess.run(command, cwd=folder, env=environment, check=True)
        took = time.perf_counter() - start
        print(f"| `{stage}` | {took:.1f} |", flush=True)
    size = (folder / files.PLOTS / "report.html").stat().st_size / 1e6
    print(f"\nThe page has {size:.1f} MB.")


if __name__ == "__main__":
    given = sys.argv[1:]
    defaults = ["5000", "20", "no"]
    images_, classes_, single_ = given + defaults[len(given) :]
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), int(images_), int(classes_), single_ == "single")
