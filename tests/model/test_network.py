"""Backbones and heads, and a trained member on disk."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers import SelectAdaptivePool2d

from foldwise.core.errors import UserError
from foldwise.model.bottleneck_resnet import BottleneckResnet
from foldwise.model.classifier import build_network
from foldwise.model.pooling import GlobalPool
from foldwise.model.saved import load_member, save_member
from foldwise.model.settings import Pooling
from tests.small import model, recipe


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        ("foldwise/plain_cnn", "replace"),
        ("foldwise/bottleneck_resnet", "replace"),
        ("torchvision/resnet18", "replace"),
        ("torchvision/resnet18", "append"),
        ("torchvision/squeezenet1_0", "replace"),
        ("torchvision/mobilenet_v3_small", "append"),
        ("timm/test_resnet.r160_in1k", "replace"),
        ("timm/test_resnet.r160_in1k", "append"),
        ("efficientnet_pytorch/efficientnet-b0", "append"),
        ("efficientnet_pytorch/efficientnet-b0", "replace"),
    ],
)
def test_every_library_gives_logits(backbone: str, head: str, channels: int) -> None:
    network = build_network(model(backbone=backbone, head=head, channels=channels), 7).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, channels, 64, 64)).shape == (2, 7)
    appended = [each for each in network.modules() if isinstance(each, torch.nn.Linear)]
    if head == "append":
        assert (appended[-1].in_features, appended[-1].out_features) == (1000, 7)


@pytest.mark.parametrize(
    ("backbone", "head", "classes", "parameters"),
    [
        # Both of DACON's dirty-MNIST systems, the PASCAL VOC system, and the course project.
        ("torchvision/resnet50", "append", 26, 25_583_058),
        ("efficientnet_pytorch/efficientnet-b5", "append", 26, 30_415_810),
        ("torchvision/resnet50", "replace", 20, 23_549_012),
        ("foldwise/bottleneck_resnet", "replace", 80, 15_699_088),
    ],
)
def test_published_networks_have_their_number_of_parameters(
    backbone: str, head: str, classes: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = build_network(model(backbone=backbone, head=head), classes)
    assert sum(each.numel() for each in network.parameters()) == parameters


def test_a_bottleneck_resnet_of_other_widths_and_depths() -> None:
    options = {"widths": [8, 16], "depths": [1, 2]}
    made = model(backbone="foldwise/bottleneck_resnet", options=options)
    network = build_network(made, 5).eval()
    backbone = network.backbone
    assert isinstance(backbone, BottleneckResnet)
    assert [type(each).__name__ for each in backbone.blocks] == ["Bottleneck"] * 3
    with torch.inference_mode():
        features = backbone.blocks(backbone.stem(torch.zeros(1, 3, 64, 64)))
        assert features.shape == (1, 32, 8, 8)
    uneven = model(backbone="foldwise/bottleneck_resnet", options={"widths": [8], "depths": [1, 2]})
    with pytest.raises(UserError, match="one number per stage"):
        build_network(uneven, 5)


def test_no_activation_is_left_behind_squeezenets_last_layer() -> None:
    torch.manual_seed(0)
    network = build_network(model(backbone="torchvision/squeezenet1_0"), 7).eval()
    with torch.inference_mode():
        logits = network(torch.randn(8, 3, 64, 64))
    assert logits.min() < 0 < logits.max()


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"backbone": "foldwise/resnet"}, "plain_cnn"),
        ({"backbone": "torchvision/resnet5000"}, "no such classification network"),
        ({"backbone": "torchvision/raft_small"}, "no such classification network"),
        ({"backbone": "timm/no_such_net"}, "timm has no such network"),
        ({"backbone": "efficientnet_pytorch/efficientnet-b99"}, "efficientnet"),
        ({"backbone": "foldwise/plain_cnn", "pretrained": True}, "pretrained: false"),
        ({"backbone": "foldwise/plain_cnn", "options": {"depth": 3}}, "depth"),
    ],
)
def test_a_network_that_does_not_exist_is_refused(settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build_network(model(**settings_), 7)


@pytest.mark.parametrize(
    "backbone", ["torchvision/resnet18", "efficientnet_pytorch/efficientnet-b0"]
)
def test_grey_input_sums_the_first_convolution(backbone: str) -> None:
    torch.manual_seed(0)
    colour = build_network(model(backbone=backbone), 7).eval()
    torch.manual_seed(0)
    grey = build_network(model(backbone=backbone, channels=1), 7).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(grey(images), colour(images.expand(2, 3, 32, 32)), atol=1e-4)


@pytest.mark.parametrize("kind", ["avg", "max", "both"])
@pytest.mark.parametrize("flatten", [True, False])
def test_pooling_is_timms(kind: Pooling, flatten: bool) -> None:
    features = torch.randn(2, 3, 4, 5, requires_grad=True)
    names = {"avg": "fastavg", "max": "fastmax", "both": "fastcatavgmax"}
    theirs = SelectAdaptivePool2d(pool_type=names[kind], flatten=flatten)(features)
    ours = GlobalPool(kind, flatten)(features)
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad(each.pow(2).sum(), features)[0] for each in (ours, theirs)]
    assert torch.equal(*gradients)


@pytest.mark.parametrize("flatten", [True, False])
def test_the_generalised_mean_lies_between_mean_and_maximum(flatten: bool) -> None:
    features = torch.rand(2, 3, 4, 5) + 0.1
    pool = GlobalPool("gem", flatten)
    found = {}
    for power in (1.0, 3.0, 60.0):
        pool.p.data.fill_(power)
        found[power] = pool(features)
    assert torch.allclose(found[1], GlobalPool("avg", flatten)(features))
    assert torch.allclose(found[60], GlobalPool("max", flatten)(features), rtol=0.06)
    assert (found[1] < found[3]).all()
    assert (found[3] < found[60]).all()
    # Nothing but zeros, in half precision too, has a gradient that is a number.
    dead = torch.zeros(1, 2, 3, 3, dtype=torch.float16, requires_grad=True)
    GlobalPool("gem", flatten)(dead).sum().backward()
    assert dead.grad is not None
    assert torch.isfinite(dead.grad).all()


def test_a_member_survives_the_disk(tmp_path: Path) -> None:
    made = recipe()
    network = build_network(made.model, 3).eval()
    save_member(tmp_path, network, made.model, ["a", "b", "c"], False, {"unseen": ""})
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "model.json"}
    loaded = load_member(tmp_path)
    assert (loaded.model, loaded.classes) == (made.model, ["a", "b", "c"])
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.network(images), network(images))
    content = json.loads((tmp_path / "model.json").read_text())
    # As older commits have it: the recipe held the model, and the loss said what outputs are.
    old = {"classes": content["classes"], "recipe": {"model": content["model"]}}
    for loss, softmax in (("cross_entropy", True), ("bce", False)):
        old["recipe"]["train"] = {"loss": loss}
        (tmp_path / "model.json").write_text(json.dumps(old))
        again = load_member(tmp_path)
        assert (again.model, again.softmax) == (made.model, softmax)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(UserError, match="no such file"):
        load_member(tmp_path)
