"""What features are: the network's own, in the precision that holds them, of the right crop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from foldwise.core.errors import UserError
from foldwise.features import kept
from foldwise.features.kept import (
    FeatureFolder,
)
from foldwise.inference.view_logits import input_of
from foldwise.model.classifier import Classifier
from foldwise.model.views import make_view
from tests.features.asking import COMPUTE, IMAGES, MODEL, Asked


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_features_are_the_networks_own(asked: Asked, engine: str) -> None:
    views = ("identity", "rot90", "shift(2, -1)")
    some = [asked.ids[each] for each in (7, 3, 11)]
    found = asked(asked.ids, views, engine=engine)
    for number, view in enumerate(views):
        wanted = asked.by_network(view)
        close = {"rtol": 1e-3, "atol": 1e-3 * np.abs(wanted).max()}
        assert np.allclose(found.through(number, asked.ids), wanted, **close)
        assert np.allclose(found.through(number, some), wanted[[7, 3, 11]], **close)
        assert found.through(number, some).dtype == np.float32
        assert np.array_equal(found.of(some[0], number), found.through(number, some)[0])
    assert {np.load(each).dtype for each in asked.files} == {np.dtype(np.float16)}


class Scaled(nn.Module):
    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner = inner
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.inner(images) * self.factor
        return features


def test_what_float16_cannot_hold_is_float32(asked: Asked) -> None:
    asked.network.backbone = Scaled(asked.network.backbone, 1.0)
    factor = 70_000 / np.abs(asked.by_network("hflip")).max()
    asked.network.backbone.factor.data.fill_(float(factor))
    found = asked(views=("identity", "hflip"))
    for number, view in enumerate(("identity", "hflip")):
        assert np.allclose(found.through(number, asked.ids), asked.by_network(view), rtol=1e-5)
    assert {np.load(each).dtype for each in asked.files} == {np.dtype(np.float32)}
    assert np.abs(found.through(1, asked.ids)).max() > np.finfo(np.float16).max


@pytest.mark.parametrize("factor", [np.inf, np.nan])
def test_features_that_are_no_numbers_are_refused(asked: Asked, factor: float) -> None:
    asked.network.backbone = Scaled(asked.network.backbone, factor)
    with pytest.raises(UserError, match=r"no finite numbers: .*precision: 32-true"):
        asked()
    assert not asked.files


def test_who_takes_features_computes_in_its_own_precision(asked: Asked, tmp_path: Path) -> None:
    taken = []

    def taking(_: Any, __: int, batches: Any, ___: Any) -> None:
        for _ in batches:
            taken.append((torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foldwise.features.extract._write_batches", taking)
        images, compute = asked.images(asked.ids), COMPUTE.model_copy(update={"workers": 0})
        compute = compute.model_copy(update={"precision": "bf16-mixed"})
        write = kept.write_features
        write({"identity": tmp_path / "x.npy"}, asked.network, images, compute)
    assert taken == [(False, False)] * 4


def test_features_are_computed_without_gradients(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    features = Classifier.features

    def noted(network: Classifier, pixels: torch.Tensor) -> torch.Tensor:
        found.append(torch.is_inference_mode_enabled())
        return features(network, pixels)

    asked.folder = FeatureFolder(asked.folder.path)
    monkeypatch.setattr(Classifier, "features", noted)
    asked()
    # The last four are the batches.
    assert found[-4:] == [True] * 4


def test_corners_are_seen_by_those_views_alone(asked: Asked) -> None:
    whole = MODEL.model_copy(update={"shortest_edge": 20})
    names = ("identity", "top_left", "hflip * bottom_right")
    cut = input_of(whole, [make_view(each) for each in names])
    for views in (names, names[1:]):
        found = asked(views=views, model=cut)
        for number, view in enumerate(views):
            crop = {"identity": 4, "top_left": 0, "hflip * bottom_right": 3}[view]
            plain = "hflip" if "hflip" in view else "identity"
            wanted = asked.by_network(plain, crop, cut)
            seen = found.through(number, asked.ids)
            assert seen.shape == wanted.shape
            assert np.allclose(seen, wanted, rtol=2e-3, atol=1e-3)
    assert asked.passes(views=names, model=cut) == 0


def test_a_centre_that_is_computed_anew_beside_its_corners_is_one(asked: Asked) -> None:
    whole = MODEL.model_copy(update={"shortest_edge": 20})
    names = ("identity", "top_left")
    cut = input_of(whole, [make_view(each) for each in names])
    before = asked(views=names, model=cut).through(0, asked.ids)
    for path in asked.files:
        path.unlink()
        again = asked(views=names, model=cut).through(0, asked.ids)
        assert again.shape == before.shape
        assert np.array_equal(again, before)


def test_a_network_of_five_crops_shares_nothing_with_views_of_corners(asked: Asked) -> None:
    whole = MODEL.model_copy(update={"shortest_edge": 20})
    five = whole.model_copy(update={"views": "five_crop"})
    joint = asked(model=five).through(0, asked.ids)
    assert joint.shape == (IMAGES, 5, 8)
    names = ("identity", "top_left")
    cut = input_of(whole, [make_view(each) for each in names])
    assert cut == five
    single = asked(views=names, model=cut)
    assert single.through(0, asked.ids).shape == (IMAGES, 8)
    assert np.allclose(single.through(0, asked.ids), joint[:, 4], atol=1e-3)
    assert np.allclose(single.through(1, asked.ids), joint[:, 0], atol=1e-3)
