"""From a file's bytes to pixels."""

import hashlib
import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import PIL.Image

# OpenCV's threads do not survive a fork: a worker process that inherits them hangs at its first
# call. Images are read side by side by processes, or by Python's threads, not within an image.
cv2.setNumThreads(0)

# `inspect` has a limit of its own, which the user sets.
PIL.Image.MAX_IMAGE_PIXELS = None


MAX_PIXELS = 50_000_000
"""Height x width above which an image counts as bad, where nothing else is said."""

# What OpenCV reads too.
FORMATS = (
    "PNG",
    "JPEG",
    "BMP",
    "DIB",
    "TIFF",
    "WEBP",
    "GIF",
    "PPM",
    "JPEG2000",
    "SUN",
    "AVIF",
)


PIL.Image.init()
SUFFIXES = frozenset(
    suffix for suffix, format in PIL.Image.registered_extensions().items() if format in FORMATS
)
"""By which files in a folder are taken for images."""


@dataclass(frozen=True)
class Inspected:
    """What is known of an image once it has been decoded."""

    height: int
    width: int
    phash: int
    """Perceptual hash of 64 bits (DCT): images that look the same differ in few bits."""


def check(data: bytes, max_pixels: int) -> None:
    """Decode the whole image, to be sure that it is one.

    Raises `ValueError` if the bytes are no image, not all of one, or one of more than `max_pixels`
    pixels, which is seen before any is decoded.
    """
    # Pillow refuses truncated files, which OpenCV decodes as far as they go.
    try:
        with warnings.catch_warnings():
            # Oddities of metadata, which nobody reads here.
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise _TooLargeError(
                        f"has {image.width} x {image.height} pixels, more than data.max_pixels"
                    )
                image.load()
    except PIL.UnidentifiedImageError:
        raise ValueError("is no image of a format that can be read") from None
    except _TooLargeError:
        raise
    except Exception as error:
        # Pillow's decoders raise anything at all for files that are damaged in their own ways.
        raise ValueError(f"does not decode ({error})") from None


def inspect(data: bytes, max_pixels: int) -> Inspected:
    """What is to be known of an image; raises `ValueError` as `check` does."""
    # Only here, where it is needed: it brings SciPy and wavelets with it.
    import imagehash

    check(data, max_pixels)
    pixels = decode(data, 1)
    # Of the pixels that are trained on: Pillow's greys of 16 bits would all hash alike.
    grey = pixels[:, :, 0]
    phash = int(str(imagehash.phash(PIL.Image.fromarray(grey))), 16)
    if grey.min() == grey.max():
        # Nothing to see: only images of the same bytes are duplicates.
        phash = int.from_bytes(hashlib.sha256(data).digest()[:8])
    return Inspected(pixels.shape[0], pixels.shape[1], phash)


class _TooLargeError(ValueError):
    pass


def decode(data: bytes | np.ndarray, channels: int) -> np.ndarray:
    """Decode to an array (height, width, channels) of uint8: grey for one channel, else RGB.

    Raises `ValueError` if OpenCV cannot read the image.
    """
    flags = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ValueError("is in a format that OpenCV cannot decode")
    return pixels[:, :, None] if channels == 1 else pixels
