"""apply and export of some members and folds."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from foldwise.commands import apply, export
from foldwise.core.errors import UserError
from foldwise.decision.decision import Decision
from foldwise.ensembling.merge import merge_logits
from foldwise.scoring.probability import sigmoid
from stages import ensemble, threshold
from tests.commands.conftest import Here, read
from tests.conftest import TINY


@pytest.fixture
def two(here: Here) -> Here:
    """A second member: the first one's networks with folds exchanged, as if trained so."""
    params = copy.deepcopy(TINY)
    params["models"]["other"] = params["models"]["cnn"]
    params["members"] = ["cnn", "other"]
    here.project.write_params(params)
    for folder in ("data/models", "data/predictions"):
        shutil.copytree(f"{folder}/cnn", f"{folder}/other")
    for fold in (0, 1):
        shutil.rmtree(f"data/models/other/{fold}")
        shutil.copytree(f"data/models/cnn/{1 - fold}", f"data/models/other/{fold}")
        path = Path(f"data/predictions/other/{fold}.npz")
        with np.load(path) as content, np.load(f"data/predictions/cnn/{1 - fold}.npz") as others:
            arrays = dict(content) | {"test_logits": others["test_logits"]}
        path.unlink()
        np.savez(path, **arrays)
    here.run(ensemble)
    here.run(threshold)
    return here


def by_hand(ids: list[str], member: str, folds: list[int]) -> np.ndarray:
    """Probabilities (images, classes) of what `predict` wrote."""
    found = []
    for fold in folds:
        with np.load(f"data/predictions/{member}/{fold}.npz") as arrays:
            place = {id: row for row, id in enumerate(arrays["test_id"].tolist())}
            views = arrays["test_logits"][:, [place[id] for id in ids]]
        found.append(merge_logits(views, "mean_probability"))
    decision = Decision.from_json(json.loads(Path("data/decision.json").read_text()))
    return sigmoid(decision.calibrator(merge_logits(found, "mean_probability")))


def test_one_member_and_fold_are_what_predict_said_of_them(
    two: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = two.write_images()
    classes = json.loads(Path("data/dataset.json").read_text())["classes"]
    two.run(apply, "photos", "--out", "all.csv")
    assert "thresholds were tuned" not in capsys.readouterr().err
    two.run(apply, "photos", "--members", "cnn", "--folds", "0", "--out", "one.csv")
    said = capsys.readouterr().err
    assert said.count("thresholds were tuned on cnn, other together; train cnn as the only") == 1
    one = read("one.csv")
    assert np.allclose(one[classes], by_hand(ids, "cnn", [0]), atol=1e-5)
    assert not np.allclose(one[classes], read("all.csv")[classes], atol=1e-3)
    assert (one["agreement"] == 1).all()
    two.run(apply, "photos", "--members", "other", "--out", "both.csv")
    assert np.allclose(read("both.csv")[classes], by_hand(ids, "other", [0, 1]), atol=1e-5)
    two.run(apply, "photos", "--members", "other,cnn", "--folds", "0,1", "--out", "every.csv")
    assert "thresholds" not in capsys.readouterr().err.rpartition("both.csv")[2]
    assert Path("every.csv").read_bytes() == Path("all.csv").read_bytes()

    with pytest.raises(UserError, match="--members: there is no member 'cn'; there is cnn, other"):
        two.run(apply, "photos", "--members", "cn")
    with pytest.raises(UserError, match="--folds: there is no fold '2'; there is 0, 1"):
        two.run(export, "--folds", "2", "--out", "onnx")
    assert not Path("onnx").exists()


@pytest.mark.slow
def test_a_subset_is_exported(two: Here, capsys: pytest.CaptureFixture[str]) -> None:
    ids = two.write_images()
    classes = json.loads(Path("data/dataset.json").read_text())["classes"]
    two.run(export, "--members", "cnn", "--folds", "1", "--out", "onnx")
    said = capsys.readouterr()
    assert said.err.count("thresholds were tuned on cnn, other together") == 1
    assert "onnx: 1 members" in said.out
    names = {str(each.relative_to("onnx")) for each in Path("onnx").rglob("*.onnx")}
    assert names == {"cnn.onnx", "cnn/1.onnx"}
    two.run(apply, "photos", "--onnx", "onnx", "--out", "by_onnx.csv")
    assert np.allclose(read("by_onnx.csv")[classes], by_hand(ids, "cnn", [1]), atol=1e-4)
    # Of an export of all, some can be run.
    two.run(export, "--members", "other", "--out", "onnx")
    capsys.readouterr()
    two.run(apply, "photos", "--onnx", "onnx", "--folds", "0", "--out", "by_onnx.csv")
    assert "thresholds were tuned on folds 0, 1, " in capsys.readouterr().err
    assert np.allclose(read("by_onnx.csv")[classes], by_hand(ids, "other", [0]), atol=1e-4)
    with pytest.raises(UserError, match="there is no member 'cnn'; there is other"):
        two.run(apply, "photos", "--onnx", "onnx", "--members", "cnn")
