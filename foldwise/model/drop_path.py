"""`drop_path`: stochastic depth by one name, whatever the libraries call it.

Huang et al. 2016, "Deep networks with stochastic depth": in training, each image passes a residual
block with the given probability by the shortcut alone; of the first blocks less often, in a line.
"""

from typing import Any

from torch import nn

from foldwise.model.settings import DROP_PATH, Model

NONE = "has no residual branches that drop_path could drop; drop it"


def drop_path_options(model: Model) -> dict[str, Any]:
    """The argument of the library's constructor, where it takes one.

    Raises `ValueError` if the network has nothing to drop.
    """
    library, name = model.backbone.split("/", 1)
    # torchvision's constructors hide theirs, or have none.
    if model.drop_path is None or library == "torchvision":
        return {}
    if name == "plain_cnn":
        raise ValueError(NONE)
    return {DROP_PATH[library]: model.drop_path}


def apply_drop_path(network: nn.Module, model: Model) -> None:
    """Set the share in torchvision's networks, of which no constructor takes it for all.

    Raises `ValueError` if there is nothing to drop.
    """
    if model.drop_path is None or not model.backbone.startswith("torchvision/"):
        return
    from torchvision.ops import StochasticDepth

    layers = [each for each in network.modules() if isinstance(each, StochasticDepth)]
    most = max((layer.p for layer in layers), default=0)
    if not most:
        raise ValueError(NONE)
    for layer in layers:
        layer.p *= model.drop_path / most
