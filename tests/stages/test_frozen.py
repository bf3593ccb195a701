"""A frozen backbone in the whole pipeline: run once for all folds, stages and commands."""

import copy
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from safetensors.torch import save_file

from foldwise.core import files
from foldwise.decision.decision import Decision
from foldwise.deploy.torch_runner import SharedBackbone
from foldwise.images.store import ImageStore
from foldwise.model.backbones import build_backbone
from foldwise.model.classifier import Normalizer
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import load_member
from foldwise.model.settings import Model
from foldwise.model.views import make_view
from foldwise.scoring.probability import sigmoid
from tests.conftest import RUN, TINY, Project, make_project

VIEWS = ("identity", "hflip", "rot90")
HEADS = ("logistic", "linear")
STRENGTHS = (0.1, 1.0)


def made(path: Path) -> None:
    """A project whose members' backbones come from one file, after `dvc repro`."""
    project = make_project(path)
    params = copy.deepcopy(TINY)
    network = params["models"]["cnn"] | {
        "dropout": 0.0,
        "feature_norm": "batch",
        "pretrained": "backbone.safetensors",
    }
    freeze: dict[str, Any] = {"epochs": "all", "views": list(VIEWS[:2])}
    own: dict[str, dict[str, Any]] = {
        "logistic": {"head": "logistic", "strengths": list(STRENGTHS)},
        "linear": {"head": "linear"},
    }
    params["members"] = list(HEADS)
    params["epochs"] = 2
    params["train"] |= {"augment": [], "loss": "bce"}
    params["models"] = {head: network | {"train": {"freeze": freeze | own[head]}} for head in HEADS}
    params["tta"]["views"] = list(VIEWS)
    # In float32 torch and its engines agree to what is compared below.
    params["compute"] |= {"precision": "32-true"}
    project.write_params(params)
    torch.manual_seed(5)
    whole = build_backbone(Model.model_validate(network), 1000, pretrained=False)
    save_file(whole.state_dict(), path / "backbone.safetensors")
    project.commit("Frozen")
    done = project.run("dvc", "repro")
    (path / "said").write_text(done.stdout + done.stderr)


@pytest.fixture
def frozen() -> Project:
    """That project, only to be looked at; made by the first process that asks."""
    folder = Path(os.environ[RUN])
    path = folder / "frozen"
    with FileLock(folder / "frozen.lock"):
        if not path.exists():
            made(folder / "frozen-partial")
            (folder / "frozen-partial").rename(path)
    return Project(path)


def said_by(project: Project) -> str:
    return (project.path / "said").read_text()


@pytest.mark.slow
def test_all_folds_stages_and_members_run_the_backbone_once(frozen: Project) -> None:
    project, said = frozen, said_by(frozen)
    computed = re.findall(r"features of foldwise/plain_cnn, (\d+) images, (.+?): \S+ \(", said)
    # Training's views of what folds hold out; prediction's other view, and the test part.
    assert sorted(set(computed)) == sorted(
        [("48", "identity, hflip"), ("48", "rot90"), ("16", "identity, hflip, rot90")]
    )
    assert len(computed) == 3
    found = [np.load(each) for each in (project.path / ".features").glob("*.npy")]
    assert sorted(each.shape for each in found) == [(16, 8)] * 3 + [(48, 8)] * 3
    assert {each.dtype for each in found} == {np.dtype(np.float16)}


@pytest.mark.slow
@pytest.mark.parametrize("member", HEADS)
def test_predictions_are_the_whole_networks(frozen: Project, member: str) -> None:
    project = frozen
    store = ImageStore(project.path / files.IMAGES)
    for fold in (0, 1):
        folder = project.path / f"data/models/{member}/{fold}"
        assert json.loads((folder / "model.json").read_text())["frozen"] is True
        trained = load_member(folder)
        arrays = np.load(project.path / f"data/predictions/{member}/{fold}.npz")
        for part in ("oof", "test"):
            ids = arrays[f"{part}_id"].tolist()
            images = ImageDataset(store, ids, np.empty((len(ids), 0)), trained.model)
            pixels = torch.stack([images.input(0, each) for each in range(len(ids))])
            seen = Normalizer(*trained.model.mean_and_std())(pixels)
            with torch.inference_mode():
                wanted = torch.stack([trained.network(make_view(view)(seen)) for view in VIEWS])
            assert arrays[f"{part}_logits"].dtype == np.float32
            scale = float(wanted.abs().max())
            assert np.allclose(arrays[f"{part}_logits"], wanted, rtol=2e-3, atol=2e-3 * scale)
            assert not np.allclose(wanted[0], wanted[1], atol=2e-3 * scale)


