"""Images with labels, and everything that was said of them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Part:
    """Out-of-fold images, or the test part."""

    ids: np.ndarray
    """(images,)."""
    labels: np.ndarray
    """int8 (images, classes): 1, 0 or -1."""
    logits: np.ndarray
    """float32 (images, classes): of the ensemble; out-of-fold of the one fold that held it out."""
    calibrated: np.ndarray
    """float32 (images, classes): logits after calibration; out-of-fold cross-fitted."""
    predicted: np.ndarray
    """int8 (images, classes): labels; out-of-fold cross-fitted."""

    def of(self, images: np.ndarray | slice) -> "Part":
        """Some of the images."""
        arrays = (self.ids, self.labels, self.logits, self.calibrated, self.predicted)
        return Part(*(each[images] for each in arrays))
