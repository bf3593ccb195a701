"""The files that a finished run leaves for the report, made up but in agreement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from stages.files import write_arrays
from stages.images.decode import inspect
from stages.images.store import ImageWriter
from stages.report.tables import precision_recall_table, threshold_table
from stages.scoring.calibration import reliability
from stages.scoring.decision import plain_decision
from stages.scoring.metrics import per_class, summary
from stages.settings.objective import Objective
from tests.conftest import TINY
from tests.images import picture

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
        truth = (rng.random(shape) < 0.3).astype(np.int8)
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
    decision = plain_decision(single).as_json() | {"steps": {}}
    _write_json(folder / "data/decision.json", decision)
    _write_json(
        folder / "data/dataset.json",
        {
            "name": "made up",
            "task": "multiclass" if single else "multilabel",
            "classes": classes,
            "images": {"train": images, "test": images // 2},
            "origin": {"path": "data/incoming", "downloads": []},
        },
    )
    (folder / "params.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    known = [part for part in PARTS if part == "oof" or not unlabelled]
    parts = {part: (labels[part], logits[part], predicted[part]) for part in known}
    tables = _tables(parts, classes, single)
    for name, each in tables.items():
        each.to_csv(folder / "plots" / f"{name}.csv", index=False)
    found = {part: summary(*arrays) for part, arrays in parts.items()}
    headline = [
        {"part": part, "metric": metric, "value": value, "low": value and value - 0.02}
        | {"high": value and value + 0.02}
        | {"fold_mean": value if part == "oof" else None}
        | {"fold_std": 0.01 if part == "oof" else None}
        for part, values in found.items()
        for metric, value in values.items()
    ]
    _write_json(folder / "metrics/evaluation.json", {"headline": headline, "all": found})


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def _tables(
    parts: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], classes: list[str], single: bool
) -> dict[str, pd.DataFrame]:
    truth, logits, _ = parts["oof"]
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
    by_class, recalls, tails, counts = [], [], [], []
    grid = np.linspace(0, 1, 20)
    for part, (own, scores, found) in parts.items():
        table = per_class(own, scores, found).assign(**{"class": classes}, part=part)
        by_class.append(
            table.assign(
                images=(own == 1).sum(0),
                ap_low=table["ap"] - 0.02,
                ap_high=table["ap"] + 0.02,
                roc_auc=table["ap"],
            )
        )
        for index, name in enumerate([*classes, "mean over classes"]):
            line = {"class": name, "part": part}
            if index < len(classes):
                recalls.append(pd.DataFrame({"recall": grid, "precision": 1 - grid / 2} | line))
            tails.append(pd.DataFrame({"threshold": 0.5 + grid / 2.5, "tail_accuracy": 0.8} | line))
        for kind, each in (("true", own), ("predicted", found)):
            number = np.bincount(each.sum(1))
            counts.append(
                pd.DataFrame({"part": part, "kind": kind, "labels": range(len(number))}).assign(
                    images=number, share=number / number.sum()
                )
            )
    shown = classes[:40]
    confusion = [
        {"actual": a, "predicted": b, "images": 3, "share": 0.5 if a == b else 0.1}
        for a in shown
        for b in shown
        if single or a != b
    ]
    both = {part: arrays[:2] for part, arrays in parts.items()}
    return {
        "ladder": steps,
        "test_ladder": steps if "test" in parts else steps.head(0),
        "views": pd.DataFrame(views),
        "reliability": reliability(logits, truth, single).assign(calibration="before"),
        "threshold": threshold_table(logits, truth, objective, None),
        "curves": curves,
        "precision_recall": precision_recall_table(both),
        "classes": pd.concat(by_class),
        "class_precision_recall": pd.concat(recalls),
        "tail_accuracy": pd.concat(tails),
        "confusion": pd.DataFrame(confusion, columns=["actual", "predicted", "images", "share"]),
        "labels_per_image": pd.concat(counts),
    }