@pytest.mark.slow
def test_folds_share_a_backbone_and_no_head(frozen: Project) -> None:
    project = frozen
    weights = [
        load_member(project.path / f"data/models/{member}/{fold}").network.state_dict()
        for member in HEADS
        for fold in (0, 1)
    ]
    for other in weights[1:]:
        assert not torch.equal(weights[0]["fc.weight"], other["fc.weight"])
        for name, each in weights[0].items():
            assert not name.startswith("backbone.") or torch.equal(each, other[name])


@pytest.mark.slow
def test_another_folds_prediction_computes_no_features(
    frozen: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = Project(tmp_path / "copy")
    shutil.copytree(frozen.path, project.path, symlinks=True)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("features were computed")

    monkeypatch.setattr("foldwise.features.kept.write_features", never)
    before = project.bytes_of("data/predictions")
    for member in HEADS:
        project.stage("predict", "--member", member, "--fold", "1")
    assert project.bytes_of("data/predictions") == before
    # Nor does training.
    models = project.bytes_of("data/models")
    project.stage("train", "--member", "logistic", "--fold", "1")
    assert project.bytes_of("data/models") == models


@pytest.mark.slow
def test_a_copy_in_dvcs_queue_computes_no_features(
    frozen: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor does it keep any: DVC deletes it."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("features were computed")

    shutil.copytree(frozen.path, tmp_path / "copy", symlinks=True)
    queued = Project(tmp_path / "copy/.dvc/tmp/exps/tmp1")
    without = shutil.ignore_patterns(".features", ".checkpoints", "tmp")
    shutil.copytree(frozen.path, queued.path, symlinks=True, ignore=without)
    monkeypatch.setattr("foldwise.features.kept.write_features", never)
    before = queued.bytes_of("data/models", "data/predictions")
    queued.stage("train", "--member", "logistic", "--fold", "1")
    queued.stage("predict", "--member", "logistic", "--fold", "1")
    assert queued.bytes_of("data/models", "data/predictions") == before
    assert not (queued.path / ".features").exists()
    assert not (queued.path / ".checkpoints").exists()


@pytest.mark.slow
def test_applied_once_per_batch_it_gives_the_same(
    frozen: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = frozen
    monkeypatch.chdir(project.path)
    ensemble = np.load("data/ensemble.npz")
    store = ImageStore(files.IMAGES)
    place = {id: row for row, id in enumerate(ensemble["test_id"].tolist())}
    for id in place:
        path = tmp_path / f"{id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.data(id))
    passes: list[int] = []
    start = SharedBackbone.__init__

    def watched(self: SharedBackbone, backbone: torch.nn.Module) -> None:
        start(self, backbone)
        backbone.register_forward_hook(lambda _, given, __: passes.append(len(given[0])))

    monkeypatch.setattr(SharedBackbone, "__init__", watched)
    out = tmp_path / "out.csv"
    project.command("apply", str(tmp_path), "--out", str(out))
    # Two members of two folds each, all on one backbone.
    assert sum(passes) == len(place) * len(VIEWS)
    table = pd.read_csv(out, keep_default_na=False)
    decision = Decision.from_json(json.loads(Path("data/decision.json").read_text()))
    ids = [Path(each).relative_to(tmp_path).with_suffix("").as_posix() for each in table["image"]]
    logits = ensemble["test_logits"][[place[id] for id in ids]]
    classes = files.read_dataset()["classes"]
    assert np.allclose(table[classes], sigmoid(decision.calibrator(logits)), atol=2e-3)
    near = np.abs(decision.calibrator(logits) - np.array(decision.thresholds)) < 1e-2
    for line, own, close in zip(table["labels"], decision(logits), near, strict=True):
        if not close.any():
            assert line.split(",") == [classes[each] for each in np.flatnonzero(own)] or not (
                own.any() or line
            )


@pytest.mark.slow
def test_a_solved_member_has_curves_of_one_row(frozen: Project) -> None:
    project, said = frozen, said_by(frozen)
    for fold in (0, 1):
        assert f"logistic fold {fold}: solved: train_loss" in said
        folder = project.path / f"plots/train/logistic/{fold}/plots/metrics"
        assert {len(path.read_text().splitlines()) for path in folder.glob("*.tsv")} == {2}
        chosen = json.loads((folder.parents[1] / "metrics.json").read_text())["C"]
        assert chosen in STRENGTHS
