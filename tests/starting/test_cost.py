"""What a run takes: the formula, by hand; and what is measured of real networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from foldwise.images.decode import inspect
from foldwise.params import Params
from foldwise.starting.cost import Cost, Counted, Measured, cost_of, told_cost
from foldwise.starting.facts import Look
from foldwise.starting.trying import drawn_features, measure_members
from tests.pictures import picture
from tests.starting.test_params_file import made


def test_the_cost_of_a_fine_tuning_is_its_formula() -> None:
    params = made("good", 1000, gpu=False)
    counted = Counted(train=1000, test=100, classes=10, bytes=5e7)
    own = Measured(read=0.01, step=2.0, prepare=4, forward=0.05, solve=0, features=8, size=10**7)
    cost = cost_of(params, counted, {"tuned": own}, decode=0.02, start=6.0)
    # 800 images in 25 batches, 200 held out, 5 folds; two views of 300 images to predict.
    epoch = 25 * 2.0 + 200 * (0.01 + 2.0 / 32 / 3)
    assert cost.stages["train"] == pytest.approx(5 * (1.9 * 6 + params.epochs * epoch))
    assert cost.stages["predict"] == pytest.approx(5 * (0.8 * 6 + 4 + 300 * 0.11))
    assert cost.stages["fetch"] == pytest.approx(0.25 * 6 + 1100 * 0.02)
    million = 1100 * 10 / 1e6
    assert cost.stages["evaluate"] == pytest.approx(6 * (0.4 + 0.02 * 10 + 1.5 * million))
    assert cost.stages["present"] == pytest.approx(6 * (0.9 + 0.06 * million + 0.0009 * 1100))
    assert cost.disk == pytest.approx(2 * (5e7 + 5 * 10**7))
    assert list(cost.stages) == [
        *("fetch", "split", "train", "predict", "ensemble", "threshold", "evaluate", "present")
    ]


def test_a_frozen_backbone_sees_every_image_once() -> None:
    params = made("quick", 1000, gpu=False)
    counted = Counted(train=1000, test=0, classes=10, bytes=5e7)
    own = Measured(read=0.01, step=0, prepare=4, forward=0.05, solve=3.0, features=100, size=0)
    cost = cost_of(params, counted, {"lite0": own}, decode=0.02, start=6.0)
    assert cost.once == {"lite0": pytest.approx(2 * 4 + 1000 * 0.11)}
    test = round(1000 * params.split.test)
    train = 4 + (1000 - test) * 0.11 + 5 * (1.9 * 6 + 3)
    assert cost.stages["train"] == pytest.approx(train)
    assert cost.stages["predict"] == pytest.approx(4 + test * 0.11 + 5 * 0.8 * 6)
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


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["quick", "best"])
def test_members_are_measured_and_nothing_is_left(tier: str, tmp_path: Path) -> None:
    params: Params = made(tier, 40, gpu=False, side=24)
    contents = [picture(each) for each in range(8)]
    seen = [inspect(each, 10**6) for each in contents]
    look = Look(list(range(8)), contents, seen, [], 0, 0.01)
    labels = np.eye(2, dtype=np.int8)[np.arange(8) % 2]
    counted = Counted(train=40, test=0, classes=2, bytes=1)
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    before = {*Path(tmp_path).iterdir()}
    found = measure_members(params, look, labels, np.tile(labels, (5, 1)), counted, steps=1)
    assert torch.equal(torch.rand(1), wanted)
    assert {*Path(tmp_path).iterdir()} == before
    assert list(found) == list(params.members)
    for name, each in found.items():
        solved = params.recipe(name).solved
        assert (each.step == 0) == solved
        assert (each.solve > 0) == solved
        assert min(each.read, each.prepare, each.forward, each.size, each.features) > 0


def test_drawn_features_correlate_as_a_networks_do_and_tell_classes_apart() -> None:
    labels = np.eye(3, dtype=np.int8)[np.arange(600) % 3]
    first, second = drawn_features(labels, 200, 2, np.random.default_rng(0))
    again = drawn_features(labels, 200, 2, np.random.default_rng(0))
    assert np.array_equal(first, again[0])
    spread = np.linalg.svd(first - first.mean(0), compute_uv=False)
    # Of independent ones the 100th axis is half as long as the first.
    assert 0.02 < spread[100] / spread[0] < 0.25
    apart = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert 0.8 < apart < 0.97
    means = np.stack([first[labels[:, each] == 1].mean(0) for each in range(3)])
    by_nearest = ((second[:, None] - means) ** 2).sum(2).argmin(1)
    assert (by_nearest == np.arange(600) % 3).mean() > 0.6
