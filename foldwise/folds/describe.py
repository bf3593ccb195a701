"""What a data set and its division are like, in numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd


def prevalence(labels: np.ndarray) -> np.ndarray:
    """(classes,) share of images that show each class, of those that say; NaN where none does."""
    said = (labels >= 0).sum(0)
    result = np.full(labels.shape[1], np.nan)
    return np.divide((labels == 1).sum(0), said, out=result, where=said > 0)


def describe(
    labels: np.ndarray | None, sizes: pd.DataFrame, repeated: np.ndarray
) -> dict[str, Any]:
    """Images, duplicates, labels per image, spread of class prevalence, sizes of a part or fold.

    Args:
        labels: (images, classes): 1, 0 or -1; None where there are none.
        sizes: `height` and `width` of the images, in pixels.
        repeated: (images,) bool: another image of the data set shows the same picture.
    """
    result: dict[str, Any] = {"images": len(sizes), "duplicates": int(repeated.sum())}
    if labels is not None and len(labels):
        shares = prevalence(labels)
        result["labels_per_image"] = _spread((labels == 1).sum(1))
        result["prevalence"] = _spread(shares[~np.isnan(shares)])
    for side in ("height", "width"):
        if len(sizes):
            result[side] = _spread(sizes[side].to_numpy())
    return result


def _spread(values: np.ndarray) -> dict[str, float]:
    if len(values) == 0:
        return {}
    return {
        "min": values.min().item(),
        "mean": round(float(values.mean()), 6),
        "max": values.max().item(),
    }


def prevalence_table(sets: Mapping[str, np.ndarray], classes: list[str]) -> pd.DataFrame:
    """`class`, `set`, `images` that show it and their share `prevalence`: a row per pair.

    Args:
        sets: labels (images, classes) of every part and fold that has some, by name.
        classes: their names.
    """
    rows = [
        pd.DataFrame(
            {
                "class": classes,
                "set": name,
                "images": (labels == 1).sum(0),
                "prevalence": prevalence(labels),
            }
        )
        for name, labels in sets.items()
    ]
    return pd.concat(rows, ignore_index=True)


def labels_per_image_table(sets: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """`set`, `labels` (how many an image shows) and the `share` of images that show so many."""
    rows = []
    for name, labels in sets.items():
        counts = np.bincount((labels == 1).sum(1))
        rows.append(
            pd.DataFrame(
                {"set": name, "labels": np.arange(len(counts)), "share": counts / len(labels)}
            )
        )
    return pd.concat(rows, ignore_index=True)


def imbalance(folds: Mapping[str, np.ndarray], classes: list[str]) -> dict[str, Any]:
    """The largest difference of a class's prevalence between two folds, and which class it is."""
    shares = np.stack([prevalence(labels) for labels in folds.values()])
    with np.errstate(invalid="ignore"):
        differences = np.nan_to_num(np.nanmax(shares, 0) - np.nanmin(shares, 0))
    largest = int(differences.argmax())
    return {"largest": float(differences[largest]), "class": classes[largest]}
