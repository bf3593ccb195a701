"""Several processes: for one fold, and for folds side by side."""

import shutil
import sys
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.numpy import load_file
from timm.layers import BatchNormAct2d
from torch import nn

from foldwise.commands import folds_parallel
from foldwise.core.errors import UserError
from foldwise.training.distributed import SharedBatchNorm, share_batch_norm
from tests.conftest import Project

WEIGHTS = "data/models/cnn/0/weights.safetensors"


def set_params(project: Project, **settings: Any) -> None:
    content = yaml.safe_load((project.path / "params.yaml").read_text())
    for section, values in settings.items():
        content[section] |= values
    project.write_params(content)


@pytest.mark.slow
def test_two_processes_agree_with_one(copied: Project) -> None:
    """From `dvc repro`, with batch normalisation and a last batch that is shared unequally."""
    content = yaml.safe_load((copied.path / "params.yaml").read_text())
    content["epochs"] = 3
    # What is dropped is drawn by each process for itself.
    content["models"]["cnn"]["dropout"] = 0.0
    # 24 images are trained on: the last one, left over, joins the batch before it.
    content["train"] |= {"batch_size": 23, "loss": "bce"}
    content["compute"] |= {"precision": "32-true"}
    copied.write_params(content)
    found = []
    for devices in (1, 2):
        set_params(copied, compute={"devices": devices})
        shutil.rmtree(copied.path / "data/models")
        if devices == 1:
            said = copied.stage("train", "--member", "cnn", "--fold", "0")
        else:
            said = copied.run("dvc", "repro", "--force", "-s", "train@cnn-0").stderr
        assert said.count("epoch 3/3") == 1
        weights = load_file(copied.path / WEIGHTS)
        curves = copied.path / "plots/train/cnn/0/plots/metrics"
        # Not the scores, which jump where two images change places.
        losses = [np.loadtxt(each, skiprows=1) for each in sorted(curves.glob("*_loss.tsv"))]
        found.append((weights, np.stack(losses)))
    (one, alone), (two, together) = found
    for name, weight in one.items():
        # The image that makes up the numbers counts in the unbiased variance.
        rtol = 1e-3 if name.endswith("running_var") else 0
        assert np.allclose(weight, two[name], rtol, 2e-5), name
    assert alone.shape == (2, 3, 2)
    assert np.allclose(alone, together, rtol=1e-3)
    assert not np.array_equal(one["fc.weight"], two["fc.weight"])


def test_shared_normalisation_is_torchs_where_there_is_one_process() -> None:
    torch.manual_seed(0)
    images = torch.randn(6, 3, 5, 5) * 2 + 1
    networks = [
        nn.Sequential(nn.Conv2d(3, 4, 3), BatchNormAct2d(4), nn.BatchNorm2d(4), nn.Flatten(1))
        for _ in "ab"
    ]
    networks[1].load_state_dict(networks[0].state_dict())
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    try:
        share_batch_norm(networks[1], torch.device("cpu"))
        assert isinstance(networks[1][1], SharedBatchNorm)
        assert isinstance(networks[1][2], SharedBatchNorm)
        with pytest.raises(UserError, match="0 is a BatchNorm3d"):
            share_batch_norm(nn.Sequential(nn.BatchNorm3d(2)), torch.device("cpu"))
        gradients = []
        for network in networks:
            out = network(images)
            (out * torch.arange(out.shape[1])).pow(2).mean().backward()
            gradients.append([each.grad for each in network.parameters()])
        for one, other in zip(*gradients, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-3)
    finally:
        torch.distributed.destroy_process_group()
    for name, each in networks[0].state_dict().items():
        assert torch.allclose(each.float(), networks[1].state_dict()[name].float(), atol=1e-5)
    assert torch.allclose(networks[0].eval()(images), networks[1].eval()(images), atol=1e-5)


def side_by_side(project: Project, jobs: str, code: int = 0) -> str:
    """As people type it: it starts DVC, which stands beside the environment's Python."""
    command = (sys.executable, "-m", "foldwise", "folds-parallel", jobs)
    return project.run(*command, code=code).stderr


@pytest.mark.slow
def test_folds_side_by_side_leave_what_repro_leaves(copied: Project) -> None:
    project = copied
    outs = ("data/models", "data/predictions", "plots/train")
    straight = project.bytes_of(*outs)
    lock = (project.path / "dvc.lock").read_bytes()
    for out in outs:
        shutil.rmtree(project.path / out)
    shutil.rmtree(project.path / ".dvc/cache")
    (project.path / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    content = yaml.safe_load(lock)
    names = list(content["stages"])
    first = names[: names.index("train@cnn-0")]
    kept = {
        "schema": content["schema"],
        "stages": {each: content["stages"][each] for each in first},
    }
    (project.path / "dvc.lock").write_text(yaml.safe_dump(kept, sort_keys=False))
    said = side_by_side(project, "2")
    assert "train@cnn-1: cnn fold 1: epoch 8/8" in said
    assert project.bytes_of(*outs) == straight
    project.run("dvc", "repro")
    assert (project.path / "dvc.lock").read_bytes() == lock
    assert "didn't change" in side_by_side(project, "2")


@pytest.mark.slow
def test_a_failed_fold_is_named(copied: Project) -> None:
    set_params(copied, train={"optimizer": "adamm"})
    said = side_by_side(copied, "2", code=1)
    assert "timm has no 'adamm'" in said
    assert said.splitlines()[-1].startswith("error: train@cnn-0, train@cnn-1: failed")
    assert "JOBS: got 0" in copied.command("folds-parallel", "0", code=1)


def test_every_fold_is_trained_before_it_predicts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def noted(target: str, environment: Any) -> int:
        assert environment == {"FOLDWISE_CLUSTER": "head:1"}
        asked.append(target)
        return int(target == "train@a-1")

    monkeypatch.setattr(folds_parallel, "dvc", noted)
    failed = folds_parallel.all_folds(2, ["a-0", "a-1", "a-2"], {"FOLDWISE_CLUSTER": "head:1"})
    assert failed == ["train@a-1"]
    wanted = {f"{stage}@a-{fold}" for stage in ("train", "predict") for fold in range(3)}
    assert sorted(asked) == sorted(wanted - {"predict@a-1"})
    for fold in (0, 2):
        assert asked.index(f"train@a-{fold}") < asked.index(f"predict@a-{fold}")
