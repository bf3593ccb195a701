"""The settings by which composed images look like real ones."""

from collections.abc import Sequence

import cv2
import numpy as np

from foldwise.composing.composer import Composer
from foldwise.composing.glyph_set import GlyphSet
from foldwise.composing.settings import Compose
from foldwise.looks.statistics import looks

ROUNDS = (1.0, 0.35)
"""Widths, as shares of all that is possible, of the boxes that settings are tried from."""
TRIED = 128
"""Settings tried in a round."""
PIXELS = 10 * 256 * 256
"""Composed for each of them: as many images as that makes, within `FEWEST_MOST`."""
FEWEST_MOST = (6, 24)
TELLS = 0.3
"""Share of a knob's variance that the looks must explain, or it stays as it is."""
TOP = 0.98
"""Quantile of the ground's brightness from which the noise's amplitude is told."""

# What can be told from looks alone, each within what is possible.
KNOBS: dict[str, tuple[float, float]] = {
    "size": (np.log(0.05), np.log(0.45)),  # logarithm of the mean one, as a share of the canvas
    "size_ratio": (0.0, 0.9),  # logarithm of largest by smallest
    "thickness": (0.1, 0.75),
    "thickness_range": (0.0, 0.4),
    "ink": (0.3, 1.0),
    "ink_range": (0.0, 0.5),
    "sharp": (0.0, 1.0),
    "overlap": (0.0, 1.0),
}
LOW, HIGH = np.array(list(KNOBS.values())).T


def fit_look(
    images: Sequence[np.ndarray], labels: np.ndarray, start: Compose, glyphs: GlyphSet
) -> Compose:
    """Settings under which composed images look like the given ones.

    Canvas, number of glyphs and noise are read off the images and their labels. Size, thickness,
    ink, sharpness and overlap are regressed on statistics of images composed by many settings,
    twice, the second time around the first estimate (as Beaumont, Zhang and Balding 2002,
    "Approximate Bayesian computation in population genetics", adjust by regression). What the looks
    tell too little of stays as it is, and so do the angle, the distractors and the blend.

    Args:
        images: (height, width) uint8 each, bright glyphs on dark ground; at least one.
        labels: (images, classes of the glyph set): 1 shown, 0 not, -1 not known.
        start: what is not told by the images.
        glyphs: what images are composed of.

    Returns:
        A function of the arguments alone.
    """
    canvas = round(float(np.sqrt(np.median([image.size for image in images]))))
    known: dict[str, object] = {
        "canvas": min(max(canvas, 16), 4096),
        "glyphs": _count(labels, start.glyphs),
        **_noise(images, start),
    }
    # Sizes that are larger than the new canvas are no settings.
    size = tuple(min(max(each, 4.0), float(canvas)) for each in start.size)
    told = Compose.model_validate(start.model_dump() | known | {"size": size})
    return _search(looks(images), told, glyphs)


def _count(labels: np.ndarray, otherwise: tuple[int, int]) -> tuple[int, int]:
    """Smallest and largest number of classes that an image shows, but for one in a hundred."""
    counts = labels[(labels >= 0).all(1)].sum(1)
    if not len(counts):
        return otherwise
    low, high = np.quantile(counts, (0.01, 0.99), method="nearest")
    return int(low), int(high)


def _noise(images: Sequence[np.ndarray], start: Compose) -> dict[str, object]:
    """`noise` and `noise_from`, by the darkest part of each image, which is ground.

    The ground is a * U(f, 1), cut below 0. So a share of it is 0 that tells f, and its upper
    quantile q is a * (f + q * (1 - f)).
    """
    grounds = [_ground(image) for image in images]
    tops = np.array([np.quantile(ground, TOP) for ground in grounds]) / 255
    zeros = np.array([np.mean(ground == 0) for ground in grounds])
    if np.median(tops) < 2 / 255:
        # Without noise; what little there is could start anywhere.
        return {"noise": (0.0, round(float(tops.max()), 2))}
    start_at = start.noise_from
    for _ in range(4):
        amplitudes = np.maximum(tops / (start_at + TOP * (1 - start_at)), 1 / 255)
        # What rounds to 0 though it is brighter has no part in it.
        share = np.clip(zeros - 0.5 / 255 / amplitudes / (1 - start_at), 0, 0.5)
        start_at = float(np.median(-share / (1 - share)))
    low, high = np.clip(np.quantile(amplitudes, (0.02, 0.98)), 0, 1)
    return {
        "noise": (round(float(low), 2), round(float(high), 2)),
        "noise_from": round(start_at, 1) + 0.0,
    }


def _ground(image: np.ndarray) -> np.ndarray:
    """Pixels of the darkest third of an image, as their neighbourhoods are."""
    near = cv2.blur(image.astype(np.float32), (9, 9))
    return image[near <= np.quantile(near, 1 / 3)]


