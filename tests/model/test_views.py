"""Views against numpy, an image at a time."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tvf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from foldwise.inference.view_logits import ThroughViews, view_logits
from foldwise.model.geometry import cut
from foldwise.model.settings import Model
from foldwise.model.views import CENTRE, FIXED, make_view
from foldwise.training.settings import Freeze
from foldwise.view_names import CORNERS, Views
from tests.small import model

EXPANDED = TypeAdapter(Views)


def by_numpy(name: str, image: np.ndarray) -> np.ndarray:
    """The view of an image (channels, height, width)."""
    if "*" in name:
        first, _, rest = name.partition("*")
        return by_numpy(first.strip(), by_numpy(rest.strip(), image))
    if name.startswith("rot") and name[3:].isdigit():
        return np.rot90(image, int(name[3:]) // 90, (1, 2))
    numbers = [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", name)]
    if name.startswith("shift"):
        right, down = map(int, numbers)
        pad = max(abs(right), abs(down))
        wide = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="edge")
        side = image.shape[1]
        return wide[:, pad - down : pad - down + side, pad - right : pad - right + side]
    if name.startswith(("rotate", "scale")):
        degrees, factor = (numbers[0], 1.0) if name.startswith("rotate") else (0.0, numbers[0])
        return sampled(image, np.deg2rad(degrees), factor)
    return {
        "identity": image,
        "hflip": image[:, :, ::-1],
        "vflip": image[:, ::-1],
        "transpose": image.swapaxes(1, 2),
        "antitranspose": image[:, ::-1, ::-1].swapaxes(1, 2),
    }[name]


def sampled(image: np.ndarray, angle: float, factor: float) -> np.ndarray:
    """Turned counter-clockwise and enlarged about the centre, pixel by pixel, bilinearly."""
    side = image.shape[1]
    centre = (side - 1) / 2
    result = np.empty(image.shape)
    for row, column in itertools.product(range(side), repeat=2):
        up, right = centre - row, column - centre
        # Where it came from: turned back, shrunk back.
        x = (np.cos(angle) * right + np.sin(angle) * up) / factor + centre
        y = centre - (np.cos(angle) * up - np.sin(angle) * right) / factor
        x, y = np.clip([x, y], 0, side - 1)
        left, top = int(x), int(y)
        beside, below = min(left + 1, side - 1), min(top + 1, side - 1)
        a, b = x - left, y - top
        upper = (1 - a) * image[:, top, left] + a * image[:, top, beside]
        lower = (1 - a) * image[:, below, left] + a * image[:, below, beside]
        result[:, row, column] = (1 - b) * upper + b * lower
    return result


shifts = st.tuples(st.integers(-6, 6), st.integers(-6, 6)).map(lambda s: f"shift({s[0]}, {s[1]})")
exact = st.sampled_from(sorted(FIXED)) | shifts
angles = st.integers(-720, 720).map(lambda each: f"rotate({each / 4})")
scales = st.sampled_from([0.5, 0.75, 0.9, 1.1, 1.25, 2.0]).map(lambda each: f"scale({each})")


@given(st.lists(exact, min_size=1, max_size=3).map(" * ".join), st.integers(2, 7))
@settings(max_examples=250, deadline=None)
def test_a_view_is_the_transform_of_its_name(name: str, side: int) -> None:
    images = np.random.default_rng(side).normal(size=(2, 3, side, side)).astype(np.float32)
    seen = make_view(name)(torch.from_numpy(images)).numpy()
    for image, view in zip(images, seen, strict=True):
        assert np.array_equal(view, by_numpy(name, image))


@given(st.lists(exact | angles | scales, min_size=1, max_size=2).map("*".join), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_interpolated_views_too(name: str, side: int) -> None:
    images = np.random.default_rng(side).normal(size=(1, 2, side, side)).astype(np.float32)
    seen = make_view(name)(torch.from_numpy(images)).numpy()
    assert seen[0] == pytest.approx(by_numpy(name, images[0]), abs=2e-4)


def test_the_dihedral_group_is_whole() -> None:
    square = torch.arange(9).reshape(1, 3, 3)
    seen = {name: tuple(make_view(name)(square).flatten().tolist()) for name in FIXED}
    assert len(set(seen.values())) == len(FIXED) == 8
    for one, other in itertools.product(FIXED, repeat=2):
        assert tuple(make_view(f"{one} * {other}")(square).flatten().tolist()) in seen.values()


@pytest.mark.parametrize("degrees", [0, 10, -33.5, 90, 180])
def test_rotation_is_torchvisions(degrees: float) -> None:
    torch.manual_seed(0)
    # A wide black border, as the two differ in what they repeat beyond it.
    images = torch.nn.functional.pad(torch.rand(2, 1, 15, 15), [12] * 4)
    wanted = tvf.rotate(images, degrees, tvf.InterpolationMode.BILINEAR)
    seen = make_view(f"rotate({degrees})")(images)
    assert torch.allclose(seen, wanted, atol=1e-4)


class Pixels(torch.nn.Module):
    """A network whose logits are the pixels that it sees."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def seen_through(images: torch.Tensor, names: list[str], cut: bool) -> np.ndarray:
    """(views, images, pixels) of what a network sees, in batches of two."""
    batches = [(images[start : start + 2], None) for start in range(0, len(images), 2)]
    made = [make_view(name) for name in names]
    unit = Model.model_validate(
        {"backbone": "foldwise/plain_cnn", "channels": 1}
        | {"normalize": {"mean": [0.0], "std": [1 / 255]}}
    )
    seen = ThroughViews(Pixels(), unit, made)
    assert seen.cut == cut
    return view_logits(seen, batches, torch.device("cpu"), "network")


