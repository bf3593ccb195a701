"""Stochastic depth by one name, beside each library's own argument."""

from typing import Any

import pytest
import torch
from timm.layers import DropPath
from torch import nn
from torchvision.ops import StochasticDepth

from foldwise.core.errors import UserError
from foldwise.model.classifier import build_network
from foldwise.model.settings import DROP_PATH
from tests.small import model

NETWORKS: dict[str, dict[str, Any]] = {
    "foldwise/bottleneck_resnet": {"widths": [4, 4], "depths": [2, 3]},
    "torchvision/convnext_tiny": {},
    "timm/test_convnext": {},
    "timm/test_vit": {"img_size": 64},
    "efficientnet_pytorch/efficientnet-b0": {"dropout_rate": 0.0},
}


def shares(network: nn.Module) -> list[float]:
    """What is dropped, block by block, where modules do it."""
    found = []
    for layer in network.modules():
        if isinstance(layer, DropPath):
            found.append(layer.drop_prob)
        elif isinstance(layer, StochasticDepth):
            found.append(layer.p)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("backbone", NETWORKS)
def test_it_is_the_librarys_own_argument(backbone: str) -> None:
    options = NETWORKS[backbone]
    argument = {DROP_PATH[backbone.partition("/")[0]]: 0.4}
    images = torch.randn(16, 3, 64, 64)
    found = []
    for settings in (
        {"options": options, "drop_path": 0.4},
        {"options": options | argument},
        {"options": options, "drop_path": 0.0},
        {"options": options},
    ):
        torch.manual_seed(0)
        network = build_network(model(backbone=backbone, **settings), 7)
        torch.manual_seed(1)
        found.append((network, network(images)))
    (named, logits), (own, wanted), (never, still), (default, _) = found
    assert torch.allclose(logits, wanted, atol=1e-5)
    # Some blocks start next to nothing.
    assert not torch.equal(logits, still)
    assert shares(named) == pytest.approx(shares(own))
    assert not any(shares(never))
    # Weights and their names are the same whatever is dropped.
    for network in (named, never):
        for name, each in default.state_dict().items():
            if not name.endswith(("running_mean", "running_var")):
                assert torch.equal(network.state_dict()[name], each)
    with torch.inference_mode():
        for network in (named, never):
            for layer in network.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.reset_running_stats()
        assert torch.equal(named.eval()(images), never.eval()(images))


@pytest.mark.parametrize("backbone", ["torchvision/efficientnet_b0", "torchvision/swin_t"])
def test_torchvisions_last_block_gets_the_share(backbone: str) -> None:
    plain = shares(build_network(model(backbone=backbone), 7))
    found = shares(build_network(model(backbone=backbone, drop_path=0.5), 7))
    assert found[-1] == pytest.approx(0.5)
    assert found == pytest.approx([each * 0.5 / plain[-1] for each in plain])


def test_blocks_of_our_own_are_passed_more_often_the_deeper_they_are() -> None:
    options = NETWORKS["foldwise/bottleneck_resnet"]
    made = model(backbone="foldwise/bottleneck_resnet", options=options, drop_path=0.5)
    network = build_network(made, 7)
    assert shares(network) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    last = network.backbone.get_submodule("blocks.4")
    features = torch.rand(400, 8, 1, 1)
    torch.manual_seed(0)
    passed = (last(features) == features).flatten(1).all(1).float().mean()
    assert passed == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "backbone",
    ["foldwise/plain_cnn", "torchvision/resnet18", "timm/vgg11", "timm/densenet121"],
)
def test_a_network_without_residual_branches_is_refused(backbone: str) -> None:
    with pytest.raises(UserError, match=f"{backbone}: has no residual branches") as caught:
        build_network(model(backbone=backbone, drop_path=0.1), 7)
    assert "\n" not in str(caught.value)


def test_it_is_not_set_twice() -> None:
    for library, argument in DROP_PATH.items():
        with pytest.raises(ValueError, match=f"options: {argument} is what drop_path sets"):
            model(backbone=f"{library}/x", drop_path=0.1, options={argument: 0.1})
