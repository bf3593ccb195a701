"""Optimizers beside timm's, and schedules by their names."""

from typing import Any

import numpy as np
import pytest
import torch
from timm.optim import create_optimizer_v2

from foldwise.core.errors import UserError
from foldwise.model.classifier import build_network
from foldwise.training.optimizer import TORCHS, make_optimizer, make_schedules
from tests.small import recipe


@pytest.mark.parametrize("name", ["sgd", "momentum", "radam", "lookahead_adam", "lamb"])
def test_optimizers_are_timms(name: str) -> None:
    made = recipe(optimizer=name, momentum=0.7, weight_decay=0.2)
    network = build_network(made.model, 3)
    optimizer = make_optimizer(network, made)
    before = network.fc.weight.detach().clone()
    network(torch.ones(2, 1, 16, 16)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, network.fc.weight)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.2)
    assert group.get("momentum", 0.7) == 0.7
    with pytest.raises(UserError, match=r"train\.optimizer: timm has no 'adamm'; .*adam"):
        make_optimizer(network, recipe(optimizer="adamm"))
    with pytest.raises(UserError, match=r"train\.optimizer: sgd: "):
        make_optimizer(network, recipe(optimizer="sgd", momentum=0.0))
    plain = make_optimizer(network, recipe(optimizer="adagrad"))
    for steps in (5, 10):
        share = {"warmup": 0.2}
        made = recipe(optimizer="adagrad", scheduler="onecycle", scheduler_options=share)
        assert make_schedules(plain, made, steps)


@pytest.mark.parametrize("name", TORCHS)
def test_what_is_made_without_timm_is_what_timm_makes(name: str) -> None:
    made = recipe(optimizer=name, momentum=0.7, weight_decay=0.2)
    network = build_network(made.model, 3)
    ours = make_optimizer(network, made)
    theirs = create_optimizer_v2(
        network, name, lr=0.1, weight_decay=0.2, momentum=0.7, filter_bias_and_bn=False
    )
    assert type(ours) is type(theirs)
    own, other = ours.param_groups[0], theirs.param_groups[-1]
    assert {**own, "params": []} == {**other, "params": []}
    assert {id(each) for each in own["params"]} == {
        id(each) for group in theirs.param_groups for each in group["params"]
    }


def rates(scheduler: str, steps: int, epochs: int, **options: Any) -> list[float]:
    """The rate of every step."""
    made = recipe(scheduler=scheduler, scheduler_options=options).model_copy(
        update={"epochs": epochs}
    )
    optimizer = make_optimizer(build_network(made.model, 3), made)
    schedules = [each["scheduler"] for each in make_schedules(optimizer, made, steps)]
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for each in schedules:
            each.step()
    return found


def test_schedules_are_what_their_names_say() -> None:
    """Ten steps in five epochs, from a rate of 0.1."""
    assert rates("constant", 10, 5) == pytest.approx([0.1] * 10)
    warm = rates("constant", 10, 5, warmup=0.4)
    assert warm == pytest.approx([0.1 * (0.001 + 0.999 * min(1, n / 4)) for n in range(10)])
    stepped = rates("steps", 10, 5, milestones=[2, 4], factor=0.5)
    assert stepped == pytest.approx([0.1] * 4 + [0.05] * 4 + [0.025] * 2)
    cosine = rates("cosine", 10, 5)
    assert cosine == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 10)) for n in range(10)])
    again = rates("cosine", 10, 5, t_max=2)
    assert again == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 4)) for n in range(10)])
    both = rates("cosine", 10, 5, warmup=0.2)
    assert both[2:] == pytest.approx([0.05 * (1 + np.cos(np.pi * n / 8)) for n in range(8)])
    assert both[0] == pytest.approx(1e-4)
    one = rates("onecycle", 10, 5)
    assert one[0] == pytest.approx(0.1 / 25)
    assert np.argmax(one) == 2
    assert max(rates("onecycle", 10, 5, warmup=0.5)) == pytest.approx(0.1)
    assert np.argmax(rates("onecycle", 10, 5, warmup=0.5)) == 4


def test_the_new_layer_may_learn_faster() -> None:
    for name in ("onecycle", "constant"):
        made = recipe(optimizer="adam", scheduler=name, head_lr_scale=10.0)
        network = build_network(made.model, 3)
        optimizer = make_optimizer(network, made)
        start = [group["lr"] for group in optimizer.param_groups]
        make_schedules(optimizer, made, 10)
        body, head = optimizer.param_groups
        assert start == [0.1, 1.0]
        assert head["lr"] == pytest.approx(10 * body["lr"])
        assert {id(each) for each in head["params"]} == {
            id(each) for each in network.fc.parameters()
        }
        assert len(body["params"]) + len(head["params"]) == len(list(network.parameters()))
