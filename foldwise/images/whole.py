"""Whether all of a plain file is there and undamaged, as far as its structure and sums show.

OpenCV decodes what is cut off or damaged as far as it goes, and says nothing; Pillow refuses it. Of
a file that is whole by what stands here, one decoding by OpenCV is enough: Pillow would not refuse
it either. Of one that is not, nothing is said: Pillow has to judge it.
"""

import re
import struct
import zlib

import numpy as np

from foldwise.images.headers import JPEG, PNG, SCAN, Chunk, png_chunks

SAMPLES = {0: 1, 2: 3, 3: 1}
"""Of a pixel, by PNG's colour types without alpha."""
PALETTE = 3
BEHIND = frozenset((b"IEND", b"tIME", b"tEXt"))
"""PNG's chunks of which Pillow makes nothing that it could refuse, once the pixels are read."""
TEXTS = 1 << 20
"""Bytes of a PNG file below which no texts in it are too long for Pillow."""
FILTERS = 5

BASELINE, PROGRESSIVE, END = (0xC0, 0xC1), 0xC2, 0xD9
TABLES = frozenset((0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)))
"""JPEG's markers of tables and remarks, which have a length and end no image."""
# In a scan 0xFF 0x00 is a byte of 0xFF, 0xFF 0xD0 to 0xD7 a restart; bytes of 0xFF may come before.
MARKER = re.compile(rb"\xff+[^\xff\x00\xd0-\xd7]")


def is_whole(data: bytes) -> bool:
    """Whether a file that is plain by its header is whole; False also where that is not certain."""
    if data.startswith(PNG):
        return _whole_png(data)
    if data.startswith(JPEG):
        return _whole_jpeg(data)
    return _whole_webp(data)


def _whole_png(data: bytes) -> bool:
    """All sums agree, and the pixels' stream is as long as the header says."""
    chunks = png_chunks(data)
    if chunks is None or chunks[-1].name != b"IEND":
        return False
    names = [chunk.name for chunk in chunks]
    pixels = [index for index, name in enumerate(names) if name == b"IDAT"]
    if not pixels or pixels[-1] - pixels[0] >= len(pixels):
        return False
    behind = chunks[pixels[-1] + 1 :]
    if any(chunk.name not in BEHIND or chunk.length > TEXTS for chunk in behind):
        return False
    if not all(_sum_agrees(data, chunk) for chunk in chunks):
        return False
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if interlaced or colour not in SAMPLES or not (width and height):
        return False
    if colour == PALETTE:
        colours = [chunk.length for chunk in chunks if chunk.name == b"PLTE"]
        if len(colours) != 1 or colours[0] % 3 or not 0 < colours[0] <= 3 * 256:
            return False
    stream = b"".join(data[c.start : c.start + c.length] for c in chunks if c.name == b"IDAT")
    return _whole_rows(stream, 1 + (width * SAMPLES[colour] * bits + 7) // 8, height)


def _sum_agrees(data: bytes, chunk: Chunk) -> bool:
    end = chunk.start + chunk.length
    # Of its name, too.
    return zlib.crc32(memoryview(data)[chunk.start - 4 : end]) == int.from_bytes(
        data[end : end + 4]
    )


def _whole_rows(stream: bytes, size: int, rows: int) -> bool:
    """Whether a zlib stream is of so many rows of that size, its sum right, each with a filter."""
    inflated = zlib.decompressobj()
    try:
        # One more than there may be, and no more: a small stream may be of any length.
        found = inflated.decompress(stream, size * rows + 1)
    except zlib.error:
        return False
    if len(found) != size * rows or not inflated.eof or inflated.unused_data:
        return False
    return bool(np.frombuffer(found, np.uint8)[::size].max() < FILTERS)


def _whole_jpeg(data: bytes) -> bool:
    """Whether its markers lead to its end, which is where libjpeg then stops at the latest."""
    offset, frame = 2, 0
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        start = offset + 4
        length = int.from_bytes(data[offset + 2 : start])
        offset += 2 + length
        if length < 2 or offset > len(data):
            return False
        if marker == SCAN:
            found = MARKER.search(data, offset)
            if found is None:
                return False
            offset = found.end() - 2
            if data[offset + 1] == END:
                return frame != 0
            # Of a second scan behind one that has it all OpenCV sees nothing.
            if frame != PROGRESSIVE:
                return False
        elif marker in (*BASELINE, PROGRESSIVE):
            if frame:
                return False
            frame = marker
        elif marker not in TABLES:
            return False
    return False


def _whole_webp(data: bytes) -> bool:
    """Whether the file and its only chunk are as long as they say."""
    size = int.from_bytes(data[4:8], "little") + 8
    length = int.from_bytes(data[16:20], "little")
    return size == len(data) == 20 + length + length % 2
