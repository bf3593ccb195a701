"""The finished ensemble on image files, by torch and by onnxruntime alone."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldwise.commands import apply, export
from foldwise.core.errors import UserError
from foldwise.decision.decision import Decision
from foldwise.deploy.onnx_files import exported_members
from foldwise.scoring.probability import sigmoid
from stages import ensemble, predict, threshold, train
from tests.commands.conftest import Here, read
from tests.conftest import ROOT, TINY, environment
from tests.small import edit_member

# A second member of another kind: larger images in colour, cut into crops.
VARIANTS: dict[str, Any] = {
    "model": {
        "backbone": "foldwise/plain_cnn",
        "options": {"widths": [4, 8], "pools": [0]},
        "image_size": 20,
        "shortest_edge": 28,
        "channels": 3,
        "views": "five_crop",
        "train": {"loss": "bce"},
    },
    "sections": {
        "tta": {"views": ["identity", "hflip"], "merge": "geometric_mean"},
        "ensemble": {"folds": "mean_logit", "members": "mean_logit", "weights": "equal"},
        "threshold": {"calibration": "platt", "scope": "per_class"},
    },
}


@pytest.mark.slow
def test_two_members_by_torch_and_by_onnxruntime(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    params = copy.deepcopy(TINY)
    params["models"]["other"] = VARIANTS["model"]
    params["members"] = ["cnn", "other"]
    params["epochs"] = 2
    for section, keys in VARIANTS["sections"].items():
        params[section] |= keys
    here.project.write_params(params)
    for fold in "01":
        here.run(train, "--member", "other", "--fold", fold)
        # As if it had learned one class per image: its outputs are a softmax's.
        edit_member(Path(f"data/models/other/{fold}"), lambda content: content.update(softmax=True))
        for member in params["members"]:
            here.run(predict, "--member", member, "--fold", fold)
    here.run(ensemble)
    written = json.loads(Path("data/ensemble.json").read_text())
    assert written["members"]["other"]["views"] == ["identity", "hflip"]
    here.run(threshold)
    ids = here.write_images()
    here.run(apply, "photos", "--out", "by_torch.csv")
    by_torch = read("by_torch.csv")
    here.check(ids, by_torch, 1e-5)
    assert by_torch["agreement"].nunique() > 1
    check_unequal_weights(here, ids)

    here.run(export, "--out", "onnx")
    said = capsys.readouterr().out
    assert "onnx: 2 members; logits within " in said
    names = {str(each.relative_to("onnx")) for each in Path("onnx").rglob("*.onnx")}
    assert names == {f"{m}{f}.onnx" for m in params["members"] for f in ("", "/0", "/1")}
    # Neither torch nor the workspace's data: a bare folder.
    code = (
        "import sys; from foldwise.commands import apply; apply.main();"
        "assert 'torch' not in sys.modules"
    )
    bare = here.project.path / "bare"
    bare.mkdir()
    for name in ("onnx", "photos"):
        (here.project.path / name).rename(bare / name)
    command = [sys.executable, "-c", code, "photos", "--onnx", "onnx", "--out", "found.csv"]
    subprocess.run(command, cwd=bare, env=environment() | {"PYTHONPATH": str(ROOT)}, check=True)
    found = read("bare/found.csv")
    here.check(ids, found, 1e-4)
    assert np.allclose(found["agreement"], by_torch["agreement"])

    (bare / "onnx/other/1.onnx").unlink()
    with pytest.raises(UserError, match=r"other/1.onnx: no such file"):
        exported_members(bare / "onnx")
    (bare / "onnx/other/1.onnx").write_bytes(b"not a graph")
    with pytest.raises(UserError, match=r"other/1.onnx: is damaged, by its sum"):
        exported_members(bare / "onnx")


def test_fitted_weights_and_audited_views_are_used(here: Here) -> None:
    """Edited by hand: what `ensemble` would write after leaving a view out."""
    ids = here.write_images()
    here.run(apply, "photos", "--out", "all.csv")
    here.check(ids, read("all.csv"), 1e-5)
    written = json.loads(Path("data/ensemble.json").read_text())
    written["members"]["cnn"]["views"] = ["identity"]
    Path("data/ensemble.json").write_text(json.dumps(written))
    here.run(apply, "photos", "--out", "one.csv")
    classes = json.loads(Path("data/dataset.json").read_text())["classes"]
    decision = Decision.from_json(json.loads(Path("data/decision.json").read_text()))
    with np.load("data/ensemble.npz") as arrays_:
        place = {id: row for row, id in enumerate(arrays_["test_id"].tolist())}
        single = arrays_["test_single"][:, [place[id] for id in ids]]
    wanted = sigmoid(decision.calibrator(_mean(single)))
    assert np.allclose(read("one.csv")[classes], wanted, atol=1e-5)


def check_unequal_weights(here: Here, ids: list[str]) -> None:
    """Edited by hand: what `ensemble` would write after fitting weights."""
    path = Path("data/ensemble.json")
    before = path.read_text()
    written = json.loads(before)
    for member, weight in (("cnn", 0.9), ("other", 0.1)):
        written["members"][member]["weight"] = weight
    path.write_text(json.dumps(written))
    here.run(apply, "photos", "--out", "weighted.csv")
    path.write_text(before)
    classes = json.loads(Path("data/dataset.json").read_text())["classes"]
    decision = Decision.from_json(json.loads(Path("data/decision.json").read_text()))
    with np.load("data/ensemble.npz") as arrays_:
        place = {id: row for row, id in enumerate(arrays_["test_id"].tolist())}
        one, other = arrays_["test_folds"][:, [place[id] for id in ids]]
    wanted = sigmoid(decision.calibrator((0.9 * one + 0.1 * other).astype(np.float32)))
    found = read("weighted.csv")[classes]
    assert np.allclose(found, wanted, atol=1e-5)
    assert not np.allclose(found, read("by_torch.csv")[classes], atol=1e-3)


@pytest.mark.slow
def test_members_of_other_commits_are_brought(here: Here) -> None:
    commit = here.project.run("git", "rev-parse", "HEAD").stdout.strip()[:10]
    ids = here.write_images()
    params = copy.deepcopy(TINY)
    params["ensemble"]["include"] = [commit]
    params["lr"], params["epochs"] = 0.05, 2
    here.project.write_params(params)
    for fold in "01":
        here.run(train, "--member", "cnn", "--fold", fold)
        here.run(predict, "--member", "cnn", "--fold", fold)
    here.run(ensemble)
    here.run(threshold)
    with np.load("data/ensemble.npz") as arrays_:
        own, theirs = arrays_["test_folds"]
    assert not np.allclose(own, theirs, atol=1e-3)
    here.run(apply, "photos", "--out", "both.csv")
    here.check(ids, read("both.csv"), 1e-5)


def test_models_of_other_classes_are_refused(here: Here) -> None:
    ids = here.write_images()
    path = Path("data/dataset.json")
    dataset = json.loads(path.read_text())
    path.write_text(json.dumps(dataset | {"classes": dataset["classes"][::-1]}))
    with pytest.raises(UserError, match=r"data/models/cnn/0: was trained on other classes"):
        here.run(apply, f"photos/{ids[0]}.png")
    with pytest.raises(UserError, match=r"data/models/cnn/0: was trained on other classes"):
        here.run(export, "--out", "onnx")
    assert not Path("predictions.csv").exists()
    assert not Path("onnx").exists()


def test_a_damaged_decoding_is_a_line(here: Here) -> None:
    ids = here.write_images()
    path = Path("data/dataset.json")
    dataset = json.loads(path.read_text())
    path.write_text(json.dumps(dataset | {"decoding": {"ground": [0, 0, 300], "depth": 12}}))
    with pytest.raises(UserError, match=r"\Adata/dataset.json: is damaged \(`ground` is not red"):
        here.run(apply, f"photos/{ids[0]}.png")


def _mean(logits: np.ndarray) -> np.ndarray:
    """Logits of the mean of probabilities."""
    p = sigmoid(logits.astype(np.float64)).mean(0)
    return np.log(p) - np.log1p(-p)


def test_an_export_takes_no_other_folders_place(here: Here) -> None:
    with pytest.raises(UserError, match=r"data: holds other things than an export"):
        here.run(export, "--out", "data")
    assert Path("data/images").is_dir()
    Path("mine").mkdir()
    Path("mine/yolo.onnx").write_text("precious")
    with pytest.raises(UserError, match=r"mine: holds other things than an export"):
        here.run(export, "--out", "mine")
    assert Path("mine/yolo.onnx").read_text() == "precious"
    Path("link").symlink_to("mine")
    with pytest.raises(UserError, match=r"link: holds other things than an export"):
        here.run(export, "--out", "link")
    with pytest.raises(UserError, match=r"yolo.onnx/p.csv: cannot be written"):
        here.run(apply, "mine", "--out", "mine/yolo.onnx/p.csv")
