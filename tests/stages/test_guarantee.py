"""Promises of a run: bounds in its decision, how well they are kept, and what `apply` marks."""

import copy
import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.commands import apply
from foldwise.decision.decision import Decision
from foldwise.images.store import ImageStore
from tests.conftest import TINY, Project


def promising(project: Project, **guarantee: float) -> None:
    params = copy.deepcopy(TINY)
    params["threshold"] |= {"calibration": "temperature", "guarantee": guarantee}
    project.write_params(params)


def content(project: Project, name: str) -> Any:
    return json.loads((project.path / name).read_text())


def test_what_is_promised_is_written_kept_and_applied(
    copied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = {"cost": 0.8, "false_negative": 1.5, "false_positive": 1.0}
    promising(copied, recall=0.6, precision=0.01, confidence=0.6, **prices)
    copied.stage("threshold")
    decision = Decision.from_json(content(copied, "data/decision.json"))
    bounds = decision.bounds
    assert bounds is not None
    assert bounds.possible is not None
    assert bounds.certain is not None
    assert bounds.cost is not None
    said = content(copied, "metrics/threshold.json")["guarantee"]
    assert said["confidence"] == 0.6
    assert said["recall"]["promised"] == 0.6
    assert 0 < said["recall"]["possible_per_image"] <= 26
    assert said["cost"]["promised"] == 0.8
    assert 0 < said["cost"]["cross_fitted"] < 1.5
    assert 0 <= said["decided"] <= 1
    copied.stage("evaluate")

    with np.load(copied.path / "data/ensemble.npz") as arrays:
        ids, logits = arrays["test_id"].tolist(), decision.calibrator(arrays["test_logits"])
    dataset = content(copied, "data/dataset.json")
    labels = pd.read_parquet(copied.path / "data/labels.parquet").set_index("id")
    truth = labels.loc[ids, dataset["classes"]].to_numpy()
    possible, certain = logits >= bounds.possible, logits >= bounds.certain
    within = logits >= bounds.cost.threshold
    found = content(copied, "metrics/evaluation.json")["guarantee"]["test"]
    recalls = [own[row == 1].mean() for own, row in zip(possible, truth, strict=True) if row.any()]
    assert found["recall"] == pytest.approx(np.mean(recalls))
    assert found["possible_per_image"] == pytest.approx(possible.sum(1).mean())
    some = certain.any(1)
    assert found["with_certain"] == pytest.approx(some.mean())
    rights = [row[own].mean() for own, row in zip(certain[some], truth[some], strict=True)]
    assert found["precision"] == pytest.approx(np.mean(rights) if rights else 0)
    wrong = 1.5 * ((truth == 1) & ~within).mean() + ((truth == 0) & within).mean()
    assert found["cost"] == pytest.approx(wrong)
    assert found["labels_per_image"] == pytest.approx(within.sum(1).mean())

    monkeypatch.chdir(copied.path)
    (copied.path / "dvc.lock").unlink()
    table = applied(monkeypatch, ids)
    names = np.array(dataset["classes"])
    for column, marked in (("possible", possible), ("certain", certain), ("within_cost", within)):
        for line, own in zip(table[column].fillna(""), marked, strict=True):
            assert next(csv.reader([line]), []) == names[own].tolist()
    assert table["abstain"].tolist() == (possible & ~certain).any(1).tolist()
    assert [*table.columns[:7]] == [
        "image",
        "labels",
        "possible",
        "certain",
        "within_cost",
        "abstain",
        "agreement",
    ]


def applied(monkeypatch: pytest.MonkeyPatch, ids: list[str]) -> pd.DataFrame:
    """What `apply` says of the test part's images, in the order of `ids`."""
    store = ImageStore(Path("data/images"))
    Path("photos").mkdir()
    for id in ids:
        Path(f"photos/{id}.png").write_bytes(store.data(id))
    monkeypatch.setattr(sys, "argv", ["apply", "photos", "--out", "out.csv"])
    apply.main()
    table = pd.read_csv("out.csv")
    table.index = pd.Index([Path(each).stem for each in table["image"]])
    return table.loc[ids]


@pytest.mark.parametrize(
    ("guarantee", "line"),
    [
        ({"recall": 0.99}, "threshold.guarantee.recall: 0.99 with confidence 0.9 takes 230 images"),
        ({"precision": 0.99}, "threshold.guarantee.precision: 0.99 with confidence 0.9 cannot be"),
        (
            {},
            "threshold.guarantee: promises nothing; write `recall`, `precision`, `cost` or several",
        ),
        (
            {"cost": 0.01, "false_negative": 5, "false_positive": 1},
            "threshold.guarantee.cost: 0.01 with confidence 0.9 cannot be promised by these 48 im",
        ),
        ({"recall": 1}, "threshold.guarantee.recall: got 1"),
    ],
)
def test_what_cannot_be_promised_is_a_line(
    copied: Project, guarantee: dict[str, float], line: str
) -> None:
    before = (copied.path / "data/decision.json").read_bytes()
    promising(copied, **guarantee)
    said = copied.stage("threshold", code=1)
    assert said.count("error: ") == 1
    assert line in said
    assert (copied.path / "data/decision.json").read_bytes() == before
