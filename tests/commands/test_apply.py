"""The finished ensemble on image files, by torch and by onnxruntime alone."""

import copy
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from foldwise.commands import apply, export
from foldwise.commands.apply import ReadImage, depth_warning, image_paths, read_image
from foldwise.core.errors import UserError
from foldwise.decision.decision import Decision
from foldwise.deploy.ensemble import DeployedMember
from foldwise.deploy.onnx_files import exported_members
from foldwise.images.decoding import Decoding
from foldwise.images.store import ImageStore
from foldwise.model.settings import Model
from foldwise.scoring.probability import sigmoid
from stages import ensemble, predict, threshold, train
from tests.conftest import ROOT, TINY, Project, environment
from tests.small import edit_member


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


@pytest.mark.long
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


def test_paths_that_lead_nowhere_are_listed(here: Here) -> None:
    ids = here.write_images()
    Path("photos/dangling.png").symlink_to("nowhere.png")
    long = "x" * 300 + ".png"
    with pytest.raises(UserError) as error:
        here.run(apply, "photos", long, "--out", "found.csv")
    said = error.value.args
    assert len(said) == 2
    assert said[0].startswith("photos/dangling.png: cannot be read (No such file")
    assert said[1].startswith(f"{long}: cannot be read (File name too long")
    here.check(ids, read("found.csv"), 1e-5)


def test_an_image_too_long_to_be_resized_is_listed(tmp_path: Path) -> None:
    thin, small = tmp_path / "thin.png", tmp_path / "small.png"
    cv2.imwrite(str(thin), np.zeros((1, 400_000), np.uint8))
    cv2.imwrite(str(small), np.zeros((9, 9), np.uint8))
    stretched = Model(backbone="foldwise/plain_cnn", image_size=224)
    cut = stretched.model_copy(update={"shortest_edge": 256})
    assert isinstance(read_image(thin, 10**6, [stretched]), ReadImage)
    said = read_image(thin, 10**6, [stretched, cut])
    assert isinstance(said, str)
    assert "resized to 256 x 102400000 pixels" in said
    # A small limit on what is read says nothing of what networks take.
    assert isinstance(read_image(small, 100, [cut]), ReadImage)


def _mean(logits: np.ndarray) -> np.ndarray:
    """Logits of the mean of probabilities."""
    p = sigmoid(logits.astype(np.float64)).mean(0)
    return np.log(p) - np.log1p(-p)


