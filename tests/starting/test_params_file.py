"""Params of every tier: they are allowed, they suit the data set, and their text says the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldwise.params import Params, checked_params
from foldwise.starting.facts import facts, look_at
from foldwise.starting.params_file import difference, fitted_to, make_params, params_text
from foldwise.starting.tiers import TIERS, Fitted, recipe_for
from foldwise.training.augment import make_augment
from tests.starting import layouts, tables
from tests.starting.test_finding import found

REST: dict[str, Any] = {
    "data": {"source": "folder", "path": "pets", "extra_path": "extra"},
    "evaluate": {"submission": "data/submission.csv"},
    "map": {"features": True},
}


def made(tier: str, images: int, **changed: Any) -> Params:
    fitted = Fitted(images, 20, 300, single=True, source="folder", gpu=False, split={})
    return checked_params(recipe_for(tier, replace(fitted, **changed)) | REST)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("source", ["folder", "dacon"])
def test_every_tier_is_allowed(tier: str, gpu: bool, source: str) -> None:
    for single in (True, False) if source == "folder" else (False,):
        for images in (8, 600, 10**6):
            params = made(tier, images, gpu=gpu, single=single, source=source)
            assert params.seed == 42
            assert params.threshold.guarantee is None
            losses = {params.recipe(name).train.loss for name in params.members}
            assert losses == {"cross_entropy" if single else "bce"}
            frozen = [params.recipe(name).solved for name in params.members]
            assert all(frozen) == (tier == "quick")
            assert len(params.members) > 2 or tier != "best"
            make_augment(params.train.augment)
            assert ("hflip" in params.tta.views) == (source != "dacon")


def test_letters_and_sides_are_not_mirrored() -> None:
    for tier in TIERS:
        for changed in ({"source": "dacon", "single": False}, {"mirror": False}):
            assert "flip" not in str(made(tier, 600, **changed)).lower()


def test_folds_go_round() -> None:
    assert made("quick", 600).folds == (0, 1, 2, 3, 4)
    assert made("quick", 600, rarest=4).folds == (0, 1, 2, 3)
    assert made("quick", 600, rarest=1).folds == (0, 1, 2)
    assert made("quick", 600, groups=3, split={"group": True}).folds == (0, 1, 2)
    own = made("quick", 600, folds=4, split={"method": "list"})
    assert (own.folds, own.split.method, own.split.stratify) == ((0, 1, 2, 3), "list", False)


@pytest.mark.parametrize("make", [tables.patients, tables.given_folds, layouts.dacon])
def test_the_text_is_what_is_meant(make: Any, tmp_path: Path) -> None:
    make(tmp_path)
    data = found(tmp_path)
    look = look_at(data)
    old = {"compute": {"accelerator": "cpu"}}
    fitted = fitted_to(data, look, gpu=False, mirror=True)
    content, params = make_params(data, fitted, "quick", old, "data/submission.csv")
    text = params_text(content, ["one", "two\nthree"])
    assert "&id" not in text
    assert checked_params(yaml.safe_load(text)) == params
    assert params.compute.accelerator == "cpu"
    assert params.data.path == str(tmp_path)
    assert params.split.group == ("group" in data.reading.split)
    assert "+seed: 42" in difference("seed: 1\n", text)
    assert facts(data, look)


def test_facts_say_what_is_there(tmp_path: Path) -> None:
    tables.patients(tmp_path)
    (tmp_path / "images/0003.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    data = found(tmp_path)
    said = "\n".join(facts(data, look_at(data)))
    assert "16 images to train on, 0 of the test part, 8 groups" in said
    assert "4 classes, 1.3" in said
    assert "24 x 24 pixels; colours, 8 bits" in said
    assert "1 cannot be used" in said
    assert "0003.png" in said
