"""Samples of more than 8 bits, and how they become 8.

How many of the bits count is declared by PGM and PPM (maxval), by JPEG 2000 (precision), by TIFF of
9 to 15 bits, and by PNG where it has sBIT: its samples then span all 16 bits, as its specification
has it. Of other 16-bit files nobody can tell from one of them alone: X-ray detectors write 12 bits
into 16, microscopes 14.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import PIL.Image
import PIL.ImageFile

from foldwise.images.headers import ImageError, jpeg2000_bits, png_chunks

WHOLE = 65535
"""The largest sample of 16 bits."""
MIN_IS_WHITE, PHOTOMETRIC, BITS = 0, 262, 258
"""Of TIFF."""


@dataclass(frozen=True)
class Samples:
    """An image of more than 8 bits."""

    values: np.ndarray
    """uint16, (height, width) of grey or (height, width, 3) of RGB."""
    alpha: np.ndarray | None = None
    """uint8 (height, width), 255 where it covers the ground; None: everywhere."""
    white: int | None = None
    """The sample that is white; None: the file does not say."""
    inverted: bool = False
    """A sample of 0 is white."""

    def to_8_bits(self, depth: int) -> PIL.Image.Image:
        """As a picture of mode L, RGB or RGBA.

        Args:
            depth: bits of a sample, where the file does not say.
        """
        table = eight_bits(2**depth - 1 if self.white is None else self.white)
        pixels = table[self.values]
        picture = PIL.Image.fromarray(255 - pixels if self.inverted else pixels)
        if self.alpha is not None:
            picture = picture.convert("RGB")
            picture.putalpha(PIL.Image.fromarray(self.alpha))
        return picture


@lru_cache(maxsize=16)
def eight_bits(white: int) -> np.ndarray:
    """For every sample of 16 bits the one of 8: `white` and all above it are 255."""
    scaled = np.rint(np.arange(WHOLE + 1) * (255 / white))
    return np.minimum(scaled, 255).astype(np.uint8)


def deep_samples(image: PIL.Image.Image, data: bytes) -> Samples | None:
    """The samples of an image that has more than 8 bits of them; None for any other.

    Args:
        image: opened by Pillow, and not loaded.
        data: the whole file.

    Raises:
        ImageError: its samples cannot be read to the last bit, or nothing says their range.
    """
    if image.format == "PPM":
        return _portable(image, data)
    if image.mode.startswith("I;16"):
        return _grey(image, data)
    if image.mode in ("I", "F"):
        kind = "fractions" if image.mode == "F" else "32 bits, or of 16 with a sign"
        raise ImageError(f"has samples of {kind}; convert it to 8 or 16 bits without a sign")
    bits = _bits(image, data)
    if bits <= 8:
        return None
    if image.mode not in ("RGB", "RGBA", "RGBX") or (image.format == "TIFF" and bits != 16):
        raise ImageError(f"has {image.mode} samples of {bits} bits; convert it to 8, or to RGB")
    return _colours(image, data, bits)


def _bits(image: PIL.Image.Image, data: bytes) -> int:
    """Bits of a sample, of the formats whose colours Pillow cuts to 8 without a word."""
    if image.format == "PNG":
        return data[24]
    if image.format == "JPEG2000":
        return jpeg2000_bits(data)
    found = getattr(image, "tag_v2", {}).get(BITS, 8)
    return max(found) if isinstance(found, tuple) else int(found)


def _portable(image: PIL.Image.Image, data: bytes) -> Samples | None:
    """PGM and PPM, whose binary samples Pillow scales one by one, in Python."""
    assert isinstance(image, PIL.ImageFile.ImageFile)
    codec, _, offset, arguments = image.tile[0]
    height, width = image.height, image.width
    if codec == "ppm" and isinstance(arguments, tuple):
        white = int(arguments[1])
        if image.mode not in ("L", "I", "RGB"):
            raise ImageError(f"has {image.mode} samples up to {white}; convert it to PGM or PPM")
        shape = (height, width) if image.mode in ("L", "I") else (height, width, 3)
        kind = np.dtype(">u2" if white > 255 else "u1")
        values = np.frombuffer(data, kind, int(np.prod(shape)), offset)
        return Samples(values.reshape(shape).astype(np.uint16), white=white)
    if image.mode == "F":
        raise ImageError("has samples of fractions; convert it to 8 or 16 bits without a sign")
    if image.mode == "I":
        image.load()
        return Samples(np.asarray(image).astype(np.uint16), white=WHOLE)
    return None


def _grey(image: PIL.Image.Image, data: bytes) -> Samples:
    tags = getattr(image, "tag_v2", {})
    inverted = tags.get(PHOTOMETRIC) == MIN_IS_WHITE
    white = _declared_white(image, data)
    image.load()
    values = np.asarray(image).astype(np.uint16)
    key = image.info.get("transparency")
    alpha = None if key is None else np.where(values == key, 0, 255).astype(np.uint8)
    return Samples(values, alpha, white, inverted)


def _declared_white(image: PIL.Image.Image, data: bytes) -> int | None:
    if image.format == "JPEG2000":
        bits = jpeg2000_bits(data)
        # Pillow shifts samples of fewer bits up to 16.
        return (2**bits - 1) << (16 - bits) if bits < 16 else WHOLE
    if image.format == "TIFF":
        bits = _bits(image, data)
        return 2**bits - 1 if bits < 16 else None
    # All chunks of a file that is cut off may not be there; Pillow finds that.
    return WHOLE if any(chunk.name == b"sBIT" for chunk in png_chunks(data) or ()) else None


def _colours(image: PIL.Image.Image, data: bytes, bits: int) -> Samples:
    """More than 8 bits of RGB, of which Pillow keeps 8, by OpenCV, where both see the same."""
    if image.format == "PNG" and png_chunks(data) is None:
        raise ImageError("does not decode (the length of a chunk leads out of the file)")
    # Pillow turns TIFF when it loads it, and forgets by how much.
    turned = orientation(image) if image.format == "TIFF" else 1
    image.load()
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        found = None
    if found is not None and found.dtype == np.uint16 and found.ndim == 3:
        shown = np.asarray(image)[..., :3]
        # Of JPEG 2000 Pillow rounds, and white to 256, which a byte has as 0.
        half = 1 << (bits - 9) if image.format == "JPEG2000" else 0
        for number in {1, turned}:
            pixels = found if number == 1 else oriented(found, number)
            colours = pixels[..., 2::-1]
            if _upper_bits_are(shown, colours, bits - 8, half):
                opaque = pixels.shape[2] < 4 or image.mode == "RGBX"
                alpha = None if opaque else eight_bits(2**bits - 1)[pixels[..., 3]]
                white = 2**bits - 1 if image.format == "JPEG2000" else _declared_white(image, data)
                return Samples(colours, alpha, white)
    raise ImageError(f"has colours of {bits} bits that cannot be read to the last; convert it to 8")


def _upper_bits_are(shown: np.ndarray, colours: np.ndarray, shift: int, half: int) -> bool:
    """Whether samples, shifted down with `half` added, are those of 8 bits."""
    if shown.shape != colours.shape:
        return False
    # Some rows at a time: the image may be vast.
    rows = max(1, (1 << 20) // shown.shape[1])
    starts = range(0, len(shown), rows)
    parts = ((shown[at : at + rows], colours[at : at + rows].astype(np.uint32)) for at in starts)
    return all(np.array_equal((part + half) >> shift & 255, seen) for seen, part in parts)


def orientation(image: PIL.Image.Image) -> int:
    """EXIF's or XMP's orientation, 1 to 8; 1, as it lies, where there is none."""
    found = image.getexif().get(0x0112, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def oriented(pixels: np.ndarray, number: int) -> np.ndarray:
    """An image (height, width, ...) turned and mirrored as an orientation wants it."""
    if number > 4:
        pixels, number = pixels.swapaxes(0, 1), number - 4
    rows = slice(None, None, -1 if number in (3, 4) else 1)
    columns = slice(None, None, -1 if number in (2, 3) else 1)
    return np.ascontiguousarray(pixels[rows, columns])
