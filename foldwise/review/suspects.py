"""Which images a reviewer is asked about, the most suspicious first."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from foldwise.evaluation.predictions import Part
from foldwise.report.galleries import confident_errors
from foldwise.report.label_errors import label_quality, reasons_of, suspected_errors
from foldwise.scoring.probability import sigmoid

LIKELY = 0.5
"""Quality that a label has at most if an image that looks the same has another one: of two labels
that differ one is wrong, whatever the models say."""

DISAGREES = {"missed": "labelled, not predicted", "added": "predicted, not labelled"}
"""What an error of the ensemble is called."""

Asked = dict[int, list[str]]
"""Of a class's index why its label is doubted."""


@dataclass(frozen=True)
class Suspect:
    """An image, and its labels that are doubted."""

    id: str
    part: str
    """oof or test."""
    row: int
    """Of the image, in its part."""
    quality: float
    """Of its worst label, 0 worst, 1 best."""
    asked: Mapping[int, tuple[str, ...]]
    """Of a class's index why its label is doubted, the worst first; of images with one label it is
    the class that they are labelled."""
    alike: tuple[str, ...] = ()
    """Ids of images that look the same and have other labels."""


@dataclass
class _Found:
    asked: Asked = field(default_factory=dict)
    alike: dict[str, None] = field(default_factory=dict)
    quality: float = 1.0

    def add(self, index: int, why: str, quality: float) -> None:
        self.asked.setdefault(index, []).append(why)
        self.quality = min(self.quality, quality)


def ordered_suspects(
    parts: Mapping[str, Part],
    pictures: pd.DataFrame,
    single: bool,
    most: int,
    midst: Mapping[str, pd.DataFrame] | None = None,
) -> list[Suspect]:
    """Every image with a doubted label once, the worst first.

    Four things doubt one: it is of a low quality, or the images around it are labelled otherwise
    (`suspected_errors` has both), it is a confident error of the ensemble, or an image that looks
    the same is labelled otherwise. An image comes by the quality of its worst label, which the last
    of the four sets to `LIKELY` at most.

    Args:
        parts: images that may be asked about, by the name of their part.
        pictures: `picture` and `id` of every image that has a duplicate, as `split` writes it.
        single: whether every image has one label.
        most: how many images at the most.
        midst: of a part what `in_the_midst` gives, where features were kept.
    """
    found: dict[tuple[str, int], _Found] = {}
    qualities = {
        name: label_quality(part.labels, part.calibrated, single) for name, part in parts.items()
    }
    for name, part in parts.items():
        _by_models(found, name, part, qualities[name], single, most, (midst or {}).get(name))
    _by_duplicates(found, parts, qualities, pictures, single)
    order = sorted(found, key=lambda key: (found[key].quality, key))[:most]
    suspects = []
    for name, row in order:
        own = found[name, row]
        rank = {index: _quality_or(qualities[name][row, index]) for index in own.asked}
        asked = {index: tuple(own.asked[index]) for index in sorted(rank, key=rank.__getitem__)}
        id = str(parts[name].ids[row])
        suspects.append(Suspect(id, name, row, own.quality, asked, tuple(own.alike)))
    return suspects


def _by_models(
    found: dict[tuple[str, int], _Found],
    name: str,
    part: Part,
    quality: np.ndarray,
    single: bool,
    most: int,
    midst: pd.DataFrame | None,
) -> None:
    """Labels that the ensemble or the images around contradict, and its most confident errors."""
    table = suspected_errors(part.labels, part.calibrated, single, part.labels.size, midst=midst)
    # Only what can be among the first: a large set has a great many labels below one half.
    rows = table["row"].drop_duplicates().head(most)
    for each in table[table["row"].isin(rows)].to_dict("records"):
        own = found.setdefault((name, int(each["row"])), _Found())
        for reason in reasons_of(each["quality"], each["around"]):
            own.add(int(each["class_index"]), reason, each["quality"])
    places = {str(id): row for row, id in enumerate(part.ids)}
    for card in confident_errors(part, most).cards:
        row = places[card.id]
        index = _asked_class(part, row, card.class_index, single)
        if index is None:
            continue
        own = found.setdefault((name, row), _Found())
        if card.class_index == index or not single:
            own.add(index, DISAGREES[card.kind], _quality_or(quality[row, index]))
        elif index not in own.asked:
            own.add(index, DISAGREES["missed"], _quality_or(quality[row, index]))


def _asked_class(part: Part, row: int, index: int, single: bool) -> int | None:
    """The class whose label is asked about where `index` is doubted; None where there is none."""
    if not single:
        return index
    given = np.flatnonzero(part.labels[row] == 1)
    return int(given[0]) if len(given) else None


def _quality_or(quality: float) -> float:
    return LIKELY if np.isnan(quality) else float(quality)


def _by_duplicates(
    found: dict[tuple[str, int], _Found],
    parts: Mapping[str, Part],
    qualities: Mapping[str, np.ndarray],
    pictures: pd.DataFrame,
    single: bool,
) -> None:
    """Labels that an image that looks the same contradicts."""
    places = {
        str(id): (name, row) for name, part in parts.items() for row, id in enumerate(part.ids)
    }
    known = pictures[pictures["id"].isin(places)]
    for _, ids in known.groupby("picture", sort=True)["id"]:
        keys = [places[id] for id in ids]
        labels = np.stack([parts[name].labels[row] for name, row in keys])
        for (name, row), id in zip(keys, ids, strict=True):
            own = parts[name].labels[row]
            differs = (labels != own) & (labels >= 0) & (own >= 0)
            if not differs.any():
                continue
            one = found.setdefault((name, row), _Found())
            others = np.flatnonzero(differs.any(1))
            one.alike |= {str(list(ids)[each]): None for each in others if list(ids)[each] != id}
            doubted = np.flatnonzero(differs.any(0))
            if single:
                doubted = np.flatnonzero(own == 1)
            for index in doubted.tolist():
                quality = min(LIKELY, _quality_or(qualities[name][row, index]))
                one.add(index, "looks like an image that is labelled otherwise", quality)


def shown_probabilities(logits: np.ndarray, single: bool) -> np.ndarray:
    """Probabilities (..., classes) as a page shows them; where images have one label, their sum is
    brought to 1.

    Args:
        logits: (..., classes), log-odds of each class.
        single: whether every image has one label.

    >>> shown_probabilities(np.array([[0.0, 0.0]]), single=False).tolist()
    [[0.5, 0.5]]
    """
    found = sigmoid(logits)
    return found / found.sum(-1, keepdims=True) if single else found
