"""Batch normalisation whose statistics stay as they came."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from foldwise.model.backbones import build_backbone
from foldwise.training.settings import Train
from tests.fitting import fit, recipe, same


def statistics(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: each for name, each in weights.items() if "running_" in name}


@pytest.mark.parametrize("kept", [True, False])
def test_statistics_of_the_backbone_stay_and_its_weights_learn(
    images: Any, tmp_path: Path, kept: bool
) -> None:
    path = tmp_path / "weights.safetensors"
    begun = build_backbone(recipe().model, 7, pretrained=False)
    for name, each in statistics(begun.state_dict()).items():
        each.copy_(torch.rand(each.shape) + ("var" in name))
    save_file(begun.state_dict(), path)
    made = recipe(
        model={"pretrained": str(path), "feature_norm": "batch"},
        batch_norm="frozen" if kept else "train",
    )
    data = images(made)
    straight, _ = fit(made, data, tmp_path / "straight")
    resumed, _ = fit(made, data, tmp_path / "resumed", until=1)
    assert same(straight, resumed)
    found, before = straight.backbone.state_dict(), begun.state_dict()
    assert statistics(found)
    for name, each in statistics(found).items():
        assert torch.equal(each, before[name]) == kept
    layer = next(name for name in found if name.endswith("running_mean"))
    scale = layer.replace("running_mean", "weight")
    assert not torch.equal(found[scale], before[scale])
    # The features' own are the head's, and new.
    assert straight.state_dict()["norm.running_mean"].abs().sum() > 0


def test_there_must_be_statistics_to_keep() -> None:
    with pytest.raises(ValueError, match="batch_norm: there are no statistics to keep"):
        recipe(batch_norm="frozen")
    assert recipe(batch_norm="frozen", warm_start="HEAD").train.batch_norm == "frozen"
    with pytest.raises(ValueError, match="batch_norm: is frozen anyway"):
        Train.model_validate({"batch_norm": "frozen", "freeze": {"epochs": "all"}})
