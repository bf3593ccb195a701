"""Small models and recipes."""

from typing import Any

from foldwise.model.settings import Model
from foldwise.training.settings import Recipe, Train


def model(**settings: Any) -> Model:
    return Model.model_validate({"backbone": "foldwise/plain_cnn", "image_size": 32} | settings)


def recipe(**train: Any) -> Recipe:
    return Recipe(
        member="m",
        model=model(channels=1, options={"widths": [4, 8], "pools": [0]}),
        lr=0.1,
        epochs=2,
        seed=3,
        train=Train(**train),
    )
