"""A folder of features, and who asks for some."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldwise.features.kept import (
    FeatureFolder,
    FrozenFeatures,
    frozen_features,
)
from foldwise.inference.runtime import Forward, ready
from foldwise.model.classifier import Classifier, Normalizer, build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.settings import Compute, Model
from foldwise.model.views import make_view
from tests.pictures import stored

COMPUTE = Compute(accelerator="cpu", precision="32-true", workers=0, batch_size=4)
MODEL = Model.model_validate(
    {
        "backbone": "foldwise/plain_cnn",
        "options": {"widths": [4, 8], "pools": [0]},
        "image_size": 16,
    }
)
IMAGES = 15


class Asked:
    """A folder of features, images and a network: asks, and counts what its backbone sees."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = stored(folder, [(20, 24)] * IMAGES)
        self.ids = self.store.ids
        self.network = network(0)
        self.folder = FeatureFolder(folder / "features")
        self.seen = 0
        monkeypatch.setattr("foldwise.features.extract.ready", self.counted)

    def counted(self, *arguments: Any, **options: Any) -> Forward:
        forward = ready(*arguments, **options)

        def counting(pixels: torch.Tensor) -> torch.Tensor:
            self.seen += len(pixels)
            return forward(pixels)

        return counting

    def images(self, ids: Sequence[str], model: Model = MODEL) -> ImageDataset:
        return ImageDataset(self.store, ids, np.empty((len(ids), 0)), model)

    def __call__(
        self,
        ids: Sequence[str] | None = None,
        views: Sequence[str] = ("identity",),
        model: Model = MODEL,
        **compute: Any,
    ) -> FrozenFeatures:
        images = self.images(self.ids if ids is None else ids, model)
        compute_ = COMPUTE.model_copy(update=compute)
        return frozen_features(self.folder, self.network, images, views, compute_)

    def passes(self, *arguments: Any, **options: Any) -> int:
        """How many images and views go through the backbone for it."""
        before = self.seen
        self(*arguments, **options)
        return self.seen - before

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.path.glob("*.npy"))

    def by_network(self, view: str, crop: int | None = None, model: Model = MODEL) -> np.ndarray:
        """The features of all images, by the network as it is."""
        images = self.images(self.ids, model)
        pixels = torch.stack([images.input(0, each) for each in range(len(images))])
        if crop is not None:
            pixels = pixels[:, crop]
        with torch.inference_mode():
            seen = make_view(view)(Normalizer(*MODEL.mean_and_std())(pixels))
            return self.network.eval().features(seen).numpy()


def network(seed: int) -> Classifier:
    torch.manual_seed(seed)
    return build_network(MODEL, 3).eval()