def test_a_bad_image_does_not_stop_the_rest(here: Here) -> None:
    ids = here.write_images()
    whole = Path(f"photos/{ids[0]}.png").read_bytes()
    Path("photos/aa cut.png").write_bytes(whole[: len(whole) // 2])
    Path("photos/notes.txt").write_text("passed over")
    Path("named.txt").write_text("tried")
    with pytest.raises(UserError) as error:
        here.run(apply, "photos", "named.txt", "gone.jpg", "--out", "found.csv")
    said = error.value.args
    assert len(said) == 3
    assert said[0].startswith("photos/aa cut.png: does not decode (")
    assert said[1].startswith("named.txt: is no image of a format that can be read")
    assert said[2].startswith("gone.jpg: cannot be read (No such file")
    here.check(ids, read("found.csv"), 1e-5)
    with pytest.raises(UserError, match=r"named.txt: is no image"):
        here.run(apply, "named.txt", "--out", "none.csv")
    assert not Path("none.csv").exists()
    Path("empty").mkdir()
    with pytest.raises(UserError, match=r"empty: holds no images"):
        here.run(apply, "empty")
    with pytest.raises(UserError, match=r"empty: holds no images"):
        here.run(apply, "empty", f"photos/{ids[1]}.png", "--out", "one.csv")
    assert len(read("one.csv")) == 1
    with pytest.raises(UserError, match=r"photos: is a folder; name the CSV"):
        here.run(apply, f"photos/{ids[1]}.png", "--out", "photos")
    os.mkfifo("pipe.png")
    odd = os.fsdecode(b"n\xff.png")
    Path(odd).write_bytes(whole)
    with pytest.raises(UserError, match=r"pipe.png: is no file"):
        here.run(apply, "pipe.png", odd, "--out", "odd.csv")
    assert read("odd.csv")["image"].tolist() == ["n\\udcff.png"]


def deployed(depth: int, settled: bool) -> DeployedMember:
    decoding = Decoding(depth=depth)
    return DeployedMember(Model(backbone="foldwise/plain_cnn"), decoding, settled, [], 1.0)


def test_samples_of_another_depth_than_trainings_are_counted() -> None:
    unsettled, whole, twelve = deployed(16, False), deployed(16, True), deployed(12, True)
    largest = [200, 4095, 4096, 32767, 32768, 65535]
    dark = depth_warning(largest, [unsettled])
    assert dark is not None
    assert "4 with 16-bit samples of fewer bits (the largest is 32767) are darker" in dark
    assert "white" not in dark
    bright = depth_warning(largest, [whole, twelve])
    assert bright is not None
    assert "4 have samples above the 12 bits of training" in bright
    assert "darker" not in bright
    both = depth_warning(largest, [unsettled, twelve])
    assert both is not None
    assert "4 with 16-bit samples of fewer" in both
    assert "4 have samples above the 12 bits" in both
    assert depth_warning(largest, [whole]) is None
    assert depth_warning([200, 4095], [whole, twelve]) is None
    assert depth_warning([], [unsettled, twelve]) is None
    assert depth_warning([65535], [unsettled]) is None


def test_deep_images_for_networks_of_shallow_ones_are_told(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = np.random.default_rng(0).integers(0, 4096, (9, 9)).astype(np.uint16)
    grey[0, 0] = 4095
    for number in "12":
        cv2.imwrite(f"{number}.png", grey)
    shallow = here.write_images()[0]
    told = "warning: images: 2 with 16-bit samples of fewer bits (the largest is 4095) are darker"
    here.run(apply, "1.png", "2.png", f"photos/{shallow}.png", "--out", "found.csv")
    assert told in capsys.readouterr().err
    assert len(read("found.csv")) == 3
    path = Path("data/dataset.json")
    deep = Decoding().to_json() | {"deep_images": 1}
    for decoded, warned in ((deep, ""), (Decoding(depth=11).to_json(), "2 have samples above")):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"decoding": decoded}))
        here.run(apply, "1.png", "2.png", "--out", "found.csv")
        said = capsys.readouterr().err
        assert ("warning: " in said) == bool(warned)
        assert warned in said


def test_names_and_sizes_that_harm_are_told_in_a_line(
    here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = here.write_images()
    Path("a\x1b[2Jb.png").write_text("no image")
    Path("void\n").mkdir()
    Path("vast.png").touch()
    os.truncate("vast.png", 2**29 + 2**20)
    named = ("a\x1b[2Jb.png", "vast.png", "void\n", f"photos/{ids[0]}.png")
    with pytest.raises(UserError) as error:
        here.run(apply, *named, "--out", "o\r.csv")
    assert error.value.args == (
        "void\\n: holds no images; it is left out",
        "a\\x1b[2Jb.png: is no image of a format that can be read; it is left out",
        "vast.png: has 513 MiB, over the 512 of any single file; divide it; it is left out",
    )
    assert "o\\r.csv: 1 images" in capsys.readouterr().err


def test_files_are_found_once_and_in_order(tmp_path: Path) -> None:
    hidden = ("b/._2.png", "b/.git/4.png", "b/__MACOSX/5.png")
    for name in ("b/2.png", "b/1.JPG", "a.png", "b/c/3.webp", "b/read.me", *hidden):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    named = [str(tmp_path / each) for each in ("b", "a.png", "b/2.png")]
    found, empty = image_paths(named)
    assert empty == []
    assert [str(each.relative_to(tmp_path)) for each in found] == [
        "b/1.JPG",
        "b/2.png",
        "b/c/3.webp",
        "a.png",
    ]


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
