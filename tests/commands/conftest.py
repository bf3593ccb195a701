"""The commands in this process, in a copy of the run that all share."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.decision.decision import Decision
from foldwise.images.store import ImageStore
from foldwise.scoring.probability import sigmoid
from tests.conftest import Project


class Here:
    """Runs commands in this process, in a project."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project = project
        self._monkeypatch = monkeypatch
        monkeypatch.chdir(project.path)
        # Stages are run by hand here, and files changed: nothing is on record of them.
        Path("dvc.lock").unlink()

    def run(self, module: Any, *arguments: str) -> None:
        self._monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
        module.main()

    def write_images(self) -> list[str]:
        """The test part's image files, in a folder; their ids in the folder's order."""
        ids = np.load("data/ensemble.npz")["test_id"].tolist()
        store = ImageStore(Path("data/images"))
        for id in ids:
            path = Path("photos") / f"{id}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(store.data(id))
        return sorted(ids)

    def check(self, ids: list[str], table: pd.DataFrame, tolerance: float) -> None:
        """What was applied is what the pipeline predicts for the test part."""
        classes = json.loads(Path("data/dataset.json").read_text())["classes"]
        decision = Decision.from_json(json.loads(Path("data/decision.json").read_text()))
        with np.load("data/ensemble.npz") as arrays_:
            place = {id: row for row, id in enumerate(arrays_["test_id"].tolist())}
            logits = arrays_["test_logits"][[place[id] for id in ids]]
        assert [Path(each).stem for each in table["image"]] == ids
        wanted = sigmoid(decision.calibrator(logits))
        assert np.allclose(table[classes], wanted, atol=tolerance)
        for line, own in zip(table["labels"], decision(logits), strict=True):
            names = next(csv.reader([line]), [])
            assert names == [name for name, there in zip(classes, own, strict=True) if there]
        assert table["agreement"].between(0, 1).all()


@pytest.fixture
def here(copied: Project, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(copied, monkeypatch)


def read(path: str) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)
