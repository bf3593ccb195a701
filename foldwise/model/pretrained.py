"""Weights from a file, into a library's network before it becomes a member's backbone."""

import pickle

import torch
from safetensors import SafetensorError
from torch import nn

from foldwise.core.errors import UserError
from foldwise.model.backbones import classifier_name, first_convolution, take_channels

# What torch and timm raise for files that are cut, or hold something else.
READING = (pickle.UnpicklingError, SafetensorError, EOFError, RuntimeError, AttributeError)
ADVICE = "write `pretrained: true` or the path of a file with this backbone's weights"


def load_file(network: nn.Module, path: str, whole: bool) -> None:
    """Load all weights, or all but the classifier's.

    Args:
        network: as its library made it; it takes as many channels afterwards as the file's does.
        path: .safetensors, or .pth that holds nothing but tensors: weights of the library's own
            network.
        whole: the classifier's weights are needed too.

    Raises:
        UserError: the file is missing, is not what its name says, or does not fit.
    """
    weights = _read(path)
    if any(name.startswith("backbone.") for name in weights):
        raise UserError(
            f"{path}: holds a trained member's weights; name its commit in train.warm_start, which "
            "sees to it that no fold has seen what it holds out"
        )
    name, first = first_convolution(network)
    seen = weights.get(f"{name}.weight")
    if seen is not None and seen.shape[1:2] == (1,) and first.in_channels == 3:
        take_channels(network, 1)
    optional = () if whole else (f"{classifier_name(network)}.",)
    needed = {name: each for name, each in weights.items() if not name.startswith(optional)}
    load_matching_weights(network, needed, path, ADVICE, optional)


def _read(path: str) -> dict[str, torch.Tensor]:
    # Only who starts from a file needs timm's reader of every kind of it.
    from timm.models import load_state_dict

    try:
        content = load_state_dict(path, use_ema=False, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (models.*.pretrained); {ADVICE}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder (models.*.pretrained); {ADVICE}") from None
    except READING as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: holds no plain tensors ({reason}); {ADVICE}") from None
    wrong = [name for name, each in content.items() if not isinstance(each, torch.Tensor)]
    if wrong or not content:
        raise UserError(f"{path}: holds no plain tensors ({wrong[:1] or 'empty'}); {ADVICE}")
    return content


def load_matching_weights(
    network: nn.Module,
    weights: dict[str, torch.Tensor],
    source: str,
    advice: str,
    optional: tuple[str, ...] = (),
) -> None:
    """Load weights whose names and shapes are the network's own.

    Args:
        network: that gets them.
        weights: by name.
        source: where they come from, for people.
        advice: what to do if they do not fit.
        optional: beginnings of names that may be missing.

    Raises:
        UserError: they do not fit.
    """
    wanted = {
        name: each for name, each in network.state_dict().items() if not name.startswith(optional)
    }
    problems = [
        f"{name} is {tuple(weights[name].shape)} there and {tuple(wanted[name].shape)} here"
        for name in wanted
        if name in weights and weights[name].shape != wanted[name].shape
    ]
    problems += [f"{name} is missing" for name in wanted if name not in weights]
    problems += [f"{name} is not in this network" for name in weights if name not in wanted]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{source}: does not fit this network: {problems[0]}{more}; {advice}")
    network.load_state_dict(weights, strict=False)
