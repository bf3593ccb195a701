"""Small data sets to train on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldwise.model.dataset import ImageDataset
from foldwise.training.settings import Recipe
from tests.pictures import stored


@pytest.fixture
def images(tmp_path: Path) -> Any:
    """Makes data sets of a recipe: 10 images to train on, 5 held out."""
    store = stored(tmp_path, [(20, 24)] * 15)
    labels = np.random.default_rng(0).integers(0, 2, (15, 3))
    labels[:3] = np.eye(3)

    def make(made: Recipe) -> tuple[ImageDataset, ImageDataset]:
        if made.train.loss == "cross_entropy":
            labels[:] = np.eye(3)[np.arange(15) % 3]
        return (
            ImageDataset(store, store.ids[:10], labels[:10], made.model),
            ImageDataset(store, store.ids[10:], labels[10:], made.model),
        )

    return make
