"""How far several models agree on an image's labels."""

from collections.abc import Sequence

import numpy as np

from foldwise.scoring.objective import safe_divide


def agreement(predicted: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over pairs of models of the Jaccard index of their labels of each image, (images,).

    1 where all models give the same labels, none included, and where there is one model; where
    images have one class, it is the share of pairs that give the same one.

    Args:
        predicted: of every model, (images, classes): 1 or 0.
    """
    total, pairs = np.zeros(len(predicted[0])), 0
    for index, one in enumerate(predicted):
        for other in predicted[index + 1 :]:
            either = ((one == 1) | (other == 1)).sum(1)
            both = ((one == 1) & (other == 1)).sum(1)
            total += np.where(either > 0, safe_divide(both, either), 1.0)
            pairs += 1
    return total / pairs if pairs else np.ones(len(total))
