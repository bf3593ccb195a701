"""Layer-wise rates, against timm's own groups."""

from typing import Any

import pytest
import timm
import torch
from timm.optim._param_groups import param_groups_layer_decay
from torch import nn

from foldwise.model.classifier import Classifier, build_network
from foldwise.model.settings import Model
from foldwise.training.layer_decay import layers_of, rate_of
from foldwise.training.optimizer import make_optimizer, make_schedules
from foldwise.training.settings import Recipe
from tests.fitting import recipe


def built(backbone: str, **train: Any) -> tuple[Recipe, Classifier]:
    options = {"image_size": 32, "channels": 3, "options": {}}
    made = recipe(model={"backbone": backbone} | options, layer_decay=0.5, **train)
    return made, build_network(Model.model_validate(made.model), 3, pretrained=False)


def scales(optimizer: torch.optim.Optimizer, network: nn.Module, lr: float) -> dict[str, float]:
    """Every parameter's rate over `lr`, by its name."""
    names = {id(each): name for name, each in network.named_parameters()}
    found = {
        names[id(each)]: group["lr"] / lr
        for group in optimizer.param_groups
        for each in group["params"]
    }
    assert len(found) == len(names) == sum(len(g["params"]) for g in optimizer.param_groups)
    return found


def timms(name: str) -> dict[str, float]:
    model = timm.create_model(name, num_classes=3)
    names = {id(each): name for name, each in model.named_parameters()}
    groups = param_groups_layer_decay(model, layer_decay=0.5)
    return {names[id(each)]: group["lr_scale"] for group in groups for each in group["params"]}


@pytest.mark.parametrize(
    "name", ["resnet18", "test_vit", "test_efficientnet", "test_convnext", "test_resnet"]
)
def test_layers_of_timms_networks_are_timms(name: str) -> None:
    made, network = built(f"timm/{name}", head_lr_scale=10.0)
    found = scales(make_optimizer(network, made), network, made.lr)
    wanted = timms(name)
    whole: Any = timm.create_model(name)
    classifier = whole.default_cfg["classifier"]
    for kind in ("weight", "bias"):
        assert wanted.pop(f"{classifier}.{kind}") == 1
        assert found.pop(f"fc.{kind}") == pytest.approx(10)
    assert len(set(wanted.values())) > 3
    theirs = {f"backbone.{each}": scale for each, scale in wanted.items()}
    assert found == pytest.approx(theirs)


def test_layers_of_other_libraries_are_their_blocks_in_order() -> None:
    """torchvision's names of a ResNet are timm's; of its vision transformer here is what counts."""
    made, network = built("torchvision/resnet18")
    found = scales(make_optimizer(network, made), network, made.lr)
    wanted = {f"backbone.{name}": scale for name, scale in timms("resnet18").items()}
    assert {name: x for name, x in found.items() if not name.startswith("fc.")} == pytest.approx(
        {name: x for name, x in wanted.items() if not name.startswith("backbone.fc.")}
    )
    _, network = built("torchvision/vit_b_16")
    layer = layers_of(network.backbone)
    for name in ("class_token", "conv_proj.weight", "encoder.pos_embedding"):
        assert layer[name] == 0
    for block in range(12):
        of_block = {x for name, x in layer.items() if f".encoder_layer_{block}." in f".{name}"}
        assert of_block == {block + 1}
    assert layer["encoder.ln.weight"] == 12


@pytest.mark.parametrize(
    "backbone", ["efficientnet_pytorch/efficientnet-b0", "torchvision/squeezenet1_1"]
)
def test_rates_never_fall_towards_the_head(backbone: str) -> None:
    made, network = built(backbone)
    by_name = scales(make_optimizer(network, made), network, made.lr)
    found = [by_name[name] for name, _ in network.named_parameters()]
    assert found == sorted(found)
    assert len(set(found)) > 8
    assert found[-1] == 1
    assert max(each for each in found if each < 1) == 0.5


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "lookahead_radam", "lamb"])
def test_all_optimizers_and_onecycle_keep_the_rates_apart(optimizer: str) -> None:
    made = recipe(
        optimizer=optimizer,
        scheduler="onecycle",
        layer_decay=0.5,
        weight_decay=0.3,
        head_lr_scale=4,
    )
    network = build_network(made.model, 3)
    made_optimizer = make_optimizer(network, made)
    schedule = make_schedules(made_optimizer, made, 10)[0]["scheduler"]
    wanted = [4.0, 0.5, 0.25]
    for _ in range(5):
        groups = made_optimizer.param_groups
        assert [group["weight_decay"] for group in groups] == [0.3] * 3
        rate = rate_of(groups[0])
        assert [group["lr"] / rate for group in groups] == pytest.approx(wanted)
        network(torch.ones(2, 1, 16, 16)).sum().backward()
        made_optimizer.step()
        schedule.step()
