"""Killed training goes on where it was, and ends with the same bytes."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
import pytest
import torch
import yaml

from foldwise.features.kept import FeatureFolder
from foldwise.model.dataset import LabelledDataset
from foldwise.model.settings import Model
from foldwise.params import read_params
from foldwise.training.curves import Curves
from foldwise.training.fit import TrainingRun, fit_member
from foldwise.training.fold import datasets
from foldwise.training.keys import key_of, run_key
from foldwise.training.settings import Averaging, EarlyStopping, Recipe, Train
from tests.conftest import Project, environment

OUTS = ("data/models/cnn/1", "plots/train/cnn/1")
TRAIN = (sys.executable, "-m", "stages.train", "--member", "cnn", "--fold", "1")


def wait_for(lines: IO[str] | None, text: str) -> None:
    """Read until a line says so."""
    assert lines is not None
    for line in lines:
        if text in line:
            return
    pytest.fail(f"never said {text!r}")


def interrupt(project: Project, how: signal.Signals, code: int | None = None) -> tuple[Path, str]:
    """Start training, end it after its second epoch; its checkpoints' folder, its last line."""
    for out in OUTS:
        shutil.rmtree(project.path / out)
    process = subprocess.Popen(
        TRAIN,
        cwd=project.path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(process.stderr, "epoch 2/8")
    helpers = psutil.Process(process.pid).children(recursive=True)
    if how == signal.SIGKILL:
        process.send_signal(how)
    else:
        # As schedulers and terminals send it: to all that the job has started.
        os.killpg(process.pid, how)
    _, said = process.communicate()
    if code is None:
        assert process.returncode != 0
    else:
        assert process.returncode == code
        assert "Traceback" not in said
        assert not psutil.wait_procs(helpers, timeout=10)[1]
    assert not (project.path / "data/models/cnn/1").exists()
    (kept,) = (project.path / ".checkpoints").iterdir()
    assert (kept / "last.ckpt").exists()
    return kept, said.splitlines()[-1] if said else ""


def resume(project: Project, kept: Path) -> dict[str, bytes]:
    """Train to the end; what it wrote."""
    said = project.stage("train", "--member", "cnn", "--fold", "1")
    assert "resumed after epoch" in said
    assert "epoch 1/8:" not in said
    assert not kept.exists()
    return project.bytes_of(*OUTS)


@pytest.mark.slow
def test_killed_training_ends_with_the_same_bytes(copied: Project) -> None:
    straight = copied.bytes_of(*OUTS)
    params = (copied.path / "params.yaml").read_text()
    # With workers, which begin to read before training does; the straight run had none.
    (copied.path / "params.yaml").write_text(params.replace("workers: 0", "workers: 2"))
    kept, _ = interrupt(copied, signal.SIGKILL)
    assert resume(copied, kept) == straight


@pytest.mark.slow
def test_ctrl_c_with_best_epoch_and_early_stopping(copied: Project) -> None:
    project = copied
    params = (project.path / "params.yaml").read_text()
    settings = "  keep: best\n  early_stopping: {patience: 9}\n  batch_size:"
    (project.path / "params.yaml").write_text(params.replace("  batch_size:", settings, 1))
    kept, line = interrupt(project, signal.SIGINT, code=130)
    said = r"cnn fold 1: interrupted after epoch [2-7]/8, which is kept; run again to go on"
    assert re.fullmatch(said, line)
    resumed = resume(project, kept)
    for out in OUTS:
        shutil.rmtree(project.path / out)
    assert "resumed" not in project.stage("train", "--member", "cnn", "--fold", "1")
    assert project.bytes_of(*OUTS) == resumed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "said"),
    [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
@pytest.mark.parametrize("compute", [{"workers": 2}, {"devices": 2}], ids=str)
def test_a_signal_keeps_the_last_epoch_and_says_so(
    copied: Project, compute: Any, how: signal.Signals, code: int, said: str
) -> None:
    """As schedulers and users end a job; with processes that read images, and one that trains."""
    straight = copied.bytes_of(*OUTS)
    params = yaml.safe_load((copied.path / "params.yaml").read_text())
    params["compute"] |= compute
    copied.write_params(params)
    kept, line = interrupt(copied, how, code)
    found = re.fullmatch(
        rf"cnn fold 1: {said} after epoch (\d)/8, which is kept; run again to go on", line
    )
    assert found is not None, line
    epoch = torch.load(kept / "last.ckpt", weights_only=True)["epoch"] + 1
    assert int(found[1]) == epoch
    params["compute"] |= {"workers": 0, "devices": 1}
    copied.write_params(params)
    resumed = resume(copied, kept)
    if "devices" not in compute:
        assert resumed == straight


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_killing_dvc_stops_its_training(copied: Project, shell: str) -> None:
    """SIGKILL reaches dvc alone; run again at once, it goes on where it was."""
    project = copied
    text = (project.path / "params.yaml").read_text()
    (project.path / "params.yaml").write_text(text.replace("epochs: 8", "epochs: 20"))
    process = subprocess.Popen(
        ["dvc", "repro", "-s", "train@cnn-1"],
        cwd=project.path,
        env=environment() | {"SHELL": shell},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(process.stderr, "epoch 2/20")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = project.run("dvc", "repro", "-s", "train@cnn-1")
    assert "resumed after epoch" in again.stderr
    assert "epoch 20/20" in again.stderr


@pytest.mark.parametrize(("patience", "averaging"), [(None, None), (1, None), (None, "swa")])
def test_a_finished_training_that_was_not_saved_is_not_trained_on(
    reproduced: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: int | None,
    averaging: Any,
) -> None:
    """Killed between the last epoch and the saved model; with early stopping; with averaging."""
    monkeypatch.chdir(reproduced.path)
    params = read_params()
    stopping = EarlyStopping(patience=patience) if patience else None
    recipe = params.recipe("cnn")
    average = Averaging(method=averaging) if averaging else None
    recipe = recipe.model_copy(
        update={
            # At this rate the loss soon gets worse.
            "lr": 0.5,
            "train": recipe.train.model_copy(
                update={"early_stopping": stopping, "averaging": average}
            ),
        }
    )
    found = []
    for attempt in range(2):
        curves = Curves(tmp_path / str(attempt), "cnn", recipe)
        train, valid = datasets(recipe, 0)
        here = TrainingRun(
            1, params.compute, tmp_path / "kept", FeatureFolder(tmp_path / "features"), curves
        )
        network, epoch = fit_member(recipe, train, valid, here)
        weights = {name: each.clone() for name, each in network.state_dict().items()}
        found.append((epoch, weights))
    (first, weights), (second, again) = found
    assert first == second
    assert (first < recipe.epochs) == bool(patience)
    assert all(torch.equal(each, again[name]) for name, each in weights.items())
    logged = [(tmp_path / each / "metrics.json").read_bytes() for each in "01"]
    assert logged[0] == logged[1]


def test_a_run_is_known_by_all_that_decides_its_weights(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"one")
    recipe = Recipe(
        member="cnn",
        model=Model(backbone="foldwise/plain_cnn", pretrained=str(weights)),
        lr=0.1,
        epochs=3,
        seed=0,
        train=Train(),
    )

    def parts(ids: str = "ab", labels: int = 1) -> list[LabelledDataset]:
        return [LabelledDataset([id], np.array([[0, labels]]), 0) for id in ids]

    same: dict[str, Any] = {"recipe": recipe, "fold": 0, "data": ["data"], "parts": parts()}
    train = Train(batch_size=7)
    others: list[dict[str, Any]] = [
        {"recipe": recipe.model_copy(update={"lr": 0.2})},
        {"recipe": recipe.model_copy(update={"train": train})},
        {"fold": 1},
        {"data": ["other"]},
        {"parts": parts("ac")},
        {"parts": parts("ba")},
        {"parts": parts(labels=0)},
    ]
    keys = {run_key(**same | other) for other in ({}, *others)}
    weights.write_bytes(b"two")
    assert len(keys | {run_key(**same)}) == len(others) + 2
    assert run_key(**same) == run_key(**same | {"parts": parts()})


def test_a_key_knows_the_named_code_and_no_other(tmp_path: Path) -> None:
    for name in ("room/a.py", "room/inner/b.py", "file.py", "other/c.py", "room/notes.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1")

    def key(*parts: Any) -> str:
        return key_of(["room", "file.py"], *parts, root=tmp_path)

    before = key("data")
    for name in ("other/c.py", "room/notes.md"):
        (tmp_path / name).write_text("x = 2")
        assert key("data") == before
    seen = {before, key("other data")}
    for name in ("room/a.py", "room/inner/b.py", "file.py"):
        (tmp_path / name).write_text("x = 2")
        seen.add(key("data"))
    (tmp_path / "room/new.py").write_text("")
    assert len(seen | {key("data")}) == 6
