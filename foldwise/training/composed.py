"""Images that are composed while a member is trained: no two epochs show the same ones."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from foldwise.composing.composer import Composer
from foldwise.composing.kept import Composed
from foldwise.core.errors import UserError
from foldwise.model.dataset import MANY_EPOCHS, ImageDataset
from foldwise.model.settings import Model


def growth(curriculum: Mapping[float, int], epochs: int) -> tuple[float, ...]:
    """The share of their height and width that every epoch's composed images have.

    Args:
        curriculum: how many epochs have a share of the side.
        epochs: in all.

    >>> growth({0.375: 1, 0.25: 2}, 4)
    (0.25, 0.25, 0.375, 1.0)
    """
    stages = [share for share, count in sorted(curriculum.items()) for _ in range(count)]
    return (*stages, *[1.0] * (epochs - len(stages)))


class ComposedDataset(ImageDataset):
    """As many images as an epoch shows; each a function of seed, epoch and its number alone."""

    def __init__(
        self,
        composed: Composed,
        classes: Sequence[str],
        like: ImageDataset,
        count: int,
        grown: Sequence[float],
        single: bool,
    ) -> None:
        """
        Args:
            composed: of what, and how.
            classes: of the data set; those that no glyph is of are -1, of one class per image 0.
            like: says to what images are brought, and how they are augmented.
            count: how many an epoch shows.
            grown: of every epoch, as `growth` has it.
            single: images have one class each, so that one that is shown says that no other is.

        Raises:
            UserError: images would be too small for their glyphs.
        """
        ids = [f"{composed.name}/{number}" for number in range(count)]
        labels = np.full((count, len(classes)), -1, np.int8)
        model, augment = like.model, like.augment
        super().__init__(like.store, ids, labels, model, augment, like.augment_from, like.seed)
        self._composed = composed
        self._columns = [list(classes).index(each) for each in composed.glyphs.classes]
        self._grown = tuple(grown)
        self._others = 0 if single else -1
        for share in sorted(set(grown) - {1.0}):
            try:
                composed.settings.grown(share)
            except ValueError as error:
                raise UserError(
                    f"params.yaml: train.curriculum: images of {composed.name} cannot be so small: "
                    f"{error}; take a larger share"
                ) from None
        self._made: tuple[int, Composer, Model] | None = None

    def told(self) -> str:
        """Names all that decides the images, beside seed and epoch."""
        made = self._composed
        digest = hashlib.sha256(made.glyphs.images.tobytes() + made.glyphs.labels.tobytes())
        if made.distractors is not None:
            digest.update(made.distractors.tobytes())
        content = (made.glyphs.classes, made.settings.model_dump_json(), made.seed, self._grown)
        return f"{made.name} {len(self)} {digest.hexdigest()} {content}"

    def _of_epoch(self, epoch: int) -> tuple[Composer, Model]:
        if self._made is None or self._made[0] != epoch:
            composed, whole = self._composed, self._composed.settings
            share = self._grown[epoch]
            settings = whole if share == 1 else whole.grown(share)
            composer = composed.composer(settings, epoch)
            # By the share itself, so that images of all sources have one size.
            self._made = epoch, composer, resized_model(self.model, share)
        return self._made[1:]

    def item(self, epoch: int, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        """An image, as `input` of its base gives them, and its labels."""
        composer, model = self._of_epoch(epoch % MANY_EPOCHS)
        pixels, shown = composer.compose(position)
        pixels = np.repeat(pixels[:, :, None], model.channels, 2)
        labels = torch.full_like(self.labels[position], self._others)
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
