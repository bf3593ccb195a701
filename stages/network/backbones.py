"""Networks by one string: `<library>/<name>`, the name as the library spells it."""

import torch
from torch import nn

from stages.errors import UserError
from stages.network.bottleneck_resnet import BottleneckResnet
from stages.network.plain_cnn import PlainCnn
from stages.settings.network import Model

IMAGENET_CLASSES = 1000


class Appended(nn.Module):
    """A network with its 1000-way ImageNet output kept, and Linear(1000, classes) behind it."""

    def __init__(self, backbone: nn.Module, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(IMAGENET_CLASSES, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(images, channels, height, width) to logits (images, classes)."""
        return self.fc(self.backbone(images))


def build_network(model: Model, classes: int, pretrained: bool | None = None) -> nn.Module:
    """Build a member's network: (images, channels, height, width) to logits (images, classes).

    Args:
        model: what to build.
        classes: number of outputs.
        pretrained: overrides `model.pretrained`; False where trained weights are loaded next.

    Raises:
        UserError: the library has no such network, refuses the options, or cannot load weights.
    """
    library, name = model.backbone.split("/", 1)
    use_weights = model.pretrained if pretrained is None else pretrained
    outputs = classes if model.head == "replace" else IMAGENET_CLASSES
    if library == "foldwise" and (model.pretrained or model.head == "append"):
        raise UserError(
            f"params.yaml: models: {model.backbone} has no ImageNet weights; "
            "write `pretrained: false` and `head: replace`"
        )
    try:
        network = BUILDERS[library](name, model, outputs, use_weights)
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(f"params.yaml: models: {model.backbone}: {error}") from None
    except OSError as error:
        raise UserError(
            f"{model.backbone}: its pretrained weights cannot be loaded ({error}); check the "
            "network, or write `pretrained: false`"
        ) from None
    return Appended(network, classes) if model.head == "append" else network


def _foldwise(name: str, model: Model, outputs: int, _: bool) -> nn.Module:
    networks = {"plain_cnn": PlainCnn, "bottleneck_resnet": BottleneckResnet}
    if name not in networks:
        raise ValueError(f"no such network; foldwise has {', '.join(networks)}")
    return networks[name](model.channels, outputs, **model.options)


def _torchvision(name: str, model: Model, outputs: int, use_weights: bool) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(models):
        raise ValueError("torchvision has no such classification network")
    network = models.get_model(name, weights="DEFAULT" if use_weights else None, **model.options)
    if model.head == "replace":
        _replace_last_linear(network, outputs)
    _take_channels(network, model.channels)
    return network


def _timm(name: str, model: Model, outputs: int, use_weights: bool) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise ValueError("timm has no such network; see timm.list_models()")
    return timm.create_model(
        name,
        pretrained=use_weights,
        in_chans=model.channels,
        num_classes=outputs,
        **model.options,
    )


def _efficientnet_pytorch(name: str, model: Model, outputs: int, use_weights: bool) -> nn.Module:
    from efficientnet_pytorch import EfficientNet

    make = EfficientNet.from_pretrained if use_weights else EfficientNet.from_name
    network = make(name, num_classes=outputs, **model.options)
    # The library's own `in_channels` would start a pretrained network from a random convolution.
    _take_channels(network, model.channels)
    return network


BUILDERS = {
    "foldwise": _foldwise,
    "torchvision": _torchvision,
    "timm": _timm,
    "efficientnet_pytorch": _efficientnet_pytorch,
}


def _replace_last_linear(network: nn.Module, outputs: int) -> None:
    """Swap the classifier: the last Linear, or SqueezeNet's last 1x1 convolution."""
    layers = [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    linear = [(name, layer) for name, layer in layers if isinstance(layer, nn.Linear)]
    name, layer = (linear or layers)[-1]
    if isinstance(layer, nn.Linear):
        new: nn.Module = nn.Linear(layer.in_features, outputs)
    else:
        new = nn.Conv2d(layer.in_channels, outputs, layer.kernel_size[0])
        # Behind it SqueezeNet has a ReLU, under which no logit could be negative.
        parent, _, position = name.rpartition(".")
        behind = f"{parent}.{int(position) + 1}"
        if isinstance(network.get_submodule(behind), nn.ReLU):
            network.set_submodule(behind, nn.Identity())
    network.set_submodule(name, new)


def _take_channels(network: nn.Module, channels: int) -> None:
    """Make the first convolution take grey images, its weights summed over the colours."""
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    if first.in_channels != channels:
        first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))
        first.in_channels = channels
