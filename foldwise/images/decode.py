"""From a file's bytes to the pixels that a viewer shows.

The first picture of the file, turned as it says, laid on a ground where it is transparent, its
samples scaled to 8 bits. OpenCV decodes what is plain, Pillow all else.
"""

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import PIL.Image

from foldwise.images.decoding import DEPTHS, Decoding
from foldwise.images.deep import deep_samples, orientation, oriented
from foldwise.images.headers import ImageError, Plain, plain, webp_size
from foldwise.images.whole import is_whole

# OpenCV's threads do not survive a fork: a worker process that inherits them hangs at its first
# call. Images are read side by side by processes, or by Python's threads, not within an image.
cv2.setNumThreads(0)

# `check` has a limit of its own, which the user sets.
PIL.Image.MAX_IMAGE_PIXELS = None

# Oddities of metadata, which nobody reads here. (Not in a context: it is not safe in threads.)
warnings.filterwarnings("ignore", module=r"PIL\.")


MAX_PIXELS = 50_000_000
"""Height x width above which an image counts as bad, where nothing else is said."""

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
class Checked:
    """What is known of an image that can be decoded."""

    height: int
    width: int
    """In pixels, as it is shown."""
    largest: int | None = None
    """Its largest sample, where it has more than 8 bits and does not say how many count."""


@dataclass(frozen=True)
class Inspected:
    """What the store keeps of an image, and what is seen of the whole set."""

    height: int
    width: int
    phash: int
    """Perceptual hash of 64 bits (DCT): images that look the same differ in few bits."""
    largest: int | None = None
    """As `Checked` has it."""


def check(data: bytes, max_pixels: int) -> Checked:
    """Decode the whole image, to be sure that `decode` will, whatever the decoding.

    Raises `ValueError` if the bytes are no image, not all of one, or one of more than `max_pixels`
    pixels, which is seen before any is decoded.
    """
    header = plain(data)
    pixels = _in_one_pass(data, 1 if header and header.grey else 3, header, max_pixels)
    largest = None
    if pixels is None:
        # Of what is plain, too: Pillow refuses truncated files, which OpenCV decodes as far as they
        # go, and it takes over where OpenCV cannot.
        (pixels,), largest = _by_pillow(data, [3], Decoding(), max_pixels)
    return Checked(pixels.shape[0], pixels.shape[1], largest)


def inspect(data: bytes, max_pixels: int, decoding: Decoding | None = None) -> Inspected:
    """What is to be known of an image; raises `ValueError` as `check` does.

    Args:
        data: the file.
        max_pixels: height x width above which it is refused.
        decoding: of the data set, as far as it is known before all images are.
    """
    # Only here, where it is needed: it brings SciPy and wavelets with it.
    import imagehash

    pixels, largest = _checked_grey(data, max_pixels, decoding or Decoding())
    grey = pixels[:, :, 0]
    phash = int(str(imagehash.phash(PIL.Image.fromarray(grey))), 16)
    if grey.min() == grey.max():
        # Nothing to see: only images of the same bytes are duplicates.
        phash = int.from_bytes(hashlib.sha256(data).digest()[:8])
    return Inspected(grey.shape[0], grey.shape[1], phash, largest)


def _checked_grey(
    data: bytes, max_pixels: int, decoding: Decoding
) -> tuple[np.ndarray, int | None]:
    """The pixels that are trained on, as grey, and the largest sample; raises as `check` does."""
    header = plain(data)
    pixels = _in_one_pass(data, 1, header, max_pixels)
    if pixels is not None:
        return pixels, None
    if header is not None:
        _, largest = _by_pillow(data, [3], Decoding(), max_pixels)
        return decode(data, 1, decoding), largest
    # The data set's depth is known only once all images are. A hash does not change with the scale,
    # as long as steps are left: so by the depth of this image alone.
    (_, pixels), largest = _by_pillow(data, [3, 1], decoding, max_pixels, own_depth=True)
    return pixels, largest


def _in_one_pass(
    data: bytes, channels: int, header: Plain | None, max_pixels: int
) -> np.ndarray | None:
    """`decode` of a plain file that Pillow would not refuse; None if it might."""
    if header is None or header.height * header.width > max_pixels or not is_whole(data):
        return None
    try:
        # Which reads all that comes before the pixels.
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.size != (header.width, header.height):
                return None
        return _by_opencv(data, channels, header)
    except Exception:
        return None


