"""Going on from another commit's weights."""

import json
import shutil
import sys
from typing import Any

import pandas as pd
import pytest
import yaml

import stages.train
from foldwise.core.errors import UserError
from tests.conftest import Project

FOLD = "data/models/cnn/1"


def params(project: Project) -> Any:
    return yaml.safe_load((project.path / "params.yaml").read_text())


def set_train(project: Project, **settings: Any) -> None:
    content = params(project)
    content["train"] |= settings
    project.write_params(content)


def head(project: Project) -> str:
    return project.run("git", "rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def train_here(copied: Project, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Trains fold 1 in this process, which has imported all of it already."""

    def train(**settings: Any) -> None:
        set_train(copied, **settings)
        monkeypatch.chdir(copied.path)
        monkeypatch.setattr(sys, "argv", ["train", "--member", "cnn", "--fold", "1"])
        stages.train.main()

    return train


@pytest.mark.slow
def test_an_experiment_goes_on_from_head(copied: Project, train_here: Any) -> None:
    """As the walkthroughs have it; then it is committed, and the moving name is refused."""
    project = copied
    start = head(project)
    # Its files are gone, as in a clone: DVC finds them in its cache.
    shutil.rmtree(project.path / "data/models")
    overrides = [f"-S{each}" for each in ("lr=1e-6", "train.warm_start=HEAD", "epochs=2")]
    project.run("dvc", "exp", "run", *overrides, "train@cnn-1")
    model = json.loads((project.path / FOLD / "model.json").read_text())
    assert model["warm_start"] == start
    assert (model["epoch"], model["recipe"]["lr"]) == (2, 1e-6)
    curve = (project.path / "plots/train/cnn/1/plots/metrics/valid_loss.tsv").read_text()
    before = project.run(
        "git", "show", "HEAD:plots/train/cnn/1/plots/metrics/valid_loss.tsv"
    ).stdout
    first, last = (
        float(each.splitlines()[row].split("\t")[1]) for each, row in ((curve, 1), (before, -1))
    )
    assert first == pytest.approx(last, rel=1e-2)
    # HEAD elsewhere is another experiment, though no param says so.
    project.run("git", "restore", ".")
    project.run("dvc", "checkout", "--force")
    project.run("git", "commit", "--allow-empty", "-qm", "Elsewhere")
    project.run("dvc", "exp", "run", *overrides, "train@cnn-1")
    model = json.loads((project.path / FOLD / "model.json").read_text())
    assert model["warm_start"] == head(project) != start
    project.commit("Went on")
    with pytest.raises(UserError) as error:
        train_here()
    assert "'HEAD' is committed" in str(error.value)
    assert "write the hash" in str(error.value)
    train_here(warm_start=start[:10])
    model = json.loads((project.path / FOLD / "model.json").read_text())
    assert model["warm_start"] == start


@pytest.fixture
def refused(copied: Project, train_here: Any) -> Any:
    """Trains with settings that are refused, and looks at what is said."""

    def train(said: str, **settings: Any) -> None:
        before = copied.bytes_of("data/models")
        with pytest.raises(UserError) as error:
            train_here(**settings)
        assert said in str(error.value)
        assert "\n" not in str(error.value)
        assert copied.bytes_of("data/models") == before

    return train


@pytest.mark.slow
def test_what_cannot_be_gone_on_from_is_refused(copied: Project, refused: Any) -> None:
    project = copied
    refused("git knows no commit 'v7'", warm_start="v7")
    start = head(project)
    project.run("git", "tag", "v7")
    other = project.run("git", "log", "--format=%H", "--reverse").stdout.split()[0]
    refused(f"data/models/cnn/1 of commit {other[:10]}: cannot be had", warm_start=other)
    content = params(project)
    content["models"]["cnn"]["options"]["widths"] = [4, 9]
    project.write_params(content)
    refused("does not fit this network: ", warm_start=start)
    content["models"]["cnn"]["options"]["widths"] = [4, 8]
    project.write_params(content)
    folds = pd.read_csv(project.path / "data/folds.csv")
    folds["fold"] = folds["fold"].sample(frac=1, random_state=0).to_numpy()
    folds.to_csv(project.path / "data/folds.csv", index=False)
    refused("its folds differ", warm_start="v7")


def test_weights_that_are_nowhere_are_refused(copied: Project, refused: Any) -> None:
    shutil.rmtree(copied.path / ".dvc/cache")
    refused("cannot be had from DVC's cache or remote", warm_start=head(copied))
