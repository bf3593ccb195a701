"""All rows that a member learns from, where there are more than its own labelled ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from foldwise.composing.kept import Composed
from foldwise.core.errors import UserError
from foldwise.model.dataset import ImageDataset, LabelledDataset
from foldwise.training.beside import ExtraRows, TaughtRows, epochs_of
from foldwise.training.composed import ComposedDataset, growth
from foldwise.training.losses import check_labels
from foldwise.training.mixed_dataset import MixedDataset
from foldwise.training.mixture import Mixture, SourceRows
from foldwise.training.settings import Recipe

KEY = "params.yaml: train.extra"
TEST = "test"


@dataclass(frozen=True)
class LearnedRows:
    """Own rows, then stored ones of other sources, then composed ones."""

    stored: ImageDataset
    """Own images first."""
    composed: tuple[ComposedDataset, ...]
    mixture: Mixture
    weights: np.ndarray
    """float32 (positions,): of each image's loss."""
    kinds: np.ndarray
    """(stored images,): which of a teacher's `rows` they are."""

    def dataset(self, stored: LabelledDataset, taught: np.ndarray | None) -> MixedDataset:
        """What a loader loads.

        Args:
            stored: the stored images, or their features.
            taught: (stored images, classes) soft targets, -1 where there are none.
        """
        return MixedDataset(stored, self.composed, self.weights, taught)

    def growing(self, sizes: Sequence[int]) -> Self:
        """The same, all images scaled down to these sizes, one for each epoch."""
        composed = tuple(each.growing(sizes) for each in self.composed)
        return replace(self, stored=self.stored.growing(sizes), composed=composed)

    def told(self) -> list[str]:
        """What decides composed images, beside seed and epoch."""
        return [each.told() for each in self.composed]


class _Gathered:
    """Rows that are put together, one source after the other."""

    def __init__(self, recipe: Recipe, own: ImageDataset) -> None:
        self.epochs = recipe.epochs
        self.grows = recipe.train.growing_epochs
        first = max(epochs_of(recipe.train.own_from, recipe.epochs), self.grows)
        self.stored = own
        self.rows = [SourceRows("own", 0, len(own), len(own), first, recipe.epochs)]
        self.weights = [np.ones(len(own), np.float32)]
        self.kinds: list[np.ndarray] = [np.full(len(own), "train", object)]

    def add(
        self, name: str, settings: ExtraRows, count: int, first: int, shown: int | None
    ) -> None:
        """Say how the next `count` positions take part."""
        end = epochs_of(settings.until, self.epochs)
        if end <= first:
            raise UserError(
                f"{KEY}.{name}.until: {settings.until:g} of {self.epochs} epochs end before epoch "
                f"{first + 1}, the first that shows some; raise it, or train longer"
            )
        start = sum(map(len, self.weights))
        self.rows.append(SourceRows(name, start, count, shown or count, first, end))
        self.weights.append(np.full(count, settings.weight, np.float32))

    def add_stored(
        self,
        name: str,
        settings: ExtraRows,
        ids: Sequence[str],
        labels: np.ndarray,
        kind: TaughtRows,
    ) -> None:
        """Images of the store, with labels (images, classes)."""
        self.stored = self.stored.with_rows(ids, labels)
        self.kinds.append(np.full(len(ids), kind, object))
        self.add(name, settings, len(ids), self.grows, settings.per_epoch)

    def add_source(
        self, name: str, recipe: Recipe, table: pd.DataFrame, classes: Sequence[str]
    ) -> None:
        """Of a source's rows the labelled ones, if it is named, and those for a teacher alone."""
        train = recipe.train
        settings = train.extra.get(name, ExtraRows())
        wanted: dict[TaughtRows, bool] = {
            "extra": name in train.extra,
            "unlabelled": train.teacher is not None and "unlabelled" in train.teacher.rows,
        }
        for kind, takes in wanted.items():
            rows = table[table["part"] == kind]
            if takes and len(rows):
                labels = rows[list(classes)].to_numpy(np.float64, na_value=-1)
                self.add_stored(name, settings, rows["id"].tolist(), labels, kind)


