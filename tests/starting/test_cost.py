"""What a run takes: the formula, by hand; and what is measured of real networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foldwise.images.decode import inspect
from foldwise.params import Params
from foldwise.starting.cost import LIGHT, START, Cost, Counted, Measured, cost_of, told_cost
from foldwise.starting.facts import Look
from foldwise.starting.trying import measure_members
from tests.pictures import picture
from tests.starting.test_params_file import made


def test_the_cost_of_a_fine_tuning_is_its_formula() -> None:
    params = made("good", 1000, gpu=False)
    counted = Counted(train=1000, test=100, classes=10, bytes=5e7)
    own = Measured(read=0.01, step=2.0, forward=0.05, solve=0, features=8, size=10**7)
    cost = cost_of(params, counted, {"tuned": own}, decode=0.02, start=START)
    begun = START + 1.5
    # 800 images in 25 batches, 200 held out, 5 folds; two views of 300 images to predict.
    epoch = 25 * 2.0 + 200 * 0.06
    assert cost.stages["train"] == pytest.approx(5 * (begun + params.epochs * epoch))
    begun = START * LIGHT + 1.5
    assert cost.stages["predict"] == pytest.approx(5 * (begun + 300 * 0.11))
    assert cost.stages["fetch"] == pytest.approx(begun + 1100 * 0.02)
    present = START * LIGHT + 1.5 + 4.2 + 0.2 * 1100 * 10 / 1e6 + 0.007 * 1100
    assert cost.stages["present"] == pytest.approx(present)
    assert cost.disk == pytest.approx(2 * (5e7 + 5 * 10**7))
    assert list(cost.stages) == [
        *("fetch", "split", "train", "predict", "ensemble", "threshold", "evaluate", "present")
    ]


def test_a_frozen_backbone_sees_every_image_once() -> None:
    params = made("quick", 1000, gpu=False)
    counted = Counted(train=1000, test=0, classes=10, bytes=5e7)
    own = Measured(read=0.01, step=0, forward=0.05, solve=3.0, features=100, size=0)
    cost = cost_of(params, counted, {"lite0": own}, decode=0.02, start=START)
    assert cost.once == {"lite0": pytest.approx(1000 * 0.11)}
    assert cost.stages["train"] == pytest.approx(110 + 5 * (START + 1.5 + 3))
    assert cost.disk == pytest.approx(2 * 5e7 + 1000 * 2 * 100 * 2)


def test_folds_at_once_take_as_long_as_the_longest_share() -> None:
    cost = Cost(
        {"fetch": 10, "train": 3 * 20 + 3 * 7, "predict": 0}, {"a": (20, 0), "b": (7, 0)}, {}, 0, 3
    )
    # 20 + 20, 20 + 7, 7, 7 on two.
    assert cost.side_by_side(2) == pytest.approx(10 + 41)
    assert cost.side_by_side(1) == pytest.approx(cost.seconds)
    assert cost.side_by_side(6) == pytest.approx(30)
    assert "JOBS=2" in "".join(told_cost(cost, 1e9, 2, 8))
    assert "JOBS gains little" in "".join(told_cost(cost, 1e9, 0, 8))


@pytest.mark.parametrize("tier", ["quick", "best"])
def test_members_are_measured_and_nothing_is_left(tier: str, tmp_path: Path) -> None:
    params: Params = made(tier, 40, gpu=False, side=24)
    contents = [picture(each) for each in range(8)]
    seen = [inspect(each, 10**6) for each in contents]
    look = Look(list(range(8)), contents, seen, [], 0, 0.01)
    labels = np.eye(2, dtype=np.int8)[np.arange(8) % 2]
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    before = {*Path(tmp_path).iterdir()}
    found = measure_members(params, look, labels, 30, steps=1)
    assert torch.equal(torch.rand(1), wanted)
    assert {*Path(tmp_path).iterdir()} == before
    assert list(found) == list(params.members)
    for name, each in found.items():
        solved = params.recipe(name).solved
        assert (each.step == 0) == solved
        assert (each.solve > 0) == solved
        assert min(each.read, each.forward, each.size, each.features) > 0
