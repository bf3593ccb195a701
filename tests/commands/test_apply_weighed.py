"""Members that are calibrated or stacked are so in the finished ensemble too."""

import copy
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.commands import apply, export
from stages import ensemble, threshold
from tests.commands.conftest import Here, read
from tests.conftest import TINY


def teach_unlike_members(here: Here) -> None:
    """Let one member be nearly right on held-out images, as loudly as it likes."""
    labels = pd.read_parquet("data/labels.parquet").set_index("id")
    rng = np.random.default_rng(0)
    for fold in (0, 1):
        path = Path(f"data/predictions/cnn/{fold}.npz")
        with np.load(path) as content:
            arrays = dict(content)
        truth = labels.loc[arrays["oof_id"]].drop(columns="part").to_numpy(float)
        noise = rng.normal(scale=0.8, size=arrays["oof_logits"].shape)
        arrays["oof_logits"] = (0.3 * (2 * truth - 1 + noise)).astype(np.float32)
        path.unlink()
        np.savez(path, **arrays)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["greedy", "stack"])
def test_lines_of_members_are_applied(here: Here, weights: str) -> None:
    commit = here.project.run("git", "rev-parse", "HEAD").stdout.strip()[:10]
    teach_unlike_members(here)
    params = copy.deepcopy(TINY)
    params["ensemble"] |= {"include": [commit], "weights": weights, "members": "mean_logit"}
    params["threshold"] |= {"scope": "auto", "calibration": "auto"}
    here.project.write_params(params)
    here.run(ensemble)
    found = json.loads(Path("metrics/ensemble.json").read_text())["weights"]
    assert found["used"] == weights
    written = json.loads(Path("data/ensemble.json").read_text())["members"]
    several = len(json.loads(Path("data/dataset.json").read_text())["classes"])
    assert len(written["cnn"]["slope"]) == (several if weights == "stack" else 1)
    with np.load("data/ensemble.npz") as arrays:
        test, folds = arrays["test_logits"], arrays["test_folds"]
    # Affine in the members' logits.
    wanted = np.zeros(test.shape)
    for each, member in zip(folds, written.values(), strict=True):
        wanted += member["weight"] * (np.array(member["slope"]) * each + member["offset"])
    assert test == pytest.approx(wanted, abs=1e-5)
    assert not np.allclose(test, folds.mean(0), atol=0.05)
    here.run(threshold)
    decided = json.loads(Path("data/decision.json").read_text())
    assert "auto" not in json.dumps(decided)
    ids = here.write_images()
    here.run(apply, "photos", "--out", "by_torch.csv")
    here.check(ids, read("by_torch.csv"), 1e-5)
    here.run(export, "--out", "onnx")
    here.run(apply, "photos", "--onnx", "onnx", "--out", "by_onnx.csv")
    here.check(ids, read("by_onnx.csv"), 1e-4)
