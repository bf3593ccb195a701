"""Small models and recipes, and members on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foldwise.model.saved import MODEL, SUMS, content_sum
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


def edit_member(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what model.json says of a trained member, as if it had been saved so."""
    path = folder / MODEL
    content = json.loads(path.read_text())
    edit(content)
    content[SUMS]["model"] = content_sum(content)
    # It may be a link to DVC's cache.
    path.unlink()
    path.write_text(json.dumps(content))
