"""The files that a finished run leaves for the report, made up but in agreement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from foldwise.core.files import write_arrays
from foldwise.decision.calibration_error import reliability
from foldwise.decision.decision import plain_decision
from foldwise.evaluation import tables as class_tables
from foldwise.evaluation.metrics import all_metrics, per_class
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.selective import risk_coverage_table
from foldwise.evaluation.tables import precision_recall_table, threshold_table
from foldwise.images.decode import inspect
from foldwise.images.store import ImageWriter
from foldwise.scoring.objective import Objective
from tests.conftest import TINY
from tests.pictures import picture
from tests.studies import write_no_study

PARTS = ("oof", "test")


def write_run(
    folder: Path,
    classes: list[str],
    images: int = 40,
    single: bool = False,
    unlabelled: bool = False,
    data: Callable[[int], bytes] = picture,
) -> None:
    """Write what `present` reads into an empty folder.

    Args:
        folder: the repository's root.
        classes: their names.
        images: out-of-fold images; there are half as many test images.
        single: whether each image has one label.
        unlabelled: whether the test part has no labels.
        data: the file of an image, by its number.
    """
    for name in ("data", "metrics", "plots"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    count = len(classes)
    ids = {"oof": [f"train/{each}.png" for each in range(images)]}
    ids["test"] = [f"test/{each}.png" for each in range(images // 2)]
    labels, logits, predicted = {}, {}, {}
    for part in PARTS:
        shape = (len(ids[part]), count)
        # From rare to common: some counts have one digit, some two.
        truth = (rng.random(shape) < np.linspace(0.1, 0.7, count)).astype(np.int8)
        noise = rng.normal(0, 1.5, shape)
        if single:
            truth = np.eye(count, dtype=np.int8)[rng.integers(0, count, shape[0])]
        logits[part] = (4.0 * truth - 2 + noise).astype(np.float32)
        labels[part] = truth
        predicted[part] = plain_decision(single)(logits[part])
    numbers = iter(range(10**6))
    with ImageWriter(folder / "data/images") as writer:
        for id in [*ids["oof"], *ids["test"]]:
            content = data(next(numbers))
            writer.add(id, content, inspect(content, 10**8))
    table = pd.DataFrame(np.concatenate([labels["oof"], labels["test"]]), columns=classes)
    if unlabelled:
        table = table.astype("Int8")
        table.iloc[images:] = pd.NA
    table.insert(0, "id", [*ids["oof"], *ids["test"]])
    table.insert(1, "part", ["train"] * images + ["test"] * (images // 2))
    table.to_parquet(folder / "data/labels.parquet")
    arrays = {f"{part}_id": np.array(ids[part]) for part in PARTS}
    write_arrays(
        folder / "data/ensemble.npz",
        **arrays | {f"{part}_logits": logits[part] for part in PARTS},
    )
    write_arrays(
        folder / "data/outoffold.npz",
        oof_id=np.array(ids["oof"]),
        logits=logits["oof"],
        labels=predicted["oof"],
    )
    write_features(folder, ids, labels)
    decision = plain_decision(single).as_json() | {"steps": {}}
    _write_json(folder / "data/decision.json", decision)
    _write_json(
        folder / "data/dataset.json",
        {
            "name": "made up",
            "task": "multiclass" if single else "multilabel",
            "classes": classes,
            "images": {"train": images, "test": images // 2},
            "submission": {"index": "id", "columns": classes},
            "origin": {"path": "data/incoming", "downloads": []},
            "dropped": [],
        },
    )
    (folder / "data/corrected.csv").write_text("id,class,was,is,why\n")
    (folder / "params.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    parts = {
        part: Part(np.array(ids[part]), labels[part], logits[part], logits[part], predicted[part])
        for part in PARTS
        if part == "oof" or not unlabelled
    }
    for name, each in _tables(parts, classes, single).items():
        each.to_csv(folder / "plots" / f"{name}.csv", index=False)
    found = {part: all_metrics(each, single) for part, each in parts.items()}
    headline = [
        {"part": part, "metric": metric, "value": value, "low": value and value - 0.02}
        | {"high": value and value + 0.02}
        | {"fold_mean": value if part == "oof" else None}
        | {"fold_std": 0.01 if part == "oof" else None}
        for part, values in found.items()
        for metric, value in list(values.items())[:6]
    ]
    _write_json(folder / "metrics/evaluation.json", {"headline": headline, "all": found})
    write_no_study(folder)


def write_features(
    folder: Path, ids: dict[str, list[str]], labels: dict[str, np.ndarray], width: int = 12
) -> None:
    """Features of two folds, each in a space of its own: images of equal labels lie together."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(labels["oof"].shape[1], width))
    points = {part: labels[part] @ centres + rng.normal(0, 0.3, (len(ids[part]), width))
              for part in PARTS}  # fmt: skip
    for fold in TINY["folds"]:
        turn = np.linalg.qr(rng.normal(size=(width, width)))[0]
        own = slice(fold, None, len(TINY["folds"]))
        write_arrays(
            folder / f"data/features/cnn/{fold}.npz",
            oof_id=np.array(ids["oof"][own]),
            oof_features=(points["oof"][own] @ turn).astype(np.float16),
            test_id=np.array(ids["test"]),
            test_features=(points["test"] @ turn).astype(np.float16),
        )


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def _tables(parts: dict[str, Part], classes: list[str], single: bool) -> dict[str, pd.DataFrame]:
    oof = parts["oof"]
    objective = Objective(name="accuracy")
    steps = pd.DataFrame({"step": ["single fold", "+ TTA"], "score": [0.85, 0.9]})
    steps = steps.assign(low=steps["score"] - 0.01, high=steps["score"] + 0.01)
    for name, gain in (("gain", 0.05), ("gain_low", 0.04), ("gain_high", 0.06)):
        steps[name] = [np.nan, gain]
    steps["verdict"] = pd.Series([None, "helps"], dtype=object)
    views = [
        {"member": "cnn", "view": view, "gain": 0.01, "gain_low": 0.0, "gain_high": 0.02}
        | {"used": used}
        for view, used in (("identity", True), ("shift(1, 0)", False), ("all", None))
    ]
    curves = pd.DataFrame(
        [
            {"epoch": epoch, "train_loss": 1 / epoch, "valid_loss": 1.1 / epoch}
            | {"valid_accuracy": 1 - 0.5 / epoch, "valid_macro_ap": 1 - 0.4 / epoch}
            | {"series": f"cnn fold {fold}"}
            for fold in (0, 1)
            for epoch in range(1, 5)
        ]
    )
    shown = class_tables.shown_classes(oof.labels, oof.logits)
    found: dict[str, list[pd.DataFrame]] = {}
    for name, part in parts.items():
        own = per_class(part.labels, part.logits, part.predicted).assign(**{"class": classes})
        for file, table in {
            "classes": own.assign(ap_low=own["ap"] - 0.02, ap_high=own["ap"] + 0.02),
            "class_precision_recall": class_tables.class_precision_recall_table(
                part, classes, shown
            ),
            "tail_accuracy": class_tables.tail_table(part, classes, shown),
            "confusion": class_tables.confusion_table(part, classes, single),
            "labels_per_image": class_tables.label_counts_table(part),
        }.items():
            found.setdefault(file, []).append(table.assign(part=name))
    return {file: pd.concat(each) for file, each in found.items()} | {
        "ladder": steps,
        "base_ladder": steps.head(0),
        "test_ladder": steps if "test" in parts else steps.head(0),
        "views": pd.DataFrame(views),
        "reliability": reliability(oof.labels, oof.logits, single).assign(calibration="before"),
        "threshold": threshold_table(oof.labels, oof.logits, objective, None),
        "curves": curves,
        "precision_recall": precision_recall_table(parts),
        "risk_coverage": risk_coverage_table(parts, single),
    }
