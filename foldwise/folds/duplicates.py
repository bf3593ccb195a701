"""Which images are the same picture, or nearly."""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BITS = 64


def joined(images: int, pairs: np.ndarray) -> np.ndarray:
    """Units of images that pairs join, directly or through others.

    Args:
        images: how many there are.
        pairs: (pairs, 2) of their positions.

    Returns:
        (images,) int: each image's unit, numbered in the order of its first image.
    """
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (images, images))
    _, unit = connected_components(graph, directed=False)
    return pd.factorize(unit)[0]


def equal_pairs(values: np.ndarray) -> np.ndarray:
    """(pairs, 2): each image with the one before it that has the same value."""
    order = np.argsort(values, kind="stable")
    same = values[order[1:]] == values[order[:-1]]
    return np.stack([order[:-1][same], order[1:][same]], axis=1)


def near_pairs(hashes: np.ndarray, bits: int) -> np.ndarray:
    """Pairs of images whose hashes differ in so many bits at most.

    Exact, without comparing all with all: if two hashes of 64 bits differ in at most `bits`, then
    of `bits + 1` bands of theirs at least one is the same in both.

    Args:
        hashes: (images,) uint64.
        bits: largest distance; below 0 there are no pairs.

    Returns:
        (pairs, 2) of positions. Of images with equal hashes, only neighbours are paired, and only
        the first with the images of other hashes.
    """
    if bits < 0:
        return np.empty((0, 2), np.int64)
    distinct, first = np.unique(hashes, return_index=True)
    found = [equal_pairs(hashes)]
    edges = np.linspace(0, BITS, bits + 2).round().astype(int)
    for low, high in pairwise(edges.tolist()):
        band = (distinct >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(band[order[1:]] != band[order[:-1]]) + 1
        for members in np.split(order, starts):
            for index, member in enumerate(members[:-1]):
                others = members[index + 1 :]
                near = others[np.bitwise_count(distinct[member] ^ distinct[others]) <= bits]
                if len(near):
                    pairs = np.stack([np.full(len(near), member), near], axis=1)
                    found.append(first[pairs])
    return np.concatenate(found)


def straddling(side: pd.Series, unit: np.ndarray) -> list[np.ndarray]:
    """Positions of the images of every unit that is on more than one side.

    Args:
        side: (images,): a part or a fold; missing for images that do not matter.
        unit: (images,): a picture or a group; missing for images of none.
    """
    sides = side.groupby(unit).nunique()
    mixed = pd.Series(unit).where(np.isin(unit, sides.index[sides > 1]) & side.notna().to_numpy())
    return [np.asarray(rows) for rows in mixed.groupby(mixed).indices.values()]


class Duplicates:
    """The images of a data set that show the same picture."""

    def __init__(self, sha256: np.ndarray, hashes: np.ndarray, bits: int) -> None:
        """
        Args:
            sha256: (images,) str, of the images' bytes.
            hashes: (images,) uint64, perceptual.
            bits: in which the hashes of near duplicates differ at most; below 0, only images with
                the same bytes are duplicates.
        """
        pairs = equal_pairs(pd.factorize(sha256)[0])
        self.exact = joined(len(sha256), pairs)
        """(images,) int: units of images with the same bytes."""
        near = near_pairs(np.asarray(hashes, np.uint64), bits)
        self.pictures = joined(len(sha256), np.concatenate([pairs, near]))
        """(images,) int: units of images that look the same."""
        self.repeated = pd.Series(self.pictures).duplicated(keep=False).to_numpy()
        """(images,) bool: another image shows the same picture."""

    def counts(self, labels: np.ndarray, fold: np.ndarray, test: np.ndarray) -> dict[str, int]:
        """What metrics/data.json says of duplicates.

        `exact` and `near` count images that repeat an earlier one, the others count pictures.

        Args:
            labels: (images, classes), NaN where there are none.
            fold: (images,): the fold that holds each image out.
            test: (images,) bool: the test part.
        """
        exact, pictures = len(np.unique(self.exact)), len(np.unique(self.pictures))
        folds = pd.Series(fold).mask(test)
        said = pd.DataFrame(labels).groupby(self.exact).nunique()
        return {
            "exact": len(self.exact) - exact,
            "near": exact - pictures,
            "across_train_and_test": len(straddling(pd.Series(test), self.pictures)),
            "across_folds": len(straddling(folds, self.pictures)),
            "exact_with_other_labels": int((said > 1).any(axis=1).sum()),
        }

    def table(self, ids: pd.Series, test: np.ndarray) -> pd.DataFrame:
        """Every image that has a duplicate: `picture` (a number), `id`, `part` and `sha256`'s
        number `bytes`, the same for images of the same bytes."""
        parts = np.where(test, "test", "train")
        columns = {"picture": self.pictures, "id": ids, "part": parts, "bytes": self.exact}
        found = pd.DataFrame(columns)
        found = found[found["picture"].duplicated(keep=False)]
        found = found.sort_values(["picture", "bytes"], kind="stable")
        for column in ("picture", "bytes"):
            found[column] = pd.factorize(found[column])[0]
        return found
