"""The section of the report that shows where images lie by their features."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from foldwise.core.progress import track
from foldwise.embedding.flat import flattened
from foldwise.embedding.settings import MapSettings
from foldwise.embedding.space import LEAST_SHARED, FeatureSpace
from foldwise.evaluation.predictions import Part
from foldwise.images.store import ImageStore
from foldwise.report.sprite import make_sprite
from foldwise.report.thumbnails import small_pictures

SCALE = 2000
"""Steps of an axis: more than a screen has pixels."""
ROOM = 1_500_000
"""Bytes of the pictures of all images."""
METHODS = {"tsne": "t-SNE", "pca": "PCA"}


@dataclass(frozen=True)
class MapSection:
    """What the page says and draws."""

    lead: str
    lines: list[str]
    label: str
    """What the drawing is, to who cannot see it."""
    data: dict[str, Any]
    """For the page's script, an image each: its id, where it is, its fold (-1: test part), labels
    and predictions as indices of classes, whether labels are known and how many are wrong; and the
    pictures."""


def drawn_rows(ids: np.ndarray, first: Iterable[str], most: int, seed: int) -> np.ndarray:
    """Rows of the images that are drawn, in order.

    Args:
        ids: (images,).
        first: ids of those that are drawn before others; unknown ones do not count.
        most: how many at the most.
        seed: of the sample of the rest.

    >>> drawn_rows(np.array(["a", "b", "c", "d"]), ["d", "b", "z"], 2, 0).tolist()
    [1, 3]
    """
    places = {str(id): row for row, id in enumerate(ids)}
    wanted = [places[id] for id in dict.fromkeys(first) if id in places]
    # By id, so that the sample does not hang on the order of files.
    rest = np.random.default_rng(seed).permutation(np.argsort(ids, kind="stable"))
    chosen = list(dict.fromkeys([*wanted, *rest.tolist()]))[:most]
    return np.sort(np.array(chosen, np.intp))


def map_section(
    space: FeatureSpace,
    parts: Mapping[str, Part],
    first: Iterable[str],
    settings: MapSettings,
    member: str,
    single: bool,
    seed: int,
    store: ImageStore,
) -> MapSection | None:
    """The section; None where no image may be drawn.

    Args:
        space: of all images whose features were kept.
        parts: those that may be drawn; labels of -1 are unknown.
        first: ids of images that are drawn before others.
        settings: of the map.
        member: whose features these are.
        single: whether every image has one label.
        seed: of the sample, and of the drawing.
        store: of the images.
    """
    known = {
        str(id): (name, row) for name, part in parts.items() for row, id in enumerate(part.ids)
    }
    allowed = space.of(np.flatnonzero([str(id) in known for id in space.ids]))
    if not len(allowed.ids):
        return None
    drawn = allowed.of(drawn_rows(allowed.ids, first, settings.images, seed))
    places = flattened(drawn.points, settings.method, seed)
    keys: list[tuple[str, int | None]] = [(str(id), None) for id in drawn.ids]
    pictures = track(small_pictures(store, keys, {}), len(keys), "images of the map")
    sprite = make_sprite(pictures, ROOM)
    data = {
        "single": single,
        "scale": SCALE,
        "ids": [id for id, _ in keys],
        "x": np.round(places[:, 0] * SCALE).astype(int).tolist(),
        # Upwards, where a screen's rows go down.
        "y": np.round((1 - places[:, 1]) * SCALE).astype(int).tolist(),
        "fold": drawn.folds.tolist(),
        **_labels_of([known[id] for id, _ in keys], parts),
        "side": sprite.side,
        "columns": sprite.columns,
        "sprite": sprite.encoded,
    }
    count, total = len(drawn.ids), len(allowed.ids)
    return MapSection(
        f"Where images lie to member {member}, by what its last layer is given: those that it sees "
        "alike lie side by side.",
        _lines(drawn, settings, count, total),
        f"{count:,} images on a plane, those that {member} sees alike side by side",
        data,
    )


def _lines(drawn: FeatureSpace, settings: MapSettings, count: int, total: int) -> list[str]:
    how = METHODS[settings.method]
    if drawn.turned:
        said = [
            "Every fold's network has a space of its own: each was turned onto the first fold's by "
            "orthogonal Procrustes on the test images, which all of them see; a test image lies "
            f"at their mean. Then PCA{f' and {how}' if settings.method != 'pca' else ''}."
        ]
    else:
        said = [
            f"Of the first fold's held-out images alone: there are fewer than {LEAST_SHARED} test "
            f"images by which the other folds' spaces could be turned onto its. By {how}."
        ]
    if settings.method == "tsne":
        said.append("Distances far apart, and the sizes of clusters, mean little in it.")
    if count < total:
        said.append(
            f"Drawn are {count:,} of {total:,} images: suspected label errors and those of the "
            "galleries, and a sample of the rest."
        )
    return said


def _labels_of(
    places: Sequence[tuple[str, int]], parts: Mapping[str, Part]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"labels": [], "predicted": [], "known": [], "wrong": []}
    for name, row in places:
        labels, predicted = parts[name].labels[row], parts[name].predicted[row]
        found["labels"].append(np.flatnonzero(labels == 1).tolist())
        found["predicted"].append(np.flatnonzero(predicted == 1).tolist())
        found["known"].append(int((labels >= 0).any()))
        found["wrong"].append(int(((labels >= 0) & (labels != predicted)).sum()))
    return found