def test_views_of_a_batch_are_those_of_its_images() -> None:
    names = ["identity", "rot90", "antitranspose", "shift(1, -2) * hflip"]
    images = torch.randint(0, 256, (5, 1, 6, 6), dtype=torch.uint8)
    seen = seen_through(images, names, cut=False)
    assert seen.shape == (4, 5, 36)
    for name, rows in zip(names, seen, strict=True):
        for image, row in zip(images.numpy(), rows, strict=True):
            assert row == pytest.approx(by_numpy(name, image).ravel().astype(np.float32), abs=1e-3)


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_a_batch_is_fetched_while_the_next_one_is_computed(batches: int) -> None:
    happened: list[str] = []

    class Fetched(torch.Tensor):
        def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
            happened.append("fetched")
            return self.as_subclass(torch.Tensor)

    class Seen(ThroughViews):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            happened.append("computed")
            return images.as_subclass(Fetched)

    parts = [torch.full((1, 2, 3), float(each)) for each in range(batches)]
    seen = Seen(torch.nn.Identity(), model(), [make_view("identity")])
    found = view_logits(seen, [(each, None) for each in parts], torch.device("cpu"), "network")
    assert np.array_equal(found, torch.cat(parts, 1).numpy())
    assert happened == ["computed", *["computed", "fetched"] * (batches - 1), "fetched"]


def test_all_views_in_one_pass_are_what_each_is_alone() -> None:
    names = ["identity", "rot90", "shift(1, 0)"]
    unit = Model.model_validate({"backbone": "foldwise/plain_cnn", "channels": 1})
    images = torch.randint(0, 256, (4, 1, 6, 6), dtype=torch.uint8)
    for softmax in (False, True):
        alone, together = (
            ThroughViews(Pixels(), unit, [make_view(name) for name in names], softmax, each)(images)
            for each in (False, True)
        )
        assert torch.equal(alone, together)
        assert alone.shape == (3, 4, 36)


def test_crops_are_torchvisions() -> None:
    names = list(EXPANDED.validate_python(["ten_crop", "rot90 * top_right"]))
    assert len(names) == 11
    model = Model.model_validate(
        {
            "backbone": "foldwise/plain_cnn",
            "image_size": 16,
            "shortest_edge": 20,
            "channels": 1,
            "views": "five_crop",
        }
    )
    whole = np.random.default_rng(0).integers(0, 256, (3, 20, 26, 1), np.uint8)
    squares = np.stack([cut(each, model) for each in whole])
    assert squares.shape == (3, CENTRE + 1, 16, 16, 1)
    images = torch.from_numpy(np.moveaxis(squares, -1, -3))
    seen = seen_through(images, names, cut=True).reshape(11, 3, 16, 16)
    for index, pixels in enumerate(torch.from_numpy(np.moveaxis(whole, -1, 1))):
        found = {tuple(each.ravel()) for each in seen[:10, index].round()}
        wanted = {tuple(each.float().flatten().tolist()) for each in tvf.ten_crop(pixels, [16, 16])}
        assert found == wanted
        corner = pixels[0, :16, -16:].numpy()
        assert seen[10, index] == pytest.approx(np.rot90(corner).astype(np.float32), abs=1e-3)


def test_crops_stand_for_their_views() -> None:
    assert EXPANDED.validate_python(["five_crop"]) == (*CORNERS, "identity")
    turned = EXPANDED.validate_python(["rot90*ten_crop"])
    assert turned[:5] == (*[f"rot90 * {each}" for each in CORNERS], "rot90")
    assert turned[5:] == (*[f"rot90 * hflip * {each}" for each in CORNERS], "rot90 * hflip")
    with pytest.raises(ValidationError, match="once"):
        EXPANDED.validate_python(["identity", "five_crop"])
    with pytest.raises(ValidationError, match="a crop comes last"):
        EXPANDED.validate_python(["five_crop * rot90"])
    with pytest.raises(ValidationError, match=r"for `tta\.views` alone"):
        Freeze.model_validate({"epochs": 1, "views": ["top_left"]})
