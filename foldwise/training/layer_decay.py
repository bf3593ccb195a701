"""Layer-wise learning-rate decay: the deeper a layer of the backbone lies, the less it learns."""

from types import SimpleNamespace
from typing import Any

from torch import nn

from foldwise.model.classifier import Classifier
from foldwise.training.settings import Recipe

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
HEAD = "new_head"
"""A name that no backbone has, which stands for what is put behind it."""


def decayed_groups(network: Classifier, recipe: Recipe, decay: float) -> list[dict[str, Any]]:
    """Groups of parameters as optimizers take them, the head's first, the input's last.

    A layer that lies k layers before the head learns at decay^k of the rate (Clark et al.,
    "ELECTRA", 2020; Bao et al., "BEiT", 2021), the head at the rate times `head_lr_scale`. What
    counts as a layer, timm's networks say themselves (`group_matcher`, as in timm's own
    `param_groups_layer_decay`); for others see `layers_of`.

    Args:
        network: whose parameters they are.
        recipe: says the rate.
        decay: between 0 and 1.
    """
    layer = layers_of(network.backbone)
    last = 1 + max(layer.values(), default=-1) if HEAD not in layer else layer[HEAD]
    of_head = {id(each) for each in network.head_parameters()}
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        depth = last - layer.get(name.removeprefix("backbone."), last)
        head = recipe.train.head_lr_scale if id(parameter) in of_head else 1.0
        groups.setdefault(decay**depth * head, []).append(parameter)
    return [
        # Learning curves show the rate over its scale.
        {"params": groups[scale], "lr": recipe.lr * scale, "lr_scale": scale}
        for scale in sorted(groups, reverse=True)
    ]


def layers_of(backbone: nn.Module) -> dict[str, int]:
    """The layer of every parameter of a backbone by its name, counted from the input.

    Where timm's network says what its layers are, `HEAD` has the layer of what comes behind: some
    networks count their last normalisation as part of it.
    """
    matching: Any = getattr(backbone, "group_matcher", None)
    if matching is not None:
        from timm.models import group_parameters

        named: Any = [*backbone.named_parameters(), (HEAD, None)]
        whole: Any = SimpleNamespace(named_parameters=lambda: named)
        found: dict[str, int] = group_parameters(whole, matching(coarse=False), reverse=True)
        return found
    return _by_order(backbone)


def _by_order(backbone: nn.Module) -> dict[str, int]:
    """Layers in their order of registration, which is that of the library's forward pass.

    A layer is what a container holds; a module that has more than half of all weights is opened
    too, as torchvision's `encoder`. Normalisation belongs to the layer before it, and parameters of
    an opened module (positions, class tokens) as well.
    """
    half = sum(each.numel() for each in backbone.parameters()) / 2
    layer: dict[str, int] = {}
    begun = 0

    def walk(module: nn.Module, prefix: str) -> None:
        nonlocal begun
        named = dict(module.named_parameters(prefix))
        large = sum(each.numel() for each in named.values()) > half
        if isinstance(module, CONTAINERS) or (large and next(module.children(), None) is not None):
            own = module.named_parameters(prefix, recurse=False)
            layer.update({name: max(0, begun - 1) for name, _ in own})
            for name, child in module.named_children():
                walk(child, f"{prefix}.{name}" if prefix else name)
            return
        begun += any(each.ndim > 1 for each in named.values())
        layer.update({name: max(0, begun - 1) for name in named})

    walk(backbone, "")
    return layer


def rate_of(group: dict[str, Any]) -> float:
    """The learning rate of an optimizer's group, without the share that its layer has of it."""
    return float(group["lr"] / group.get("lr_scale", 1.0))
