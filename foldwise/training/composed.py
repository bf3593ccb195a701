"""Images that are composed while a member is trained: no two epochs show the same ones."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from foldwise.composing.composer import Composer
from foldwise.composing.kept import Composed
from foldwise.model.dataset import MANY_EPOCHS, ImageDataset
from foldwise.model.settings import Model

START = 0.25
"""Share of the canvas's height and width that a curriculum starts with."""


def growth(grows: int, epochs: int) -> tuple[float, ...]:
    """The share of its height and width that a composed image has in every epoch.

    Args:
        grows: how many epochs it grows in, from `START` on.
        epochs: in all.

    >>> growth(3, 5)
    (0.25, 0.5, 0.75, 1.0, 1.0)
    """
    return tuple(START + (1 - START) * min(1.0, epoch / max(grows, 1)) for epoch in range(epochs))


class ComposedDataset(ImageDataset):
    """As many images as an epoch shows; each a function of seed, epoch and its number alone."""

    def __init__(
        self,
        composed: Composed,
        classes: Sequence[str],
        like: ImageDataset,
        count: int,
        shares: Sequence[float],
    ) -> None:
        """
        Args:
            composed: of what, and how.
            classes: of the data set; those that no glyph is of are -1.
            like: says to what images are brought, and how they are augmented.
            count: how many an epoch shows.
            shares: of every epoch, as `growth` has them.
        """
        ids = [f"{composed.name}/{number}" for number in range(count)]
        labels = np.full((count, len(classes)), -1, np.int8)
        model, augment = like.model, like.augment
        super().__init__(like.store, ids, labels, model, augment, like.augment_from, like.seed)
        self._composed = composed
        self._columns = [list(classes).index(each) for each in composed.glyphs.classes]
        self._shares = tuple(shares)
        self._made: tuple[int, Composer, Model] | None = None

    def told(self) -> str:
        """Names all that decides the images, beside seed and epoch."""
        made = self._composed
        digest = hashlib.sha256(made.glyphs.images.tobytes() + made.glyphs.labels.tobytes())
        if made.distractors is not None:
            digest.update(made.distractors.tobytes())
        content = (made.glyphs.classes, made.settings.model_dump_json(), made.seed, self._shares)
        return f"{made.name} {len(self)} {digest.hexdigest()} {content}"

    def _of_epoch(self, epoch: int) -> tuple[Composer, Model]:
        if self._made is None or self._made[0] != epoch:
            composed, whole = self._composed, self._composed.settings
            settings = whole.grown(self._shares[epoch]) if self._shares[epoch] < 1 else whole
            stream = (composed.stream, epoch)
            composer = Composer(
                composed.glyphs, settings, composed.seed, stream, composed.distractors
            )
            made = resized_model(self.model, settings.canvas / whole.canvas)
            self._made = epoch, composer, made
        return self._made[1:]

    def item(self, epoch: int, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        """An image, as `input` of its base gives them, and its labels."""
        composer, model = self._of_epoch(epoch % MANY_EPOCHS)
        pixels, shown = composer.compose(position)
        pixels = np.repeat(pixels[:, :, None], model.channels, 2)
        labels = torch.full_like(self.labels[position], -1)
        labels[self._columns] = torch.from_numpy(shown).float()
        return self.prepared(pixels, epoch, position, model), labels


def resized_model(model: Model, share: float) -> Model:
    """A model's settings for images whose sides are a share of what they are."""
    if share == 1:
        return model
    edge = model.shortest_edge
    return model.model_copy(
        update={
            "image_size": round(model.image_size * share),
            "shortest_edge": None if edge is None else round(edge * share),
        }
    )
