"""Numbers that tell how images of glyphs look: how bright, how bold, how large, how crowded."""

from collections.abc import Sequence

import cv2
import numpy as np

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.995)
"""Quantiles of brightness: glyphs cover a small part of an image, so most are high ones."""
OCTAVES = 5
"""Times that an image is halved, as long as `LEAST` pixels of its side are left."""
LEAST = 4
BRIGHT_OCTAVES = 4
"""Of the image and its halves, these first ones tell brightness."""
STROKES_BLUR = 1.5
"""Standard deviation, in pixels, of the Gaussian after which strokes stand out of the noise."""


def looks(images: Sequence[np.ndarray]) -> np.ndarray:
    """(statistics,) float64: mean and standard deviation over the images of each statistic.

    Args:
        images: (height, width) uint8 each, bright glyphs on dark ground; at least one.
    """
    each = np.stack([_look(image) for image in images])
    return np.concatenate([each.mean(0), each.std(0)])


def _look(image: np.ndarray) -> np.ndarray:
    """(statistics,) of one image: brightness and contrast of each octave, and the strokes."""
    bright, contrast = [], []
    octave = image
    for number in range(OCTAVES):
        if number < BRIGHT_OCTAVES:
            bright.append(_levels(octave))
        if min(octave.shape) < 2 * LEAST:
            # Tiny images have fewer octaves.
            contrast.append(0.0)
            continue
        half = cv2.pyrDown(octave)
        back = cv2.pyrUp(half, dstsize=octave.shape[::-1])
        detail = cv2.subtract(octave, back, dtype=cv2.CV_32F)
        contrast.append(float(np.log(detail.std() + 0.1)))
        octave = half
    return np.concatenate([*bright, contrast, _strokes(image)])


def _levels(image: np.ndarray) -> np.ndarray:
    """Quantiles of brightness, from 0 to 1, within a level of grey."""
    shares = np.cumsum(np.bincount(image.ravel(), minlength=256)) / image.size
    return np.searchsorted(shares, LEVELS) / 255


def _strokes(image: np.ndarray) -> list[float]:
    """Share, half width, number and extent of what is bright in an image, and its brightness."""
    smooth = cv2.GaussianBlur(image, (0, 0), STROKES_BLUR)
    shares = np.cumsum(np.bincount(smooth.ravel(), minlength=256)) / smooth.size
    ground, bright = np.searchsorted(shares, (0.5, 0.995))
    strokes = (smooth > (ground + bright) / 2).astype(np.uint8)
    if not strokes.any():
        return [0.0] * 7
    inside = cv2.distanceTransform(strokes, cv2.DIST_L2, 3)[strokes > 0]
    count, _, boxes, _ = cv2.connectedComponentsWithStats(strokes)
    boxes = boxes[1:]
    extents = np.log(boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1))
    # Specks of noise are many: what counts is weighed by its area.
    weights = boxes[:, cv2.CC_STAT_AREA] / boxes[:, cv2.CC_STAT_AREA].sum()
    return [
        float(strokes.mean()),
        float(inside.mean()),
        float(np.quantile(inside, 0.95)),
        float(np.log(count)),
        float(weights @ extents),
        float(-np.log(np.square(weights).sum())),
        float(image[strokes > 0].mean() / 255),
    ]
