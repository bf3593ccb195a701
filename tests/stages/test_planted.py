"""A payload in every kind of file that a stage or command reads: none of them runs."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from foldwise.model.classifier import build_network
from foldwise.model.settings import Model
from tests.conftest import Project
from tests.planted import disguises

FOLD = ("--member", "cnn", "--fold", "0")
READERS: dict[str, tuple[str, ...]] = {
    "params.yaml": ("split",),
    "data/labels.parquet": ("split",),
    "data/dataset.json": ("train", *FOLD),
    "data/folds.csv": ("train", *FOLD),
    "data/images/shard-00000.arrow": ("train", *FOLD),
    "data/models/cnn/0/weights.safetensors": ("predict", *FOLD),
    "data/models/cnn/0/model.json": ("predict", *FOLD),
    "data/predictions/cnn/0.npz": ("ensemble",),
    "data/features/cnn/0.npz": ("present",),
    "data/ensemble.npz": ("threshold",),
    "data/outoffold.npz": ("evaluate",),
    "data/decision.json": ("evaluate",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_nothing_that_a_stage_reads_is_run(copied: Project, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    path = copied.path / name
    assert path.exists()
    for content in disguises(mark).values():
        path.unlink()
        path.write_bytes(content)
        said = copied.stage(*READERS[name], code=1)
        assert said.count("error: ") == 1, said
        assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_no_file_of_pretrained_weights_is_run(tmp_path: Path, suffix: str) -> None:
    mark = tmp_path / "mark"
    path = tmp_path / f"weights{suffix}"
    for content in disguises(mark).values():
        path.write_bytes(content)
        model: dict[str, Any] = {"backbone": "foldwise/plain_cnn", "pretrained": str(path)}
        with pytest.raises(Exception, match=r"weights\.\w+: holds no plain tensors") as error:
            build_network(Model.model_validate(model), 2)
        assert type(error.value).__name__ == "UserError"
        assert not mark.exists()


def test_no_file_of_an_export_is_run(copied: Project, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    folder = copied.path / "onnx"
    photo = copied.path / "photo.png"
    photo.write_bytes(b"")
    for content in disguises(mark).values():
        for name in ("cnn/0.onnx", "SHA256SUMS"):
            shutil.rmtree(folder, ignore_errors=True)
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(content)
            said = copied.command("apply", "photo.png", "--onnx", "onnx", code=1)
            assert said.startswith("error: onnx")
            assert not mark.exists()


def test_no_checkpoint_of_lightnings_own_is_gone_on_from(
    copied: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning looks for one where it runs, once Slurm has started it."""
    mark = tmp_path / "mark"
    for name, value in (("SLURM_NTASKS", "1"), ("SLURM_JOB_NAME", "train")):
        monkeypatch.setenv(name, value)
    for name, value in (("SLURM_PROCID", "0"), ("SLURM_LOCALID", "0"), ("SLURM_NODEID", "0")):
        monkeypatch.setenv(name, value)
    params = yaml.safe_load((copied.path / "params.yaml").read_text())
    copied.write_params(params | {"epochs": 1})
    (copied.path / "hpc_ckpt_1.ckpt").write_bytes(disguises(mark)["torch"])
    said = copied.stage("train", *FOLD)
    assert "epoch 1/1" in said
    assert not mark.exists()


def test_the_payloads_run_where_readers_are_careless(tmp_path: Path) -> None:
    """Else the tests above would see nothing."""
    for number, name in enumerate(("torch", "old torch", "npz")):
        mark = tmp_path / str(number)
        path = tmp_path / "file"
        path.write_bytes(disguises(mark)[name])
        if name == "npz":
            np.load(path, allow_pickle=True)["logits"]
        else:
            torch.load(path, weights_only=False)
        assert mark.exists()