def learned_rows(
    recipe: Recipe,
    own: ImageDataset,
    extra: pd.DataFrame,
    composed: Mapping[str, Composed],
    test: Sequence[str],
    classes: Sequence[str],
    single: bool,
) -> LearnedRows:
    """All that a recipe names, put together.

    Args:
        recipe: of the member.
        own: the images that this fold trains on.
        extra: `id`, `part` (`extra` or `unlabelled`), `source` and a column per class: stored
            images of other sources that duplicate none that is held out or tested.
        composed: sources that are composed while training, by name.
        test: ids of the test part.
        classes: of the data set, in order.
        single: whether its images have one class each.

    Raises:
        UserError: the recipe names a source of which there are no images, or asks what they cannot
            give.
    """
    train, found = recipe.train, _Gathered(recipe, own)
    _refuse_idle(recipe, extra, composed, test)
    for name, table in extra.groupby("source"):
        found.add_source(str(name), recipe, table, classes)
    if train.teacher is not None and TEST in train.teacher.rows:
        settings = ExtraRows(per_epoch=train.teacher.per_epoch)
        nothing = np.full((len(test), len(classes)), -1)
        found.add_stored(TEST, settings, test, nothing, "test")
    labels = found.stored.labels
    check_labels(train.loss, labels[(labels >= 0).all(1)])
    grown = growth(train.curriculum, recipe.epochs)
    made = []
    for name in sorted(set(train.extra) & set(composed)):
        settings = train.extra[name]
        count = settings.per_epoch or 0
        found.add(name, settings, count, 0, count)
        if recipe.softmax and composed[name].settings.glyphs != (1, 1):
            raise UserError(
                f"params.yaml: data.extra.{name}.glyphs.compose.glyphs: cross_entropy learns "
                "images of one class each; write [1, 1]"
            )
        made.append(ComposedDataset(composed[name], classes, own, count, grown, single))
    mixture = Mixture(found.rows, recipe.seed)
    if empty := mixture.empty(recipe.epochs):
        raise UserError(
            f"params.yaml: train.own_from: epoch {empty[0] + 1} of {recipe.epochs} shows no image "
            "at all; let own ones come earlier, or extra ones stay longer (train.extra.*.until)"
        )
    weights, kinds = np.concatenate(found.weights), np.concatenate(found.kinds)
    return LearnedRows(found.stored, tuple(made), mixture, weights, kinds)


def _refuse_idle(
    recipe: Recipe,
    extra: pd.DataFrame,
    composed: Mapping[str, Composed],
    test: Sequence[str],
) -> None:
    """Refuse what names nothing, or what nothing could be learned from."""
    train = recipe.train
    rows = () if train.teacher is None else train.teacher.rows
    for name in sorted(set(train.extra) - set(composed)):
        parts = set(extra.loc[extra["source"] == name, "part"])
        if not parts:
            raise UserError(
                f"{KEY}.{name}: no image of it is left; see the list of what split left out"
            )
        if parts == {"unlabelled"} and "unlabelled" not in rows:
            raise UserError(
                f"{KEY}.{name}: its images have no labels, so only a teacher makes something to "
                "learn of them; name one in train.teacher, with `unlabelled` among its rows"
            )
    named = extra[extra["source"].isin(list(train.extra))]
    there = {
        "extra": (named["part"] == "extra").any(),
        "unlabelled": (extra["part"] == "unlabelled").any(),
        TEST: len(test) > 0,
    }
    for kind, some in there.items():
        if kind in rows and not some:
            raise UserError(
                f"params.yaml: train.teacher.rows: there are no {kind} images that it could teach; "
                "name a source of them, or leave it out"
            )
