"""From a file's bytes to pixels."""

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


@dataclass(frozen=True)
class Inspected:
    """What is known of an image once it has been decoded."""

    height: int
    width: int
    phash: int
    """Perceptual hash of 64 bits (DCT): images that look the same differ in few bits."""


def inspect(data: bytes, max_pixels: int) -> Inspected:
    """Decode the whole image, to be sure that it is one.

    Raises `ValueError` if the bytes are no image, not all of one, or one of more than `max_pixels`
    pixels, which is seen before any is decoded.
    """
    # Only here, where it is needed: it brings SciPy and wavelets with it.
    import imagehash

    # Pillow refuses truncated files, which OpenCV decodes as far as they go.
    try:
        with warnings.catch_warnings():
            # Oddities of metadata, which nobody reads here.
            warnings.simplefilter("ignore")
            with PIL.Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > max_pixels:
                    raise _TooLargeError(
                        f"has {image.width} x {image.height} pixels, more than data.max_pixels"
                    )
                image.load()
                phash = int(str(imagehash.phash(image)), 16)
    except PIL.UnidentifiedImageError:
        raise ValueError("is no image") from None
    except _TooLargeError:
        raise
    # Pillow's decoders raise all of these for files that are damaged in their own ways.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError) as error:
        raise ValueError(f"does not decode ({error})") from None
    pixels = decode(data, 1)
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
