"""What stands between a backbone and its logits, and where its weights come from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from foldwise.core.errors import UserError
from foldwise.inference.log_odds import softmax_log_odds
from foldwise.model.classifier import build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.geometry import cut, resize
from foldwise.model.settings import Model
from foldwise.training.augment import make_augment
from tests.pictures import stored


def model(**settings: Any) -> Model:
    return Model.model_validate({"backbone": "torchvision/resnet18", "image_size": 32} | settings)


@pytest.mark.parametrize("pooling", ["avg", "max", "both", "gem"])
@pytest.mark.parametrize(
    "backbone",
    [
        "foldwise/plain_cnn",
        "foldwise/bottleneck_resnet",
        "torchvision/resnet18",
        "torchvision/squeezenet1_0",
        "timm/test_resnet.r160_in1k",
        "efficientnet_pytorch/efficientnet-b0",
    ],
)
def test_pooling_is_what_it_says(backbone: str, pooling: str) -> None:
    """Against the mean, the maximum and the cubic mean of what goes into the pooling."""
    torch.manual_seed(0)
    network = build_network(model(backbone=backbone, pooling=pooling), 7).eval()
    seen: list[torch.Tensor] = []
    pools = [
        each
        for each in network.backbone.modules()
        if type(each).__name__ in ("GlobalPool", "SelectAdaptivePool2d", "AdaptiveAvgPool2d")
    ]
    pools[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        features = network.features(torch.randn(2, 3, 64, 64))
        (maps,) = seen
        mean, largest = maps.mean((2, 3)), maps.amax((2, 3))
        cubic = (maps.clamp(min=1e-6) ** 3).mean((2, 3)) ** (1 / 3)
        both = torch.cat([mean, largest], 1)
        wanted = {"avg": mean, "max": largest, "both": both, "gem": cubic}[pooling]
        assert torch.allclose(features, wanted, atol=1e-6)
        assert network.head(features).shape == (2, 7)


def test_pooling_that_cannot_be_changed_is_refused() -> None:
    with pytest.raises(UserError, match="drop `pooling`"):
        build_network(model(backbone="torchvision/densenet121", pooling="max"), 7)
    with pytest.raises(UserError, match="write `head: replace`"):
        build_network(model(head="append", pooling="both"), 7)


@pytest.mark.parametrize(
    "backbone", ["timm/test_vit", "timm/swin_tiny_patch4_window7_224", "torchvision/vit_b_32"]
)
def test_tokens_and_channels_that_come_last_have_no_generalised_mean(backbone: str) -> None:
    with pytest.raises(UserError, match="no module that can be replaced; drop `pooling`"):
        build_network(model(backbone=backbone, pooling="gem"), 7)


@pytest.mark.parametrize("backbone", ["timm/test_convnext", "timm/test_resnet"])
@pytest.mark.parametrize("head", ["replace", "append"])
def test_the_power_belongs_to_the_backbone_and_is_learned(backbone: str, head: str) -> None:
    network = build_network(model(backbone=backbone, pooling="gem", head=head), 7)
    (power,) = [each for name, each in network.named_parameters() if name.endswith("pool.p")]
    assert power.tolist() == [3]
    assert not any(each is power for each in network.head_parameters())
    network(torch.randn(4, 3, 64, 64)).square().sum().backward()
    assert power.grad is not None
    assert power.grad.abs() > 0


def test_features_are_standardised_and_brought_to_one_length() -> None:
    torch.manual_seed(0)
    images = torch.randn(16, 3, 64, 64)
    network = build_network(model(feature_norm="unit"), 7)
    given: list[torch.Tensor] = []
    network.fc.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.no_grad():
        network(images)
    (seen,) = given
    assert torch.allclose(seen.norm(dim=1), torch.full((16,), 512**0.5), rtol=1e-4)
    given.clear()
    plain = build_network(model(feature_norm="batch"), 7)
    plain.fc.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.no_grad():
        plain(images)
    assert torch.allclose(given[0].mean(0), torch.zeros(512), atol=1e-4)
    assert given[0].std(0, correction=0).median() == pytest.approx(1, abs=1e-2)


def test_dropout_stands_before_the_new_layer() -> None:
    torch.manual_seed(0)
    network = build_network(model(dropout=0.5), 7)
    given: list[torch.Tensor] = []
    network.fc.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    network(torch.randn(4, 3, 64, 64))
    assert 0.4 < (given[0] == 0).float().mean() < 0.9
    network.eval()(torch.randn(4, 3, 64, 64))
    assert (given[1] == 0).float().mean() < 0.3


@pytest.mark.parametrize("backbone", ["efficientnet_lite/lite0", "timm/test_vit"])
def test_a_new_layer_starts_small_whoever_draws_it(backbone: str) -> None:
    layer = build_network(model(backbone=backbone, options={}), 7).fc
    # torch's own: uniform between -1 and 1, over the root of what it takes.
    bound = layer.in_features**-0.5
    weight = layer.weight.detach()
    assert 0.9 * bound < float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / 3**0.5, rel=0.1)


def test_of_five_crops_the_largest_logit_counts(tmp_path: Path) -> None:
    store = stored(tmp_path, [(50, 80), (90, 40)])
    made = model(views="five_crop", shortest_edge=48)
    data = ImageDataset(store, store.ids, np.zeros((2, 7)), made)
    network = build_network(made, 7).eval()
    crops = torch.stack([data[each][0] for each in range(2)])
    assert crops.shape == (2, 5, 3, 32, 32)
    with torch.inference_mode():
        logits = network(crops.float())
        each = torch.stack([network(crops[:, index].float()) for index in range(5)])
    assert torch.allclose(logits, each.amax(0), atol=1e-5)
    for index, id in enumerate(store.ids):
        pixels = resize(store.pixels(id, 3), made)
        assert min(pixels.shape[:2]) == 48
        image = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        wanted = torch.stack(torchvision.transforms.functional.five_crop(image, [32, 32]))
        assert torch.equal(crops[index], wanted)


def test_a_single_view_of_a_shortest_edge_is_its_centre(tmp_path: Path) -> None:
    store = stored(tmp_path, [(50, 81)])
    made = model(shortest_edge=40)
    image, _ = ImageDataset(store, store.ids, np.zeros((1, 2)), made)[0]
    pixels = resize(store.pixels("i0", 3), made)
    whole = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    assert torch.equal(image, torchvision.transforms.functional.center_crop(whole, [32, 32]))
    assert cut(pixels, made).shape == (32, 32, 3)


def test_an_original_image_may_be_augmented_before_it_is_resized(tmp_path: Path) -> None:
    store = stored(tmp_path, [(50, 80)])
    crop = make_augment(({"RandomResizedCrop": {"size": [32, 32]}}, "HorizontalFlip"))
    data = ImageDataset(store, store.ids, np.zeros((1, 2)), model(), crop, "original", 3)
    one, again, other = (data[key][0] for key in ((0, 0, True), (0, 0, True), (1, 0, True)))
    assert one.shape == (3, 32, 32)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("library", ["torchvision/resnet18", "timm/test_resnet.r160_in1k"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_come_from_a_file(tmp_path: Path, library: str, suffix: str, channels: int) -> None:
    torch.manual_seed(0)
    whole = build_network(model(backbone=library, head="append"), 7)
    path = tmp_path / f"weights{suffix}"
    weights = whole.backbone.state_dict()
    if suffix == ".pth":
        torch.save({"state_dict": weights}, path)
    else:
        save_file({name: each.contiguous() for name, each in weights.items()}, path)
    images = torch.randn(2, 3, 64, 64)
    if channels == 1:
        images = images[:, :1].expand(2, 3, 64, 64)
    for head in ("append", "replace"):
        made = model(backbone=library, pretrained=str(path), head=head, channels=channels)
        torch.manual_seed(1)
        loaded = build_network(made, 7).eval()
        assert loaded.fc.out_features == 7
        if head == "append":
            with torch.inference_mode():
                wanted = whole.eval().features(images)
                seen = loaded.features(images[:, :channels])
            assert torch.allclose(seen, wanted, atol=1e-4)


def test_a_members_weights_are_for_warm_starts(tmp_path: Path) -> None:
    trained = build_network(model(), 5)
    weights = {name: each.contiguous() for name, each in trained.state_dict().items()}
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match=r"train\.warm_start"):
        build_network(model(pretrained=str(tmp_path / "a.safetensors")), 7)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run by a pickle",)


def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(name: str, said: str) -> None:
        with pytest.raises(UserError, match=said) as error:
            build_network(model(pretrained=str(tmp_path / name), head="append"), 7)
        assert name in str(error.value)
        assert "\n" not in str(error.value)

    weights = torchvision.models.resnet18().state_dict()
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "other.pth")
    refused("other.pth", r"layer1.2.conv1.weight is not in this network \(and \d+ more\)")
    wide = weights | {"conv1.weight": torch.zeros(64, 3, 3, 3)}
    torch.save(wide, tmp_path / "wide.pth")
    refused("wide.pth", r"conv1.weight is \(64, 3, 3, 3\) there and \(64, 3, 7, 7\) here")
    del wide["conv1.weight"]
    torch.save(wide, tmp_path / "less.pth")
    refused("less.pth", "conv1.weight is missing")
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    refused("evil.pth", "holds no plain tensors")
    assert "run by a pickle" not in capsys.readouterr().out
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    refused("cut.safetensors", "holds no plain tensors")
    refused("none.pth", "no such file")
    (tmp_path / "empty.pth").write_bytes(b"")
    refused("empty.pth", "holds no plain tensors")
    torch.save([1, 2], tmp_path / "list.pth")
    refused("list.pth", "holds no plain tensors")
    (tmp_path / "folder.pth").mkdir()
    refused("folder.pth", "no such file")


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("timm/resnet18.foo", {}),
        ("foldwise/plain_cnn", {"widths": []}),
        ("foldwise/bottleneck_resnet", {"widths": [], "depths": []}),
    ],
)
def test_what_a_library_refuses_is_one_line(backbone: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=backbone) as error:
        build_network(model(backbone=backbone, options=options), 7)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_inceptions_side_exits_are_left_out(name: str) -> None:
    options = {"init_weights": False}
    network = build_network(model(backbone=f"torchvision/{name}", options=options), 7)
    assert network(torch.randn(2, 3, 96, 96)).shape == (2, 7)


def test_a_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(UserError, match=r"weights cannot be loaded .*Name or service"):
        build_network(model(pretrained=True), 7)


def test_softmax_log_odds_are_the_softmax() -> None:
    logits = torch.tensor([[3.0, -2.0, 0.5], [40.0, -40.0, 0.0], [0.0, 0.0, 0.0]])
    seen = softmax_log_odds(logits)
    assert torch.allclose(seen.sigmoid(), logits.softmax(1), atol=1e-7)
    assert seen[1].tolist() == pytest.approx([40, -80, -40])
