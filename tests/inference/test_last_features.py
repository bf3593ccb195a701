"""What the last layer was given, whatever runs the network, and logits that nothing of it moves."""

from typing import Any, Literal

import numpy as np
import pytest
import torch

from foldwise.inference import runtime
from foldwise.inference.last_features import LARGEST, LastFeatures
from foldwise.inference.view_logits import ThroughViews, head_logits, view_logits
from foldwise.model.classifier import Classifier, Normalizer
from foldwise.model.map_heads import MapHead
from foldwise.model.settings import Model
from foldwise.model.views import make_view
from tests.inference.test_runtime import CPU, MODELS, made
from tests.small import model

VIEWS = ("hflip", "identity")
CASES = [("torch", each) for each in (*MODELS[:2], *MODELS[4:])]
# Bringing a network to ONNX takes seconds: crops, and places of a map.
CASES += [("onnx", MODELS[1]), ("onnx", MODELS[6])]


def pixels_for(settings: dict[str, Any], images: torch.Tensor) -> torch.Tensor:
    """Pixels (images, [crops,] channels, height, width) of uint8."""
    torch.manual_seed(1)
    return torch.randint(0, 256, (5, *images.shape[1:]), dtype=torch.uint8)


def seen_by_hand(network: Classifier, pixels: torch.Tensor) -> np.ndarray:
    """What `fc` takes through the first view, an image at a time, by its parts."""
    normalized = Normalizer(*model(image_size=32).mean_and_std())(pixels)
    found = []
    with torch.no_grad():
        for image in make_view(VIEWS[0])(normalized):
            features = network.features(image[None])
            if not isinstance(network.fc, MapHead):
                features = network.normalized(features.flatten(0, -2))
            found.append(features.flatten(0, -2).mean(0).numpy())
    return np.stack(found)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_the_last_layers_input_of_the_first_view(
    name: Literal["torch", "onnx"], settings: dict[str, Any]
) -> None:
    network, images = made(settings)
    pixels = pixels_for(settings, images)
    wanted = seen_by_hand(network, pixels)
    own = Model.model_validate({"image_size": 32} | settings)
    batches = [(each, None) for each in (pixels[:2], pixels[2:4], pixels[4:])]
    logits = {}
    for last in (None, LastFeatures()):
        network, images = made(settings)
        forward = runtime.ready(network, images[0], CPU, name, 4, last)
        seen = ThroughViews(forward, own, [make_view(each) for each in VIEWS], last=last)
        logits[last is None] = view_logits(seen, batches, CPU, "network")
    assert last is not None
    found = last.taken()
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, wanted, atol=1e-2 * wanted.std(), rtol=2e-3)
    # To the byte: who keeps features predicts as who does not.
    assert np.array_equal(logits[True], logits[False])
    # A second part begins anew.
    view_logits(seen, batches[:1], CPU, "network")
    assert np.array_equal(last.taken(), found[:2])


def test_a_head_on_kept_features_gives_what_its_layer_takes() -> None:
    network, _ = made(MODELS[0] | {"feature_norm": "unit"})
    rng = np.random.default_rng(0)
    kept = rng.normal(size=(2, 2000, network.fc.in_features)).astype(np.float32)

    def features(view: int, ids: Any) -> np.ndarray:
        return kept[view, [int(each) for each in ids]]

    ids = [str(each) for each in range(2000)]
    plain = head_logits(network, features, 2, ids, False, "network")
    last = LastFeatures()
    last.watch(network)
    assert np.array_equal(plain, head_logits(network, features, 2, ids, False, "network", last))
    with torch.no_grad():
        wanted = network.normalized(torch.from_numpy(kept[0])).numpy()
    np.testing.assert_allclose(last.taken(), wanted, atol=2e-3, rtol=2e-3)


def test_what_is_too_large_for_float16_is_its_largest() -> None:
    last = LastFeatures()
    last.saw(torch.tensor([[1e6, -1e6, 2.0]]))
    last.keep(1)
    assert last.taken().tolist() == [[LARGEST, -LARGEST, 2.0]]
