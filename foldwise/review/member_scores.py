"""What every member and fold says of the images that a reviewer is asked about."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from foldwise.review.suspects import shown_probabilities


@dataclass(frozen=True)
class FoldScores:
    """Of one member's model of one fold."""

    member: str
    fold: int
    places: Mapping[str, int]
    """Of an image's id its row."""
    probabilities: np.ndarray
    """float16 (images, classes), the mean over views."""

    def of(self, id: str) -> np.ndarray | None:
        """float32 (classes,); None of an image that it was not asked about, or that it has seen.

        >>> scores = FoldScores("cnn", 0, {"a": 0}, np.array([[0.25]], np.float16))
        >>> scores.of("a").tolist(), scores.of("b")
        ([0.25], None)
        """
        row = self.places.get(id)
        return None if row is None else self.probabilities[row].astype(np.float32)


def fold_scores(
    member: str,
    fold: int,
    arrays: Mapping[str, np.ndarray],
    wanted: Collection[str],
    single: bool,
) -> FoldScores:
    """The scores of the wanted images that this model never saw.

    Args:
        member: its name.
        fold: that the model held out.
        arrays: `oof_id`, `test_id`, and `oof_logits`, `test_logits` (views, images, classes).
        wanted: ids.
        single: whether every image has one label.
    """
    places: dict[str, int] = {}
    found = []
    for part in ("oof", "test"):
        ids = arrays[f"{part}_id"].tolist()
        rows = [row for row, id in enumerate(ids) if id in wanted]
        places |= {ids[row]: len(places) + number for number, row in enumerate(rows)}
        logits = arrays[f"{part}_logits"][:, rows]
        found.append(shown_probabilities(logits, single).mean(0).astype(np.float16))
    return FoldScores(member, fold, places, np.concatenate(found))
