"""Folds that share a frozen backbone give what they give alone, and run it once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldwise.deploy.torch_runner import FoldNetwork, TorchRunner, load_fold, share_backbones
from foldwise.model.classifier import build_network
from foldwise.model.saved import save_member
from foldwise.model.settings import Model

CLASSES = ["a", "b", "c"]
VIEWS = ["identity", "hflip"]
CPU = torch.device("cpu")


def saved(
    folder: Path, backbone: int, head: int, frozen: bool = True, **settings: Any
) -> tuple[FoldNetwork, Model]:
    """A member of one fold, its backbone and its head of these seeds."""
    given = {"backbone": "timm/test_vit", "image_size": 160} | settings
    model = Model.model_validate(given)
    torch.manual_seed(backbone)
    network = build_network(model, len(CLASSES))
    torch.manual_seed(head)
    torch.nn.init.normal_(network.fc.weight)
    folder.mkdir(parents=True)
    save_member(folder, network, model, CLASSES, False, {"frozen": frozen})
    return load_fold(folder, CLASSES, VIEWS, "mean_logit")


def pixels(seed: int, images: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (images, 3, 160, 160), np.uint8)


def passes(folds: list[tuple[FoldNetwork, Model]]) -> list[int]:
    """Filled by every pass of a backbone."""
    found: list[int] = []
    for each in {id(fold.network.backbone): fold.network.backbone for fold, _ in folds}.values():
        inner = getattr(each, "backbone", each)
        inner.register_forward_hook(lambda _, given, __: found.append(len(given[0])))
    return found


def test_folds_that_share_give_what_they_give_alone(tmp_path: Path) -> None:
    folds = [saved(tmp_path / str(head), 0, head) for head in (1, 2, 3)]
    given = [pixels(0), pixels(1), pixels(0), pixels(2, images=3)]
    alone = [[TorchRunner(fold, CPU)(each) for fold, _ in folds] for each in given]
    share_backbones(folds)
    runners = [TorchRunner(fold, CPU) for fold, _ in folds]
    found = passes(folds)
    for images, wanted in zip(given, alone, strict=True):
        for runner, each in zip(runners, wanted, strict=True):
            assert np.allclose(runner(images), each, atol=1e-5)
    assert found == [len(images) * len(VIEWS) for images in given]
    assert not np.allclose(alone[0][0], alone[0][1], atol=1e-2)
    assert not np.allclose(alone[0][0], alone[1][0], atol=1e-2)


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        (9, {}),
        (0, {"frozen": False}),
        # The same layers and weights, of which another function is made.
        (0, {"options": {"global_pool": "max"}}),
    ],
)
def test_others_keep_their_own(tmp_path: Path, backbone: int, settings: dict[str, Any]) -> None:
    pooled: dict[str, Any] = {"options": {"global_pool": "avg"}} if "options" in settings else {}
    one = saved(tmp_path / "one", 0, 1, **pooled)
    other = saved(tmp_path / "other", backbone, 1, **settings)
    alone = [TorchRunner(fold, CPU)(pixels(0)) for fold, _ in (one, other)]
    share_backbones([one, other])
    assert one[0].network.backbone is not other[0].network.backbone
    for (fold, _), wanted in zip((one, other), alone, strict=True):
        assert np.allclose(TorchRunner(fold, CPU)(pixels(0)), wanted, atol=1e-5)
