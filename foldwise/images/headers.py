"""What an image file says of itself, read before a decoder sees it.

OpenCV decodes some files several times as fast as Pillow, but it trusts what they declare, and it
drops transparency, orientation and low bits. It gets only files that are plain: those whose header
shows that both decoders see the same picture.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"

# Chunks that change no pixel: all that this leaves out (tRNS, eXIf, an animation's) may.
HARMLESS = frozenset(
    b"IHDR PLTE IDAT IEND gAMA cHRM sRGB iCCP pHYs tIME hIST sBIT sPLT tEXt zTXt iTXt".split()
)
TEXT = (b"tEXt", b"zTXt", b"iTXt")
# Keywords of texts in which programs hide what is else in eXIf: an orientation, for one.
TURNING = (b"Raw profile type", b"XML:com.adobe.xmp")

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG's markers that start a frame (SOF)."""
SCAN, APP1 = 0xDA, 0xE1


class ImageError(ValueError):
    """What is wrong with an image, in words for whoever has it."""


class Plain(NamedTuple):
    """A file that OpenCV decodes as Pillow does."""

    height: int
    width: int
    """In pixels, before it is turned."""
    grey: bool
    """Its samples are; else they are colours."""
    may_turn: bool = False
    """It holds metadata, where an orientation may be."""


class Chunk(NamedTuple):
    """A piece of a PNG file."""

    name: bytes
    start: int
    """Of its content."""
    length: int
    """In bytes."""


def plain(data: bytes) -> Plain | None:
    """The size of a plain file; None for any other."""
    if data.startswith(PNG):
        return _plain_png(data)
    if data.startswith(JPEG):
        return _plain_jpeg(data)
    return _plain_webp(data)


def png_chunks(data: bytes) -> list[Chunk] | None:
    """All chunks of a PNG file up to its end; None if one's length leads out of the file."""
    found = []
    offset = len(PNG)
    while offset + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, offset)
        if offset + 12 + length > len(data):
            return None
        found.append(Chunk(name, offset + 8, length))
        if name == b"IEND":
            return found
        offset += 12 + length
    return None


def _plain_png(data: bytes) -> Plain | None:
    chunks = png_chunks(data)
    if chunks is None or chunks[0].name != b"IHDR" or chunks[0].length != 13:
        return None
    for name, start, _ in chunks[1:]:
        if name == b"IHDR" or name not in HARMLESS:
            return None
        if name in TEXT and data.startswith(TURNING, start):
            return None
    width, height, bits, colour = struct.unpack_from(">IIBB", data, chunks[0].start)
    # Grey, RGB and palette; the other types have alpha.
    if bits > 8 or colour not in (0, 2, 3):
        return None
    return Plain(height, width, grey=colour == 0)


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Every marker of a JPEG file up to its first scan, and where its content starts.

    Ends early where a marker or a length is none.
    """
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:
            offset += 1
            continue
        yield marker, offset + 4
        if marker == SCAN or marker < 0xC0 or 0xD0 <= marker <= 0xD9:
            return
        offset += 2 + max(2, struct.unpack_from(">H", data, offset + 2)[0])


def _plain_jpeg(data: bytes) -> Plain | None:
    frame: tuple[int, int, bool] | None = None
    may_turn = False
    for marker, start in _segments(data):
        if marker in FRAMES:
            if frame is not None or start + 6 > len(data):
                return None
            bits, height, width, components = struct.unpack_from(">BHHB", data, start)
            if bits != 8 or components not in (1, 3):
                return None
            frame = (height, width, components == 1)
        elif marker == APP1:
            may_turn = True
        elif marker == SCAN and frame is not None:
            return Plain(*frame, may_turn)
    return None


def _plain_webp(data: bytes) -> Plain | None:
    """Of the simple form alone: the extended one has alpha, metadata or several frames."""
    size = webp_size(data)
    if size is None or data[12:15] != b"VP8" or data[15:16] not in b" L":
        return None
    alpha = data[15:16] == b"L" and data[24] & 0x10
    return None if alpha else Plain(*size, grey=False)


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of what is decoded; None where the file is no WebP, or says nothing.

    Pillow's decoder takes the memory for it when the file is opened.
    """
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[start : start + 3], "little") for start in (24, 27))
        return height + 1, width + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return None


def jpeg2000_bits(data: bytes) -> int:
    """The precision of a JPEG 2000 file, 1 to 128, of its components the largest.

    Raises `ImageError` if the file does not say.
    """
    found = re.search(rb"\xff\x4f\xff\x51.{36}(..)", data, re.DOTALL)
    if found is None:
        raise ImageError("does not decode (its codestream says nothing of its size)")
    components = int.from_bytes(found[1])
    # Of each: its precision, and how much coarser it is than the image.
    precisions = data[found.end() : found.end() + 3 * components : 3]
    if len(precisions) < components or not components:
        raise ImageError("does not decode (its codestream is cut off)")
    return max(each & 0x7F for each in precisions) + 1