def bits_of(largest: int) -> int:
    """The fewest bits, 8 at least, that hold a sample.

    >>> bits_of(4095), bits_of(4096), bits_of(7)
    (12, 13, 8)
    """
    return max(DEPTHS.start, largest.bit_length())


def decode(data: bytes, channels: int, decoding: Decoding | None = None) -> np.ndarray:
    """Decode to an array (height, width, channels) of uint8: grey for one channel, else RGB.

    Args:
        data: a file that `check` let through.
        channels: 1 or 3.
        decoding: what the file leaves open; the default where it is None.

    Raises:
        ValueError: `check` would not have let it through.
    """
    header = plain(data)
    if header is not None:
        pixels = _by_opencv(data, channels, header)
        if pixels is not None:
            return pixels
    return _by_pillow(data, [channels], decoding or Decoding())[0][0]


def _by_opencv(data: bytes, channels: int, header: Plain) -> np.ndarray | None:
    """`decode` of a plain file; None if OpenCV sees another in it than its header does."""
    # Colours become grey here, not in OpenCV's decoders: of PNG with gAMA or sRGB libpng makes it
    # in linear light, and of JPEG libjpeg before it clips colours to black and white.
    grey = channels == 1 and header.grey
    flags = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB
    try:
        # Of the places where an orientation may stand OpenCV knows one.
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        return None
    if channels == 1 and not grey:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if header.may_turn:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            number = orientation(image)
        if number != 1:
            pixels = oriented(pixels, number)
    return pixels[:, :, None] if channels == 1 else pixels


def _by_pillow(
    data: bytes,
    channels: Sequence[int],
    decoding: Decoding,
    max_pixels: int | None = None,
    own_depth: bool = False,
) -> tuple[list[np.ndarray], int | None]:
    """`decode` for each of `channels`, and the largest sample as `Checked` has it.

    With `own_depth` samples are scaled by the image's largest one, not by the data set's depth.
    """
    size = webp_size(data)
    if size is not None:
        _refuse_vast(*size, max_pixels)
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _refuse_vast(image.height, image.width, max_pixels)
            samples = deep_samples(image, data)
            image.load()
            _scale_clear_grey(image, data)
            largest = None
            if samples is not None and samples.white is None:
                largest = int(samples.values.max())
            depth = decoding.depth if largest is None or not own_depth else bits_of(largest)
            picture = image if samples is None else samples.to_8_bits(depth)
            number = orientation(image)
            found = [
                oriented(_flattened(picture, decoding.ground, each), number) for each in channels
            ]
    except PIL.UnidentifiedImageError:
        raise ValueError("is no image of a format that can be read") from None
    except ImageError:
        raise
    except Exception as error:
        # Pillow's decoders raise anything at all for files that are damaged in their own ways.
        raise ValueError(f"does not decode ({error})") from None
    return [each.reshape(*each.shape[:2], -1) for each in found], largest


def _scale_clear_grey(image: PIL.Image.Image, data: bytes) -> None:
    """Bring the grey that a PNG of mode L declares clear to the 8 bits of the samples.

    Pillow scales samples of 2 and 4 bits, and leaves the grey as the file has it.
    """
    key = image.info.get("transparency")
    if image.format == "PNG" and image.mode == "L" and isinstance(key, int):
        white = 2 ** data[24] - 1
        # Higher bits do not count, by the specification.
        image.info["transparency"] = (key & white) * 255 // white


def _refuse_vast(height: int, width: int, max_pixels: int | None) -> None:
    if max_pixels is not None and height * width > max_pixels:
        raise ImageError(f"has {width} x {height} pixels, more than data.max_pixels")


STRIP = 1 << 22
"""Pixels at a time."""


def _flattened(picture: PIL.Image.Image, ground: tuple[int, int, int], channels: int) -> np.ndarray:
    """A picture of 8 bits or fewer, laid on the ground where it is transparent.

    Returns:
        uint8 (height, width) of grey, or (height, width, 3).
    """
    width, height = picture.size
    pixels = np.empty((height, width) if channels == 1 else (height, width, 3), np.uint8)
    # A vast picture is not held several times over.
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = picture if rows >= height else picture.crop((0, top, width, bottom))
        if strip.has_transparency_data:
            below = PIL.Image.new("RGBA", strip.size, (*ground, 255))
            strip = PIL.Image.alpha_composite(below, strip.convert("RGBA"))
        pixels[top:bottom] = np.asarray(strip.convert("L" if channels == 1 else "RGB"))
    return pixels
