"""Whatever runs a network, its logits are the same."""

from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from foldwise.core.errors import UserError
from foldwise.inference import runtime
from foldwise.model.classifier import Classifier, build_network
from foldwise.model.settings import Model

CPU = torch.device("cpu")
MODELS: list[dict[str, Any]] = [
    {"backbone": "foldwise/plain_cnn", "options": {"widths": [4, 8]}},
    {"backbone": "foldwise/plain_cnn", "views": "five_crop", "shortest_edge": 40},
    {"backbone": "torchvision/resnet18"},
    {"backbone": "timm/test_vit", "image_size": 160},
    {"backbone": "torchvision/resnet18", "pooling": "gem"},
    {"backbone": "torchvision/resnet18", "head": "query", "query": {"embedding": 16}},
    {"backbone": "foldwise/plain_cnn", "head": "places"},
]


def made(settings: dict[str, Any]) -> tuple[Classifier, torch.Tensor]:
    """A network with a history, and images as it takes them."""
    model = Model.model_validate({"image_size": 32} | settings)
    torch.manual_seed(0)
    network = build_network(model, 3)
    crops = (5,) if model.views == "five_crop" else ()
    images = torch.randn(4, *crops, 3, model.image_size, model.image_size)
    network.train()
    network(images)
    return network.eval(), images


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torch", "onnx"])
@pytest.mark.parametrize("settings", MODELS, ids=str)
def test_logits_are_those_of_the_plain_network(
    settings: dict[str, Any], name: Literal["torch", "onnx"]
) -> None:
    network, images = made(settings)
    with torch.no_grad():
        wanted = network(images)
    network.use_channels_last()
    forward = runtime.ready(network, images[0], CPU, name, 4)
    with torch.inference_mode():
        for some in (images, images[:1]):
            assert torch.allclose(forward(some), wanted[: len(some)], atol=1e-4)
    assert wanted.std() > 1e-3
    assert (forward is network) == (name == "torch")
    if "resnet18" in settings["backbone"] and name == "torch":
        assert not any(isinstance(each, nn.BatchNorm2d) for each in network.modules())


@pytest.mark.parametrize("before", [True, False])
def test_a_gpu_fuses_in_whole_float32(before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = made({"backbone": "torchvision/resnet18"})
    allowed = []
    plain = network.features

    def features(seen: torch.Tensor) -> torch.Tensor:
        allowed.append(torch.backends.cudnn.allow_tf32)
        return plain(seen)

    monkeypatch.setattr(network, "features", features)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    # TF32's rounding is larger than what fused features may differ by.
    assert runtime.fuse_batch_norm(network, images[0])
    assert allowed == [False, False]
    assert torch.backends.cudnn.allow_tf32 == before


def test_long_predictions_are_worth_it() -> None:
    network, images = made(MODELS[0])
    each = runtime.operations(network, images[0])
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(images[:1])
    assert each == counter.get_total_flops() > 0
    enough = int(runtime.WORTH / each) + 1
    assert runtime.ready(network, images[0], CPU, "auto", enough) is not network
    assert runtime.ready(network, images[0], CPU, "auto", enough - 2) is network


def test_depthwise_convolutions_count_for_the_time_that_they_take() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 6, 1, groups=3), nn.Flatten())
    network = Classifier(backbone, nn.Linear(6 * 16, 2), None, 0.0).eval()
    plain = 2 * 6 * 16
    head = 2 * 6 * 16 * 2
    image = torch.randn(3, 4, 4)
    assert runtime.operations(network, image) == plain + head
    assert runtime.operations(network, image, 10) == 10 * plain + head


class Unlike(nn.Module):
    """Features that no graph holds, as they depend on values."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert float(images.sum()) < 1e9
        return images.mean((2, 3))


def test_what_onnx_does_not_know_is_run_by_torch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Classifier(Unlike(), nn.Linear(3, 2), None, 0.0).eval()
    image = torch.randn(3, 8, 8)
    monkeypatch.setattr(runtime, "WORTH", 0)
    assert runtime.ready(network, image, CPU, "auto", 1) is network
    said = capsys.readouterr().err
    assert "not by onnxruntime, but by torch: " in said
    with pytest.raises(UserError, match=r"compute.engine: this network cannot be brought to ONNX"):
        runtime.ready(network, image, CPU, "onnx", 1)
    with pytest.raises(UserError, match="onnx runs on the CPU alone"):
        runtime.ready(network, image, torch.device("meta"), "onnx", 1)
