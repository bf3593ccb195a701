"""Heads over places: beside timm's own layer and torch's, on every library's maps and tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from foldwise.core.errors import UserError
from foldwise.model.classifier import build_network
from foldwise.model.map_heads import PlacesHead, QueryHead
from foldwise.model.settings import Model, Query
from tests.small import model

SMALL: dict[str, Any] = {"head": "query", "query": {"embedding": 16}}


@pytest.mark.parametrize(
    ("classes", "groups", "queries"),
    [(7, None, 7), (26, 4, 4), (27, 4, 4), (130, None, 100), (5, 9, 5)],
)
def test_logits_are_those_of_timms_layer(classes: int, groups: int | None, queries: int) -> None:
    torch.manual_seed(0)
    head = QueryHead(12, classes, Query(embedding=16, groups=groups), False).eval()
    maps = torch.randn(3, 12, 4, 5)
    # What its loop over groups needs of torch's container is that it calls the one layer.
    wanted = head.decoder(maps)
    assert wanted.shape == (3, classes)
    assert torch.allclose(head(head.places(maps)), wanted, atol=1e-6)
    assert wanted.std() > 0.1
    assert len(head.decoder.query_embed.weight) == queries
    # One draw of the global state makes it: it is a function of the seed.
    torch.manual_seed(0)
    again = QueryHead(12, classes, Query(embedding=16, groups=groups), False)
    for name, each in again.state_dict().items():
        assert torch.equal(each, head.state_dict()[name])


def test_logits_of_places_have_a_smooth_maximum() -> None:
    """The log of summed exponentials of a convolution's map, whatever the map's size."""
    torch.manual_seed(0)
    head = PlacesHead(6, 3, False)
    with torch.no_grad():
        head.linear.bias.normal_()
    for height, width in ((3, 4), (1, 1), (7, 2)):
        maps = torch.randn(2, 6, height, width)
        weight = head.linear.weight[:, :, None, None]
        each = torch.nn.functional.conv2d(maps, weight, head.linear.bias)
        logits = head(head.places(maps))
        assert torch.allclose(logits, each.exp().sum((2, 3)).log(), atol=1e-5)
        assert (logits >= each.amax((2, 3)) - 1e-5).all()


def test_an_image_of_places_that_show_nothing_starts_near_even_odds() -> None:
    head = PlacesHead(6, 3, False)
    assert torch.allclose(head(torch.zeros(1, 148, 6)), torch.zeros(1, 3), atol=0.01)


def test_places_are_the_same_however_a_map_is_laid_out() -> None:
    maps = torch.randn(2, 6, 3, 4)
    wanted = torch.stack([maps[:, :, row, column] for row in range(3) for column in range(4)], 1)
    head = QueryHead(6, 3, Query(embedding=8), False)
    for laid in (maps, maps.flatten(1), wanted, maps.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(head.places(laid), wanted)
    last = QueryHead(6, 3, Query(embedding=8), True)
    assert torch.equal(last.places(maps.movedim(1, -1)), wanted)
    with pytest.raises(ValueError, match=r"gives \(2, 7\), no map of 6 channels"):
        head.places(torch.zeros(2, 7))


@pytest.mark.parametrize(
    ("backbone", "side", "layer"),
    [
        ("foldwise/plain_cnn", 32, "features"),
        ("foldwise/bottleneck_resnet", 64, "blocks"),
        ("torchvision/resnet18", 64, "layer4"),
        ("torchvision/efficientnet_b0", 64, "features"),
        ("torchvision/squeezenet1_0", 64, "features"),
        ("torchvision/convnext_tiny", 64, "classifier.0"),
        ("torchvision/swin_t", 64, "permute"),
        ("efficientnet_pytorch/efficientnet-b0", 64, "_swish"),
        ("timm/test_resnet", 64, "layer4"),
        ("timm/test_efficientnet", 64, "bn2"),
        ("timm/test_convnext", 64, "head.norm"),
        ("timm/mobilenetv3_small_050", 64, "act2"),
        ("timm/swin_tiny_patch4_window7_224", 224, "norm"),
        ("timm/test_vit", 160, "norm"),
    ],
)
def test_queries_see_every_place_of_the_last_map(backbone: str, side: int, layer: str) -> None:
    torch.manual_seed(0)
    network = build_network(model(backbone=backbone, image_size=side, **SMALL), 7).eval()
    kept: list[torch.Tensor] = []
    found_layer = network.backbone.get_submodule(layer)
    found_layer.register_forward_hook(lambda _, __, out: kept.append(out))
    images = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        found = network.features(images)
        last = kept[-1]
        if last.ndim == 4:
            last = last.flatten(1, 2) if "timm/swin" in backbone else last.flatten(2).mT
        assert found.shape[1] > 3
        assert torch.equal(found, last)
        logits = network(images)
    assert logits.shape == (2, 7)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    "backbone",
    [
        "torchvision/mobilenet_v3_small",
        "torchvision/densenet121",
        "torchvision/vgg11",
        "torchvision/vit_b_32",
    ],
)
def test_a_network_whose_pooling_cannot_be_taken_out_is_refused(backbone: str) -> None:
    with pytest.raises(UserError, match=f"{backbone}: gives no map for its head") as caught:
        build_network(model(backbone=backbone, **SMALL), 7)
    assert "\n" not in str(caught.value)


def test_of_five_crops_the_largest_logit_counts() -> None:
    made = model(views="five_crop", shortest_edge=48, **SMALL)
    network = build_network(made, 7).eval()
    crops = torch.randn(2, 5, 3, 32, 32)
    with torch.inference_mode():
        each = torch.stack([network(crops[:, index]) for index in range(5)])
        assert torch.allclose(network(crops), each.amax(0), atol=1e-6)
        network.use_channels_last()
        assert torch.allclose(network(crops), each.amax(0), atol=1e-5)


def test_what_learns_is_all_but_the_queries() -> None:
    network = build_network(model(dropout=0.5, **SMALL), 7)
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    still = [name for name, each in network.named_parameters() if each.grad is None]
    assert still == ["fc.decoder.query_embed.weight"]
    assert {id(each) for each in network.head_parameters()} == {
        id(each) for name, each in network.named_parameters() if name.startswith("fc.")
    }
    # Dropout is before the new layer.
    given: list[torch.Tensor] = []
    network.fc.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    for _ in range(2):
        network(torch.ones(4, 3, 32, 32))
        network.eval()
    assert (given[0] == 0).float().mean() > (given[1] == 0).float().mean() + 0.1


@pytest.mark.parametrize("backbone", ["torchvision/resnet18", "timm/test_resnet"])
def test_weights_of_a_whole_network_come_from_a_file(tmp_path: Path, backbone: str) -> None:
    torch.manual_seed(0)
    whole = build_network(model(backbone=backbone, head="append"), 7).backbone.eval()
    path = tmp_path / "whole.safetensors"
    save_file({name: each.contiguous() for name, each in whole.state_dict().items()}, path)
    network = build_network(model(backbone=backbone, pretrained=str(path), **SMALL), 7).eval()
    kept: list[torch.Tensor] = []
    whole.get_submodule("layer4").register_forward_hook(lambda _, __, out: kept.append(out))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        whole(images)
        assert torch.equal(network.features(images), kept[0].flatten(2).mT)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"head": "query", "pooling": "max"}, "pooling: head: query looks at all places"),
        ({"head": "places", "pooling": "max"}, "pooling: head: places looks at all places"),
        ({"head": "query", "feature_norm": "unit"}, "feature_norm: .*head: query has none"),
        ({"query": {"embedding": 16}}, "query: belongs to head: query, not to replace"),
        ({"head": "query", "query": {"embedding": 20}}, "multiple of 8"),
    ],
)
def test_what_has_no_say_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Model.model_validate({"backbone": "torchvision/resnet18"} | settings)
