"""A project that learns from more than its own rows, from `fetch` to the submission."""

import copy
from typing import Any

import numpy as np
import pytest

from foldwise.model.saved import read_model
from tests.conftest import TINY, Project
from tests.pictures import picture, write

EXTRA = {
    "shapes": {
        "source": "folder",
        "path": "data/extra/shapes",
        "classes": {"three": "3", "seven": "7"},
    },
    "free": {"source": "images", "path": "data/extra/free"},
    "twin": {
        "source": "glyphs",
        "glyphs": {"compose": {"canvas": 24, "size": [8, 14], "glyphs": [1, 3]}},
    },
}


def params(**train: Any) -> dict[str, Any]:
    """The tiny params with extra data, and these settings of `train`."""
    content = copy.deepcopy(TINY) | {"epochs": 3}
    content["data"] |= {"extra_path": "data/extra", "extra": EXTRA}
    content["train"] |= train
    return content


@pytest.fixture
def more(project: Project) -> Project:
    """With labelled and unlabelled images beside its own, fetched and split."""
    shapes = {
        f"data/extra/shapes/train/{name}/{number}.png": picture(number + shift, ".png")
        for shift, name in ((0, "three"), (50, "seven"), (90, "other"))
        for number in range(4)
    }
    free = {f"data/extra/free/{each}.png": picture(each + 200, ".png") for each in range(5)}
    write(project.path, {**shapes, **free})
    project.write_params(params())
    project.stage("fetch")
    project.stage("split")
    return project


def train(project: Project, **settings: Any) -> bytes:
    project.write_params(params(**settings))
    project.stage("train", "--member", "cnn", "--fold", "0")
    return (project.path / "data/models/cnn/0/weights.safetensors").read_bytes()


def test_each_source_takes_part_and_none_is_scored_on(more: Project) -> None:
    alone = train(more)
    unseen = read_model(more.path / "data/models/cnn/0")["unseen"]
    extra = {"shapes": {"weight": 0.5, "per_epoch": 3}, "twin": {"per_epoch": 8, "until": 0.7}}
    with_both = train(more, extra=extra)
    with_one = train(more, extra={"twin": extra["twin"]})
    assert len({alone, with_both, with_one}) == 3
    assert train(more, extra=extra) == with_both
    # What must not be known stays what it was, so that such runs may teach and start each other.
    model = read_model(more.path / "data/models/cnn/0")
    assert model["unseen"] == unseen
    assert model["recipe"]["train"]["extra"]["shapes"]["weight"] == 0.5
    more.stage("predict", "--member", "cnn", "--fold", "0")
    found = np.load(more.path / "data/predictions/cnn/0.npz")
    assert len(found["oof_id"]) == 24
    assert len(found["test_id"]) == 16
    assert not {each for each in (*found["oof_id"], *found["test_id"]) if "/" in each}


def test_a_curriculum_comes_before_own_images(more: Project) -> None:
    """Own images that are never seen have no say; from the middle on, they have."""
    extra = {"twin": {"per_epoch": 8}}
    never = train(more, extra=extra, curriculum={"0.7": 1}, own_from=1.0)
    assert train(more, extra=extra, curriculum={0.7: 1}, own_from=1.0) == never
    assert train(more, extra=extra, curriculum={0.7: 1}) != never
    assert train(more, extra=extra, own_from=1.0) != never


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"extra": {"twin": {}}}, "train.extra.twin.per_epoch: is missing"),
        ({"extra": {"twin": {"per_epoch": 8}}, "curriculum": {0.5: 4}}, "has 4 epochs in all"),
        ({"extra": {"free": {}}}, "train.extra.free: its images have no labels"),
        ({"extra": {"shapes": {}}, "curriculum": {0.5: 1}}, "train.curriculum: is of composed"),
        ({"extra": {"shapes": {}}, "own_from": 1.0, "sampler": "balanced"}, "sampler: balanced"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    settings: dict[str, Any], said: str, more: Project
) -> None:
    more.write_params(params(**settings))
    error = more.stage("train", "--member", "cnn", "--fold", "0", code=1)
    assert said in error
    assert error.count("\n") == 1
    assert not (more.path / "data/models").exists()
