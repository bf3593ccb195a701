"""A member's network: a backbone that gives features, and a head that turns them into logits."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from foldwise.core.errors import UserError
from foldwise.model.backbones import (
    IMAGENET_CLASSES,
    build_backbone,
    replace_pooling,
    take_channels,
    take_classifier,
    take_map,
)
from foldwise.model.map_heads import MapHead, PlacesHead, QueryHead
from foldwise.model.pretrained import load_file
from foldwise.model.settings import Model

# What libraries raise for a name, a weight's tag or an option that they do not know.
REFUSALS = (TypeError, ValueError, AssertionError, RuntimeError, LookupError, StopIteration)


class Normalizer(nn.Module):
    """Pixels 0-255 to numbers of mean 0 and deviation 1, per channel."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """
        Args:
            mean: of pixels scaled to 0-1, one value per channel.
            std: likewise.
        """
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 to float32, both (images, channels, height, width)."""
        return images.float().div_(255).sub_(self.mean).div_(self.std)


FeatureNorm = Literal["batch", "unit"] | None


class Classifier(nn.Module):
    """Images or their crops to logits; of several crops, each class's largest logit counts."""

    def __init__(
        self, backbone: nn.Module, fc: nn.Linear | MapHead, norm: FeatureNorm, dropout: float
    ) -> None:
        """
        Args:
            backbone: images (images, channels, height, width) to features (images, features), or
                to what a `MapHead` takes.
            fc: features to logits; a `MapHead` has no `norm`.
            norm: what is done with the features before.
            dropout: share of the features that is dropped in training.
        """
        super().__init__()
        self.backbone = backbone
        self.norm: nn.Module = nn.Identity()
        if norm and isinstance(fc, nn.Linear):
            self.norm = nn.BatchNorm1d(fc.in_features, affine=False)
        self._unit = norm == "unit"
        self.dropout = nn.Dropout(dropout)
        # To types a Linear's weights or any module's, as who looks at them knows which.
        self.fc: Any = fc
        self._channels_last = False

    def use_channels_last(self) -> None:
        """Keep the channels of a pixel side by side in memory: the same, often faster."""
        self.to(memory_format=torch.channels_last)
        self._channels_last = True

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(images, [crops,] channels, height, width) to (images, [crops,] [places,] features)."""
        flat = images.flatten(0, -4)
        if self._channels_last:
            flat = flat.contiguous(memory_format=torch.channels_last)
        found = self.backbone(flat)
        if isinstance(self.fc, MapHead):
            found = self.fc.places(found)
        return found.unflatten(0, images.shape[:-3])

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """(images, [crops,] [places,] features) to logits (images, classes); places for maps."""
        inner = 2 if isinstance(self.fc, MapHead) else 1
        flat = self.normalized(features.flatten(0, -1 - inner))
        logits: torch.Tensor = self.fc(self.dropout(flat)).unflatten(0, features.shape[:-inner])
        return logits.amax(1) if logits.ndim == 3 else logits

    def normalized(self, features: torch.Tensor) -> torch.Tensor:
        """Features (images, features) as `norm` has them, same shape: what `fc` takes."""
        flat = self._standardised(features)
        if self._unit:
            # The length that standardised features have on average.
            flat = F.normalize(flat, dim=1) * flat.shape[1] ** 0.5
        return flat

    def _standardised(self, features: torch.Tensor) -> torch.Tensor:
        norm = self.norm
        if isinstance(norm, nn.BatchNorm1d) and norm.training and len(features) == 1:
            # The last batch may hold one image, which has no spread of its own.
            return F.batch_norm(features, norm.running_mean, norm.running_var, eps=norm.eps)
        return norm(features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(images, [crops,] channels, height, width) to logits (images, classes)."""
        return self.head(self.features(images))

    def head_parameters(self) -> list[nn.Parameter]:
        """What is trained while the backbone is frozen."""
        return list(self.fc.parameters())


def build_network(model: Model, classes: int, pretrained: bool = True) -> Classifier:
    """Build a member's network.

    Args:
        model: what to build.
        classes: number of outputs.
        pretrained: False leaves the weights of `model.pretrained` away, where others follow.

    Raises:
        UserError: the library has no such network, refuses the options, or cannot load weights.
    """
    append = model.head == "append"
    if model.backbone.startswith("foldwise/") and (model.pretrained is True or append):
        raise UserError(
            f"params.yaml: models: {model.backbone} has no ImageNet weights; "
            "write `pretrained: false` and `head: replace`"
        )
    if append and model.pooling == "both":
        raise UserError(
            f"params.yaml: models: {model.backbone}: `pooling: both` doubles what ImageNet's "
            "classifier takes; write `head: replace`"
        )
    from_file = isinstance(model.pretrained, str) and pretrained
    try:
        network = build_backbone(
            model,
            IMAGENET_CLASSES if append or from_file else classes,
            model.pretrained is True and pretrained,
        )
        if from_file:
            load_file(network, str(model.pretrained), whole=append)
        take_channels(network, model.channels)
        if append:
            if model.pooling is not None:
                replace_pooling(network, model.pooling)
            return _classifier(model, network, nn.Linear(IMAGENET_CLASSES, classes))
        if model.head == "query":
            channels, last = take_map(network)
            return _classifier(model, network, QueryHead(channels, classes, model.query, last))
        if model.head == "places":
            channels, last = take_map(network)
            return _classifier(model, network, PlacesHead(channels, classes, last))
        features, fc = take_classifier(network, model.pooling)
    except OSError as error:
        raise UserError(
            f"{model.backbone}: its pretrained weights cannot be loaded ({error}); check the "
            "network, or write `pretrained: false`"
        ) from None
    except REFUSALS as error:
        reason = str(error) or f"its library stops with {type(error).__name__}"
        line = " ".join(reason.split())
        raise UserError(f"params.yaml: models: {model.backbone}: {line}; see its options") from None
    if fc is None or fc.out_features != classes:
        fc = nn.Linear(features, classes)
    elif classes != IMAGENET_CLASSES and hasattr(network, "get_classifier"):
        # timm has drawn it: of its EfficientNets by the number of classes alone, which for few of
        # them makes first logits so large that training spends itself on undoing them.
        fc.reset_parameters()
    return _classifier(model, network, fc)


def _classifier(model: Model, backbone: nn.Module, fc: nn.Linear | MapHead) -> Classifier:
    return Classifier(backbone, fc, model.feature_norm, model.dropout)
