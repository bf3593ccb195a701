"""Heat maps: beside Grad-CAM by hand, on a patch that decides, and for every kind of network."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from foldwise.core.errors import UserError
from foldwise.core.files import IMAGES
from foldwise.images.store import ImageStore
from foldwise.model.classifier import Classifier, Normalizer, build_network
from foldwise.model.geometry import cut, over_whole, resize
from foldwise.model.saved import load_member
from foldwise.model.settings import Model
from foldwise.model.views import CENTRE
from foldwise.report import grad_cam as attribution
from foldwise.report.grad_cam import heat_maps, last_map
from foldwise.report.heatmaps import heat_maps_of
from tests.conftest import Project

CLASSES = 10
QUERY: dict[str, Any] = {"head": "query", "query": {"embedding": 16}}


def made(backbone: str, side: int = 64, **settings: Any) -> tuple[Classifier, Normalizer]:
    """A network with random weights, and what normalises for it."""
    torch.manual_seed(0)
    content = {"backbone": backbone, "image_size": side, "normalize": "half"} | settings
    model = Model.model_validate(content)
    network = build_network(model, CLASSES).eval()
    return network, Normalizer(*model.mean_and_std())


def noise(count: int, side: int = 64, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def by_hand(
    network: Classifier, features: torch.nn.Module, pixels: torch.Tensor, classes: list[int]
) -> np.ndarray:
    """Grad-CAM an image at a time, by autograd alone."""
    maps = []
    for image, index in zip(pixels, classes, strict=True):
        kept: list[torch.Tensor] = []
        hook = features.register_forward_hook(lambda _, __, out, kept=kept: kept.append(out))
        logit = network(image[None])[0, index]
        hook.remove()
        (gradient,) = torch.autograd.grad(logit, kept[-1])
        found = (gradient.mean((2, 3), keepdim=True) * kept[-1]).sum(1, keepdim=True).relu()
        large = F.interpolate(found, list(image.shape[-2:]), mode="bilinear", align_corners=False)[
            0, 0
        ]
        maps.append((large / large.max() if large.max() > 0 else large).detach().numpy())
    return np.stack(maps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "settings", "name"),
    [
        ("foldwise/plain_cnn", {"options": {"widths": [4, 8], "pools": [0]}}, "features"),
        ("foldwise/bottleneck_resnet", {"options": {"widths": [4], "depths": [2]}}, "blocks"),
        ("torchvision/resnet18", {}, "layer4"),
        ("torchvision/squeezenet1_1", {}, "features"),
        ("torchvision/vgg11", {"head": "append"}, "avgpool"),
        ("timm/test_resnet.r160_in1k", {}, "layer4"),
        ("timm/test_efficientnet.r160_in1k", {}, "bn2"),
        ("efficientnet_pytorch/efficientnet-b0", {}, "_swish"),
        ("torchvision/swin_t", {}, "permute"),
        ("torchvision/resnet18", {"pooling": "gem"}, "layer4"),
        ("torchvision/resnet18", QUERY, "layer4"),
        ("timm/test_efficientnet.r160_in1k", QUERY, "bn2"),
        ("foldwise/plain_cnn", QUERY, "features"),
    ],
)
def test_every_kind_of_network_beside_grad_cam_by_hand(
    backbone: str, settings: dict[str, Any], name: str
) -> None:
    network, normalize = made(backbone, **settings)
    # Every class of one image, and one of another.
    images = noise(2)[[0] * CLASSES + [1]]
    classes = [*range(CLASSES), 0]
    features = network.backbone.get_submodule(name)
    wanted = by_hand(network, features, normalize(images), classes)
    found = heat_maps(network, normalize, images, classes)
    assert found.dtype == np.float32
    assert found.shape == (len(images), 64, 64)
    assert found == pytest.approx(wanted, abs=1e-4)
    assert found.max() == pytest.approx(1)
    assert found.min() >= 0
    assert np.ptp(found[:CLASSES], axis=0).max() > 0.1


def test_a_patch_that_decides_is_where_the_map_is_largest() -> None:
    network, normalize = made("foldwise/plain_cnn", options={"widths": [1, 1], "pools": []})
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        for layer in network.backbone.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight[:, :, 1, 1] = 1
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.fill_(1)
        network.fc.weight[1] = 1
        network.fc.weight[2] = -1
    images = torch.zeros((2, 3, 64, 64), dtype=torch.uint8)
    images[0, :, 10:14, 40:44] = 255
    images[1, :, 50:54, 4:8] = 255
    found = heat_maps(network, normalize, images, [1, 1])
    for each, top, left in ((found[0], 10, 40), (found[1], 50, 4)):
        assert (each[top : top + 4, left : left + 4] == 1).all()
        assert each.sum() == 16
    # What speaks against a class is not shown, nor is what has no say.
    assert not heat_maps(network, normalize, images, [2, 0]).any()


def test_network_and_images_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    network, normalize = made("timm/test_resnet.r160_in1k")
    images, classes = noise(5), [0, 1, 2, 0, 1]
    wanted = heat_maps(network, normalize, images, classes)
    network.train()
    network.backbone.get_submodule("layer1").eval()
    for parameter in network.backbone.parameters():
        parameter.requires_grad_(False)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    modes = [each.training for each in network.modules()]
    pixels = images.clone()
    monkeypatch.setattr(attribution, "BATCH", 2)
    with torch.no_grad():
        found = heat_maps(network, normalize, images, classes)
    assert found == pytest.approx(wanted, abs=1e-5)
    assert torch.equal(images, pixels)
    assert [each.training for each in network.modules()] == modes
    assert [each.requires_grad for each in network.backbone.parameters()].count(True) == 0
    assert all(each.requires_grad for each in network.fc.parameters())
    assert all(each.grad is None for each in network.parameters())
    assert not any(each._forward_hooks for each in network.modules())
    for name, each in network.state_dict().items():
        assert torch.equal(each, before[name])
    assert heat_maps(network, normalize, images, classes).tobytes() == found.tobytes()
    assert heat_maps(network, normalize, images[:0], []).shape == (0, 64, 64)


def test_of_five_crops_the_centre_is_looked_at() -> None:
    network, normalize = made("foldwise/plain_cnn", options={"widths": [4, 8], "pools": [0]})
    crops = noise(10).view(2, 5, 3, 64, 64)
    found = heat_maps(network, normalize, crops, [0, 1])
    assert np.array_equal(found, heat_maps(network, normalize, crops[:, CENTRE], [0, 1]))


@pytest.mark.parametrize(
    ("backbone", "side", "settings"),
    [
        ("timm/test_vit.r160_in1k", 160, {}),
        ("torchvision/vit_b_32", 224, {}),
        ("timm/swin_tiny_patch4_window7_224", 224, {}),
        ("timm/test_vit.r160_in1k", 160, QUERY),
    ],
)
def test_a_network_without_a_map_of_features_is_refused(
    backbone: str, side: int, settings: dict[str, Any]
) -> None:
    network, normalize = made(backbone, side, **settings)
    with pytest.raises(UserError, match="write `heatmaps: false`") as caught:
        heat_maps(network, normalize, noise(1, side), [0])
    assert "\n" not in str(caught.value)
    assert not any(each._forward_hooks for each in network.modules())


def test_a_map_of_one_place_is_none() -> None:
    network, normalize = made("torchvision/resnet18", 32)
    layer = last_map(network, normalize(noise(1, 32)))
    assert network.backbone.get_submodule("layer3") is layer


@pytest.mark.parametrize("shape", [(40, 70), (71, 40), (32, 32)])
def test_a_square_lies_where_it_was_cut(shape: tuple[int, int]) -> None:
    for content in ({"image_size": 32}, {"image_size": 32, "shortest_edge": 36}):
        model = Model.model_validate({"backbone": "foldwise/plain_cnn"} | content)
        pixels = np.random.default_rng(0).integers(1, 255, (*shape, 1), np.uint8)
        resized = resize(pixels, model)
        whole = over_whole(cut(resized, model)[..., 0], *shape, model)
        assert whole.shape == resized.shape[:2]
        assert (whole > 0).sum() == 32 * 32
        assert (whole[whole > 0] == resized[..., 0][whole > 0]).all()


def test_maps_are_of_models_that_never_saw_the_image(
    copied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied.path)
    folds = dict(
        line.split(",") for line in (copied.path / "data/folds.csv").read_text().split()[1:]
    )
    store = ImageStore(IMAGES)
    held = {fold: [id for id in folds if folds[id] == fold][:2] for fold in "01"}
    test = [id for id in store.ids if id not in folds][:2]
    pairs = [(held["1"][0], 4), (test[0], 0), (held["0"][0], 7), (held["1"][1], 4)]
    pairs += [(held["1"][0], 5), (test[1], 3), (held["0"][1], 1), (test[0], 0)]
    found = heat_maps_of(pairs, "cnn", 0)
    assert set(found) == set(pairs)
    assert any(each.any() for each in found.values())
    for (id, index), each in found.items():
        trained = load_member(copied.path / "data/models/cnn" / folds.get(id, "0"))
        normalize = Normalizer(*trained.model.mean_and_std())
        images = torch.from_numpy(np.moveaxis(store.pixels(id, 1), -1, 0).copy())[None]
        wanted = heat_maps(trained.network, normalize, images, [index])[0]
        assert each.shape == (24, 24)
        assert each == pytest.approx(wanted, abs=1e-4)
