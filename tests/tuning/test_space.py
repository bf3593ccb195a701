"""What a study may search, and what it draws."""

import copy
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from foldwise.core.errors import UserError
from foldwise.core.settings import read_file
from foldwise.params import checked_params
from foldwise.tuning.keys import json_text
from foldwise.tuning.space import Dimension, Space, read_space
from tests.conftest import ROOT, TINY


class Drawing:
    """Draws as a study does, but by NumPy."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __call__(self, key: str, dimension: Dimension) -> Any:
        if dimension.choice is not None:
            return json_text(dimension.choice[self._random.integers(len(dimension.choice))])
        if dimension.int is not None:
            first, last = dimension.int
            return int(self._random.integers(first, last + 1))
        low, high = dimension.log or dimension.uniform or (0, 0)
        return float(self._random.uniform(low, high))


def space(tmp_path: Path, content: Any, base: dict[str, Any] = TINY) -> Space:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return read_space(path, base)


def test_every_draw_is_allowed_and_has_the_options_of_its_loss_alone(tmp_path: Path) -> None:
    base = copy.deepcopy(TINY)
    base["train"] |= {"loss": "focal", "loss_options": {"gamma": 1.5}}
    found = space(
        tmp_path,
        {
            "lr": {"log": [1e-4, 1e-1]},
            "train.loss": {"choice": ["bce", "focal", "asymmetric"]},
            "train.loss_options.gamma": {"uniform": [0.5, 3]},
            "train.loss_options.gamma_negative": {"uniform": [1, 3]},
            "train.batch_size": {"int": [4, 16]},
            "tta.views": {"choice": [["identity"], ["identity", "hflip"]]},
        },
        base,
    )
    seen = set()
    for seed in range(30):
        content, values = found.draw(Drawing(seed))
        checked_params(content)
        loss = values["train.loss"]
        seen.add(loss)
        assert ("train.loss_options.gamma" in values) == (loss == "focal")
        assert ("train.loss_options.gamma_negative" in values) == (loss == "asymmetric")
        options = content["train"]["loss_options"]
        assert ("gamma" in options) == (loss == "focal")
        assert content["lr"] == values["lr"]
        assert 4 <= content["train"]["batch_size"] <= 16
    assert seen == {"bce", "focal", "asymmetric"}
    assert base["train"]["loss_options"] == {"gamma": 1.5}


def test_what_is_of_a_member_that_takes_no_part_is_not_drawn(tmp_path: Path) -> None:
    base = copy.deepcopy(TINY)
    base["models"]["other"] = copy.deepcopy(base["models"]["cnn"])
    found = space(
        tmp_path,
        {
            "members": {"choice": [["cnn"], ["cnn", "other"]]},
            "models.other.dropout": {"uniform": [0, 0.5]},
        },
        base,
    )
    for seed in range(12):
        content, values = found.draw(Drawing(seed))
        assert ("models.other.dropout" in values) == ("other" in content["members"])


def test_a_folder_is_no_space(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name a YAML file"):
        read_space(tmp_path, TINY)


def test_a_recipe_is_what_decides_a_model_under_the_other_keys(tmp_path: Path) -> None:
    for name, epochs in (("a", 3), ("b", 5)):
        recipe = copy.deepcopy(TINY) | {"epochs": epochs, "seed": 99}
        recipe["data"] = {"source": "voc"}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    choices = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    found = space(tmp_path, {"lr": {"log": [0.3, 0.4]}, "recipe": {"choice": choices}})
    found_epochs = set()
    for seed in range(8):
        content, values = found.draw(Drawing(seed))
        found_epochs.add(content["epochs"])
        assert content["data"] == TINY["data"]
        assert content["seed"] == TINY["seed"]
        assert content["lr"] == values["lr"] >= 0.3
    assert found_epochs == {3, 5}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"lr": {"log": [0, 1]}}, "above 0"),
        ({"lr": {"log": [1, 0.1]}}, "must be the smaller one"),
        ({"lr": {"uniform": [-1, 1]}}, "lr: -1.0 is refused in every draw"),
        ({"lr": {"choice": [0.1]}}, "choice"),
        ({"lr": {"choice": [0.1, 0.1]}}, "may be named once"),
        ({"lr": {"log": [0.1, 1], "uniform": [0.1, 1]}}, "write one of"),
        ({"lr": 0.1}, "lr"),
        ({"lr": {"choice": [datetime.date(2020, 1, 1), 0.1]}}, "JSON has none for"),
        ({"seed": {"int": [1, 5]}}, "it decides the folds"),
        ({"epoch": {"int": [1, 2]}}, "epoch: unknown key; did you mean 'epochs'?"),
        ({"train.los": {"choice": ["bce", "focal"]}}, "did you mean 'loss'?"),
        ({"train.loss": {"choice": ["bce", "focl"]}}, '"focl" is refused'),
        ({"train.loss_options.gamma": {"uniform": [1, 2]}}, "belongs to loss focal"),
        ({"epochs": {"uniform": [1, 2]}}, "epochs"),
        ({"data.path": {"choice": ["a", "b"]}}, "on the same images and labels"),
        ({"folds": {"choice": [[0, 1], [0, 1, 2]]}}, "on the same folds"),
        ({"threshold": {"choice": [{}, {"objective": "micro_f1"}]}}, "what is better"),
        ({"evaluate.test": {"choice": [True, False]}}, "decides no prediction"),
        ({"recipe": {"choice": ["none.yaml", "nil.yaml"]}}, "none.yaml: no such file"),
        ({}, "expected keys"),
        ([1], "expected keys"),
    ],
)
def test_what_no_draw_could_be_is_refused_before_anything_runs(
    tmp_path: Path, content: Any, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        space(tmp_path, content)
    assert said in str(caught.value)
    assert all(line.startswith(f"{tmp_path}/space.yaml") for line in caught.value.args)
    assert "\n" not in caught.value.args[0]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("default", "params.yaml"),
        ("dacon-efficientnet-b5", "recipes/dacon-efficientnet-b5.yaml"),
    ],
)
def test_shipped_spaces_suit_their_params(name: str, params: str) -> None:
    path = ROOT / f"recipes/spaces/{name}.yaml"
    found = read_space(path, read_file(ROOT / params))
    for seed in range(10):
        content, values = found.draw(Drawing(seed))
        checked_params(content)
        asymmetric = values["train.loss"] == "asymmetric"
        assert ("train.loss_options.gamma_negative" in values) == asymmetric


def test_numbers_have_four_digits_and_stay_between_their_ends() -> None:
    dimension = Dimension(uniform=(0.123456, 0.123459))
    assert dimension.value_of(0.123457) == 0.123459
    assert Dimension(log=(1e-5, 1.0)).value_of(0.000123456) == 0.0001235
