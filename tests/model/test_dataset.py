"""Images as the network gets them, whoever reads them, and how batches are shared."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.core.errors import UserError
from foldwise.images.store import ImageStore
from foldwise.model.classifier import Normalizer
from foldwise.model.dataset import MANY_EPOCHS, ImageDataset
from foldwise.model.loader import Batches, make_loader
from foldwise.training.augment import make_augment
from tests.pictures import stored
from tests.small import model


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return stored(tmp_path, [(20 + index, 30) for index in range(10)])


def augmented(store: ImageStore, ids: list[str]) -> ImageDataset:
    augment = make_augment(({"Affine": {"rotate": [-90, 90], "p": 1.0}}, "HorizontalFlip"))
    labels = np.arange(len(ids) * 2).reshape(-1, 2)
    return ImageDataset(store, ids, labels, model(image_size=16, channels=1), augment, seed=5)


def batches(dataset: ImageDataset, workers: int, epochs: int) -> list[torch.Tensor]:
    sampler = Batches(len(dataset), 4, seed=1)
    loader = make_loader(dataset, sampler, workers, persistent=True)
    found = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found += [tensor for batch in loader for tensor in batch]
    return found


def test_workers_change_nothing(store: ImageStore) -> None:
    alone = batches(augmented(store, store.ids), 0, 2)
    for workers in (1, 2):
        other = batches(augmented(store, store.ids), workers, 2)
        assert all(torch.equal(a, b) for a, b in zip(alone, other, strict=True))


def test_augmentation_is_a_function_of_seed_epoch_and_image(store: ImageStore) -> None:
    dataset = augmented(store, store.ids)
    fewer = augmented(store, store.ids[5:])
    assert torch.equal(dataset[(3, 7, True)][0], fewer[(3, 2, True)][0])
    assert not torch.equal(dataset[(3, 7, True)][0], dataset[(4, 7, True)][0])
    fewer.seed = 6
    assert not torch.equal(dataset[(3, 7, True)][0], fewer[(3, 2, True)][0])


def test_what_an_epoch_shows_again_is_augmented_anew(store: ImageStore) -> None:
    dataset = augmented(store, store.ids)
    first, again = ((3 + time * MANY_EPOCHS, 7, True) for time in (0, 1))
    assert not torch.equal(dataset[first][0], dataset[again][0])
    grown = dataset.growing([8, 8, 8, 12])
    assert grown[again][0].shape == (1, 12, 12)
    assert dataset[again][0].shape == (1, 16, 16)
    assert grown.only([7], augmented=True)[(0, 0, True)][0].shape == (1, 8, 8)


@pytest.mark.parametrize("views", ["single", "five_crop"])
def test_grown_images_are_the_full_ones_scaled_down(store: ImageStore, views: Any) -> None:
    settings = model(image_size=16, channels=3, views=views, shortest_edge=20)
    dataset = ImageDataset(store, store.ids, np.ones((10, 2)), settings)
    full = dataset[0][0]
    half = dataset.growing([8])[0][0]
    assert half.shape == (*full.shape[:-2], 8, 8)
    wanted = full.float().reshape(*full.shape[:-2], 8, 2, 8, 2).mean((-1, -3))
    assert torch.allclose(half.float(), wanted, atol=0.51)


def test_transforms_of_one_image_are_drawn_independently() -> None:
    augment = make_augment(("HorizontalFlip", "VerticalFlip"))
    assert augment is not None
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    seen = [augment(image, seed).tobytes() for seed in range(400)]
    counts = [seen.count(each) for each in set(seen)]
    assert len(counts) == 4
    assert min(counts) > 60


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_processes_share_every_batch(images: int, size: int, processes: int, epoch: int) -> None:
    """Together they see every image once, batch for batch as one process does."""

    def keys(rank: int, of: int) -> list[list[tuple[int, int, bool]]]:
        sampler = Batches(images, size, seed=1, rank=rank, processes=of)
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    alone = keys(0, 1)
    assert sorted(each for batch in alone for _, each, _ in batch) == list(range(images))
    assert all(key[0] == epoch and key[2] for batch in alone for key in batch)
    sizes = [len(batch) for batch in alone]
    assert min(sizes) >= Batches(images, size, seed=1).smallest
    assert all(each == size for each in sizes[:-1])
    # A single image is never left for the last batch, and no other batch is another.
    plain = [min(size, images - start) for start in range(0, images, size)]
    wanted = [*plain[:-2], plain[-2] + 1] if plain[1:] and plain[-1] == 1 < size else plain
    assert sizes == wanted
    shares = [keys(rank, processes) for rank in range(processes)]
    for index, batch in enumerate(alone):
        together = [key for share in shares for key in share[index]]
        assert sorted(key for key in together if key[2]) == sorted(batch)
        assert min(len(share[index]) for share in shares) >= 1


def test_every_epoch_has_its_order() -> None:
    sampler = Batches(50, 7, seed=1)
    orders = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        orders.append([position for batch in sampler for _, position, _ in batch])
    assert orders[0] != orders[1]
    assert [key[:2] for batch in Batches(5, 2) for key in batch] == [(0, each) for each in range(5)]


@pytest.mark.parametrize("channels", [1, 3])
def test_plain_images_are_resized_pixels(store: ImageStore, channels: int) -> None:
    dataset = ImageDataset(store, ["i3"], np.zeros((1, 2)), model(image_size=16, channels=channels))
    image, _ = dataset[0]
    wanted = cv2.resize(store.pixels("i3", channels), (16, 16), interpolation=cv2.INTER_AREA)
    assert image.dtype == torch.uint8
    assert np.array_equal(image.numpy(), wanted.reshape(16, 16, channels).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"Resize": {"height": 8, "width": 8}}, "makes images of 8 x 8 pixels"),
        ({"PadIfNeeded": {"min_height": 40, "min_width": 40}}, "makes images of 40 x 40"),
        ({"Normalize": {"mean": [0.5], "std": [0.5]}}, "Normalize"),
        ({"ToRGB": {}}, "let it keep the channels"),
    ],
)
def test_augmentation_that_changes_size_or_type_is_refused(
    store: ImageStore, spec: dict[str, Any], said: str
) -> None:
    made = model(image_size=16, channels=1)
    dataset = ImageDataset(store, ["i3"], np.zeros((1, 2)), made, make_augment((spec,)))
    with pytest.raises(UserError, match=said) as error:
        dataset[0]
    assert "train.augment" in str(error.value)


def test_normalizer_scales_pixels() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2)
    assert Normalizer((0.5,), (0.25,))(images).flatten().tolist() == [-2, 2]
