"""`head: query`: one query per class, or group of classes, that looks at all places of an image."""

import torch
import torch.nn.functional as F
from torch import nn

from foldwise.model.settings import Query

ALL = -1
"""timm's number of groups that stands for a query per class, of 100 at the most."""


class QueryHead(nn.Module):
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

        super().__init__()
        self.channels = channels
        self._last = channels_last
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
            raise ValueError(f"gives {shape}, no map of {self.channels} channels; drop head: query")
        return found

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
