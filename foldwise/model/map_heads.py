"""Heads that look at all places of the last map: `head: query` and `head: places`."""

import torch
import torch.nn.functional as F
from torch import nn

from foldwise.model.settings import Query

ALL = -1
"""timm's number of groups that stands for a query per class, of 100 at the most."""


FEW = 5.0
"""How far below 0 the logits of single places start: a hundred and fifty of them make one of 0."""


class MapHead(nn.Module):
    """A head that takes the place of pooling and classifier."""

    def __init__(self, name: str, channels: int, channels_last: bool) -> None:
        """
        Args:
            name: as `head` has it.
            channels: of the map.
            channels_last: whether the backbone's map is (images, height, width, channels).
        """
        super().__init__()
        self.channels = channels
        self._name = name
        self._last = channels_last

    def places(self, found: torch.Tensor) -> torch.Tensor:
        """What a backbone without pooling gives, as (images, places, channels).

        Args:
            found: a map; or one that the library has flattened, (images, channels * places); or
                tokens, (images, places, channels).

        Raises:
            ValueError: it is none of them.
        """
        shape = tuple(found.shape)
        if found.ndim == 4:
            found = found.flatten(1, 2) if self._last else found.flatten(2).mT
        elif found.ndim == 2 and shape[1] % self.channels == 0:
            found = found.view(found.shape[0], self.channels, -1).mT
        if found.ndim != 3 or found.shape[2] != self.channels:
            raise ValueError(
                f"gives {shape}, no map of {self.channels} channels; drop head: {self._name}"
            )
        return found


class PlacesHead(MapHead):
    """Logits at every place, by one layer; a class's logit is the log of their summed exponentials.

    A smooth maximum (Pinheiro and Collobert 2015, "From image-level to pixel-level labeling with
    convolutional networks"): one place where a class is seen is enough, and each place learns for
    itself, however many there are, so that images may grow.
    """

    def __init__(self, channels: int, classes: int, channels_last: bool) -> None:
        """
        Args:
            channels: of the map.
            classes: outputs.
            channels_last: as `MapHead` has it.
        """
        super().__init__("places", channels, channels_last)
        self.linear = nn.Linear(channels, classes)
        nn.init.constant_(self.linear.bias, -FEW)

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """(images, places, channels) to logits (images, classes)."""
        # In bf16 the sum of many would be rounded.
        return self.linear(places).float().logsumexp(1)


class QueryHead(MapHead):
    """timm's ML-Decoder: queries attend to the places of a map, a layer per group gives logits.

    Ridnik et al. 2023, "ML-Decoder: scalable and versatile classification head". The queries are
    drawn and stay as they are; inside, a tenth of the activations is dropped in training.
    """

    def __init__(self, channels: int, classes: int, query: Query, channels_last: bool) -> None:
        """
        Args:
            channels: of the map.
            classes: outputs.
            query: its sizes.
            channels_last: whether the backbone's map is (images, height, width, channels).
        """
        # Only who has this head pays for timm's import.
        from timm.layers.ml_decoder import MLDecoder

        super().__init__("query", channels, channels_last)
        self.decoder = MLDecoder(  # type: ignore[no-untyped-call]  # timm has no types
            classes,
            num_of_groups=ALL if query.groups is None else query.groups,
            decoder_embedding=query.embedding,
            initial_num_features=channels,
        )
        # torch's container asks its layers for attributes that timm's layer lacks; it holds one,
        # and does nothing but call it.
        (layer,) = self.decoder.decoder.layers
        self.decoder.decoder = layer

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """(images, places, channels) to logits (images, classes).

        As timm's own, which goes from group to group: in a graph of 80 that is 80 times as much,
        and bringing it to ONNX takes longer than many a prediction.
        """
        parts = self.decoder
        memory = F.relu(parts.embed_standart(places)).transpose(0, 1)
        queries = parts.query_embed.weight.unsqueeze(1).expand(-1, places.shape[0], -1)
        # (groups, images, embedding) times (groups, embedding, classes of a group).
        grouped = parts.decoder(queries, memory) @ parts.duplicate_pooling
        logits: torch.Tensor = grouped.transpose(0, 1).flatten(1)[:, : parts.num_classes]
        return logits + parts.duplicate_pooling_bias