def _search(target: np.ndarray, told: Compose, glyphs: GlyphSet) -> Compose:
    """The settings that were tried or estimated whose looks are nearest to the target."""
    kept = np.clip((_knobs(told) - LOW) / (HIGH - LOW), 0, 1)
    centre = np.full(len(LOW), 0.5)
    # Sharp strokes stay sharp: looks tell less of the rest where softness may explain it.
    tells = np.array([name != "sharp" or told.sharp != (1.0, 1.0) for name in KNOBS])
    found = [told]
    for number, width in enumerate(ROUNDS):
        rng = np.random.default_rng((told.canvas, number))
        low = np.clip(centre - width / 2, 0, 1 - width)
        tried = low + width * rng.random((TRIED, len(LOW)))
        tried[:, ~tells] = kept[~tells]
        seen = np.stack(
            [_looks_of(_settings(each, told), glyphs, index) for index, each in enumerate(tried)]
        )
        estimate, explained = _regressed(seen, tried, target)
        if number == 0:
            tells &= explained > TELLS
        # In a box so narrow that a knob no longer tells, it stays in the middle.
        better = np.clip(estimate, 0, 1)
        centre = np.where(tells, np.where(explained > TELLS, better, centre), kept)
        found.append(_settings(centre, told))
    spread = seen.std(0) + 1e-6
    distances = [np.abs((_looks_of(each, glyphs, 0) - target) / spread).mean() for each in found]
    return found[int(np.argmin(distances))]


def _regressed(
    seen: np.ndarray, tried: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Knobs at the target, and how much of each one's variance looks explain, out of sample."""
    from sklearn.linear_model import RidgeCV

    mean, spread = seen.mean(0), seen.std(0) + 1e-6
    # Looks unlike all that were tried are beyond where a line holds.
    at = np.clip((target - mean) / spread, -3, 3)
    estimates, explained = np.empty(len(LOW)), np.zeros(len(LOW))
    for knob, values in enumerate(tried.T):
        estimates[knob] = values.mean()
        if values.std() > 1e-9:
            # Without folds, its score is that of leaving one out.
            ridge = RidgeCV(alphas=np.logspace(-1, 3, 9), scoring="r2", store_cv_results=True)
            ridge.fit((seen - mean) / spread, values)
            left_out = ridge.cv_results_[:, int(np.argmin(np.abs(ridge.alphas - ridge.alpha_)))]
            explained[knob] = 1 - np.square(left_out - values).mean() / values.var()
            estimates[knob] = ridge.predict(at[None])[0]
    return estimates, explained


def _looks_of(settings: Compose, glyphs: GlyphSet, stream: int) -> np.ndarray:
    # Any glyphs stand for the distractors, which are drawn alike.
    composer = Composer(glyphs, settings, seed=0, stream=stream, distractors=glyphs.images)
    count = min(max(PIXELS // settings.canvas**2, FEWEST_MOST[0]), FEWEST_MOST[1])
    return looks([composer.paint(index) for index in range(count)])


def _knobs(settings: Compose) -> np.ndarray:
    """(knobs,) of settings: the inverse of `_settings`."""
    (small, large), (bold, thin), (dim, bright) = settings.size, settings.thickness, settings.ink
    return np.array(
        [
            np.log((small + large) / 2 / settings.canvas),
            np.log(large / small),
            (bold + thin) / 2,
            thin - bold,
            bright,
            bright - dim,
            sum(settings.sharp) / 2,
            settings.overlap,
        ]
    )


def _settings(place: np.ndarray, told: Compose) -> Compose:
    """Settings at a place of the box of all that is possible, each side from 0 to 1."""
    knobs = dict(zip(KNOBS, (LOW + place * (HIGH - LOW)).tolist(), strict=True))
    mean, ratio = told.canvas * np.exp(knobs["size"]), np.exp(knobs["size_ratio"])
    small = 2 * mean / (1 + ratio)
    thickness, half = knobs["thickness"], knobs["thickness_range"] / 2
    ink = knobs["ink"]

    def pair(low: float, high: float, least: float, most: float, digits: int) -> list[float]:
        return [round(float(np.clip(each, least, most)), digits) for each in (low, high)]

    return told.model_copy(
        update={
            "size": tuple(pair(small, small * ratio, 4, told.canvas, 1)),
            "thickness": tuple(pair(thickness - half, thickness + half, 0.02, 0.98, 3)),
            "ink": tuple(pair(ink - knobs["ink_range"], ink, 0.05, 1, 3)),
            "sharp": tuple(pair(knobs["sharp"], knobs["sharp"], 0, 1, 2)),
            "overlap": round(knobs["overlap"], 2),
        }
    )
