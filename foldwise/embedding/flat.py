"""Many dimensions as the two of a map."""

from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

MOST_DIMENSIONS_KEPT = 50
"""Principal components that t-SNE is given, as its authors' code does."""
PERPLEXITY = 30.0
LEAST = 5
"""Images below which t-SNE has no neighbours to keep together."""


def flattened(points: np.ndarray, method: Literal["tsne", "pca"], seed: int) -> np.ndarray:
    """Where images lie on a map: float32 (images, 2), each axis from 0 to 1 or shorter.

    t-SNE (van der Maaten and Hinton 2008, "Visualizing data using t-SNE") on principal components,
    which it begins with; by one thread, so that the same points make the same map.

    Args:
        points: (images, dimensions).
        method: `tsne`, or `pca` for the first two principal components alone.
        seed: of t-SNE.

    >>> flattened(np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 1.0]]), "pca", 0).tolist()
    [[0.0, 0.375], [1.0, 0.375], [0.5, 0.625]]
    """
    with threadpool_limits(1):
        centred = points.astype(np.float64) - points.mean(0, dtype=np.float64)
        _, vectors = np.linalg.eigh(centred.T @ centred)
        axes = vectors[:, ::-1][:, : min(MOST_DIMENSIONS_KEPT, points.shape[1])]
        # Else a direction's sign would be whatever the library has it be.
        axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1, 1)
        components = centred @ axes
        if method == "pca" or len(points) < LEAST or components.shape[1] < 2:
            found = np.zeros((len(points), 2))
            found[:, : min(2, components.shape[1])] = components[:, :2]
        else:
            found = _by_tsne(components.astype(np.float32), seed)
    return _unit_square(found)


def _by_tsne(components: np.ndarray, seed: int) -> np.ndarray:
    # Only who draws a map waits for it.
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(components) - 1) / 3)
    # A start without spread would be divided by it.
    init = "pca" if components[:, 0].std() > 0 else "random"
    model = TSNE(random_state=seed, init=init, perplexity=perplexity, n_jobs=1)
    found: np.ndarray = model.fit_transform(components)
    return found


def _unit_square(found: np.ndarray) -> np.ndarray:
    """Moved and scaled into the unit square, both axes alike, the shorter one in its middle."""
    low, high = found.min(0), found.max(0)
    size = float((high - low).max()) or 1.0
    placed = (found - (low + high) / 2) / size + 0.5
    return np.asarray(placed, np.float32)
