"""A committed run that teaches: fold k's student learns from its fold-k models alone."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import stages.train
from foldwise.core.errors import UserError
from foldwise.ensembling.merge import merge_logits
from foldwise.features.kept import FeatureFolder
from foldwise.images.store import ImageStore
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import load_member, read_model
from foldwise.model.settings import Compute
from foldwise.params import read_params
from foldwise.training.teacher import Taught, taught_logits
from tests.conftest import Project
from tests.small import edit_member

COMPUTE = Compute(accelerator="cpu", precision="32-true", workers=0)
FOLD = "data/models/cnn/1"


def head(project: Project) -> str:
    return project.run("git", "rev-parse", "HEAD").stdout.strip()


def change(project: Project, **train: Any) -> None:
    content = yaml.safe_load((project.path / "params.yaml").read_text())
    content["train"] |= train
    project.write_params(content)


@pytest.fixture
def here(copied: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The reproduced project as the current folder."""
    monkeypatch.chdir(copied.path)
    return copied


@pytest.fixture
def student(here: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains a student of fold 1; its model.json."""

    def train(**teacher: Any) -> Any:
        change(here, teacher={"revision": head(here)} | teacher)
        monkeypatch.setattr(sys, "argv", ["train", "--member", "cnn", "--fold", "1"])
        stages.train.main()
        return json.loads((here.path / FOLD / "model.json").read_text())

    return train


def taught_by(project: Project, fold: int, ids: list[str], folder: Path) -> np.ndarray:
    trained = load_member(project.path / "data/models/cnn" / str(fold))
    unseen = read_model(project.path / "data/models/cnn" / str(fold))["unseen"]
    store = ImageStore(Path("data/images"))
    images = ImageDataset(store, ids, np.empty((len(ids), 0)), trained.model)
    teacher = Taught(head(project), fold, trained.classes, unseen)
    return taught_logits(teacher, images, COMPUTE, FeatureFolder(folder / "features"), folder)


@pytest.mark.parametrize("fold", [0, 1])
def test_a_folds_teacher_is_its_own_models_alone(
    fold: int, here: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says of the test part what this fold's models were predicted to say, and no other's."""
    predicted = [np.load(f"data/predictions/cnn/{each}.npz") for each in (0, 1)]
    folder = tmp_path / "kept"
    folder.mkdir()
    ids = predicted[fold]["test_id"].tolist()
    found = taught_by(here, fold, ids, folder)
    own, other = (merge_logits(each["test_logits"], "mean_probability") for each in predicted)
    own, other = (own, other) if fold == 0 else (other, own)
    assert np.allclose(found, own, atol=1e-4)
    assert not np.allclose(found, other, atol=0.1)
    # What an interrupted run has computed is not computed again.
    monkeypatch.setattr(Taught, "logits", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(taught_by(here, fold, ids, folder), found)


def test_damaged_targets_are_computed_anew(here: Project, tmp_path: Path, capsys: Any) -> None:
    ids = np.load("data/predictions/cnn/0.npz")["test_id"].tolist()
    found = taught_by(here, 0, ids, tmp_path)
    path = tmp_path / "taught.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))
    assert np.array_equal(taught_by(here, 0, ids, tmp_path), found)
    assert "damaged" in capsys.readouterr().err


@pytest.mark.slow
def test_a_student_says_who_taught_it_and_learned_from_it(student: Any, here: Project) -> None:
    before = (here.path / FOLD / "weights.safetensors").read_bytes()
    commit = head(here)
    model = student(rows=["train", "test"], weight=0.5, temperature=2.0)
    assert model["teacher"] == commit
    assert (here.path / FOLD / "weights.safetensors").read_bytes() != before
    # Predictions of it are as much out-of-fold as its teacher's.
    here.stage("predict", "--member", "cnn", "--fold", "1")
    first = (here.path / FOLD / "weights.safetensors").read_bytes()
    student(rows=["train", "test"], weight=0.5, temperature=2.0)
    assert (here.path / FOLD / "weights.safetensors").read_bytes() == first


def test_a_teacher_that_may_know_held_out_images_is_refused(student: Any, here: Project) -> None:
    """Folds drawn by another seed: its fold-1 models were trained on some of ours."""
    content = yaml.safe_load((here.path / "params.yaml").read_text())
    here.write_params(content | {"seed": 5})
    here.stage("split")
    before = here.bytes_of(FOLD)
    with pytest.raises(UserError, match="its folds differ"):
        student()
    assert here.bytes_of(FOLD) == before


def test_a_teacher_without_this_fold_is_refused(student: Any, here: Project) -> None:
    content = yaml.safe_load((here.path / "params.yaml").read_text())
    here.write_params(content | {"folds": [0]})
    here.commit("One fold")
    revision = head(here)
    here.write_params(content)
    with pytest.raises(UserError, match="has no fold 1"):
        student(revision=revision)


def test_a_teacher_of_other_classes_is_refused(student: Any, here: Project) -> None:
    edit_member(here.path / FOLD, lambda content: content.update(classes=["x"]))
    here.run("dvc", "commit", "-f", "train@cnn-1")
    here.commit("Other classes")
    with pytest.raises(UserError, match="has other classes"):
        student()


def test_a_commit_that_is_no_run_is_refused(student: Any, here: Project) -> None:
    content = yaml.safe_load((here.path / "params.yaml").read_text())
    for written, said in (
        ("", "has no params.yaml"),
        ("a: [", "is not valid YAML"),
        (yaml.safe_dump(content | {"members": []}), "members: "),
        (yaml.safe_dump(content | {"tta": 3}), "tta: "),
    ):
        (here.path / "params.yaml").write_text(written)
        here.commit("No run")
        revision = head(here)
        here.write_params(content)
        with pytest.raises(UserError, match=said):
            student(revision=revision)


def test_a_damaged_teacher_is_fetched_anew(here: Project, tmp_path: Path, capsys: Any) -> None:
    ids = np.load("data/predictions/cnn/0.npz")["test_id"].tolist()
    found = taught_by(here, 0, ids, tmp_path)
    (tmp_path / "taught.npz").unlink()
    (weights,) = tmp_path.glob("*-cnn-0/weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 255
    weights.unlink()
    weights.write_bytes(bytes(content))
    assert np.array_equal(taught_by(here, 0, ids, tmp_path), found)
    assert "is damaged; fetched anew" in capsys.readouterr().err


def test_unknown_and_moving_names_are_refused(student: Any, here: Project) -> None:
    with pytest.raises(UserError, match=r"train\.teacher\.revision: git knows no commit 'nobody'"):
        student(revision="nobody")
    change(here, teacher={"revision": "main"})
    here.commit("A moving name")
    with pytest.raises(UserError, match="'main' is committed") as error:
        student(revision="main")
    assert "write the hash that `teacher`" in str(error.value)


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"extra": {"nobody": {}}}, "is no source of `data.extra`"),
        ({"own_from": 0.5}, "nothing else to learn from"),
        ({"curriculum": {0.5: 1}}, "is of composed images"),
        ({"curriculum": {2.0: 1}}, "curriculum"),
        ({"teacher": {"revision": "a", "rows": ["train", "train"]}}, "named once"),
        ({"teacher": {"revision": "a"}, "sampler": "balanced"}, "balanced corrects"),
        ({"teacher": {"rows": ["train"]}}, "revision: is missing"),
        ({"teacher": {"revision": "a", "rows": ["unlabelled"]}}, "which has no source"),
        ({"teacher": {"revision": "a", "per_epoch": 5}}, "per_epoch: is of the test part"),
        ({"teacher": {"revision": "a", "rows": ["test"], "weight": 1.0}}, "without a say"),
        ({"teacher": {"revision": "a", "weight": 1.5}}, r"train\.teacher\.weight"),
    ],
)
def test_what_means_nothing_is_refused_before_any_work(
    train: dict[str, Any], said: str, project: Project
) -> None:
    change(project, **train)
    with pytest.raises(UserError, match=said):
        read_params(project.path / "params.yaml")
