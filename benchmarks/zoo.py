"""Image files of every format, mode and depth that is read, by name."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image

HEIGHT, WIDTH = 36, 48


def colours() -> np.ndarray:
    """A smooth picture (height, width, 3) of uint8 that looks different from every side."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(x / 9) + np.cos(y / 7), np.cos(x / 11) + y / HEIGHT, x / WIDTH - np.sin(y / 5)]
    planes = [(each - each.min()) / np.ptp(each) * 255 for each in waves]
    return np.dstack(planes).astype(np.uint8)


def alpha() -> np.ndarray:
    """uint8 (height, width): from clear to opaque, with both at the ends."""
    return np.tile(np.linspace(-40, 295, WIDTH).clip(0, 255).astype(np.uint8), (HEIGHT, 1))


def saved(picture: PIL.Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(pixels: np.ndarray, colour: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG file of uint8 or uint16 samples, of a colour type and with further chunks."""
    bits = pixels.dtype.itemsize * 8
    rows = pixels.reshape(len(pixels), -1).astype(pixels.dtype.newbyteorder(">"))
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, colour, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [(b"IHDR", header), *extra, (b"IDAT", content), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in parts)


def tiff(pixels: np.ndarray, photometric: int, orientation: int = 1, bits: int = 16) -> bytes:
    """An uncompressed TIFF file of uint16 samples (height, width[, bands]), 12 or 16 bits each."""
    height, width = pixels.shape[:2]
    bands = pixels.size // (height * width)
    content = pixels.astype("<u2").tobytes()
    if bits == 12:
        first, second = pixels.reshape(-1, 2).astype(np.uint32).T
        both = first << 12 | second
        content = np.dstack([both >> 16, both >> 8 & 255, both & 255]).astype(np.uint8).tobytes()
    tags = [
        (256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * bands), (259, 3, [1]),
        (262, 3, [photometric]), (273, 4, [8]), (274, 3, [orientation]), (277, 3, [bands]),
        (278, 3, [height]), (279, 4, [len(content)]), (284, 3, [1]),
        *([(338, 3, [2])] if bands == 4 else []),
    ]  # fmt: skip
    start = 8 + len(content)
    later = start + 2 + 12 * len(tags) + 4
    entries = beyond = b""
    for tag, kind, values in tags:
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            beyond += packed
            packed = struct.pack("<I", later + len(beyond) - len(packed))
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    header = b"II*\0" + struct.pack("<I", start)
    return header + content + struct.pack("<H", len(tags)) + entries + bytes(4) + beyond


def jpeg2000(values: np.ndarray, bits: int) -> bytes:
    """A lossless file of grey samples (height, width) of 9 to 16 bits.

    Pillow writes 16 bits alone: what it wrote is said to be of fewer, with the samples moved by as
    much as the middle, about which they are stored, moves then.
    """
    moved = (values.astype(np.int64) + 2**15 - 2 ** (bits - 1)).astype(np.uint16)
    data = bytearray(saved(PIL.Image.fromarray(moved), "JPEG2000", irreversible=False))
    data[data.index(b"ihdr") + 14] = bits - 1
    data[data.index(b"\xff\x4f\xff\x51") + 42] = bits - 1
    return bytes(data)


def exif(orientation: int) -> bytes:
    """An EXIF block that says how the picture is to be turned."""
    found = PIL.Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


def shallow() -> Iterator[tuple[str, bytes]]:
    """Of 8 bits or fewer: Pillow converts all of it exactly."""
    rgb, clear = PIL.Image.fromarray(colours()), PIL.Image.fromarray(alpha())
    grey, rgba = rgb.convert("L"), rgb.copy()
    rgba.putalpha(clear)
    palette = rgb.quantize(16)
    modes = {
        "1": grey.convert("1"), "L": grey, "LA": rgba.convert("LA"), "P": rgb.quantize(200),
        "P4": palette, "RGB": rgb, "RGBA": rgba, "CMYK": rgb.convert("CMYK"),
        "YCbCr": rgb.convert("YCbCr"),
    }  # fmt: skip
    able = {
        "PNG": ["1", "L", "LA", "P", "P4", "RGB", "RGBA"],
        "JPEG": ["L", "RGB", "CMYK"],
        "BMP": ["1", "L", "P", "RGB", "RGBA"],
        "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"],
        "WEBP": ["RGB", "RGBA"],
        "GIF": ["1", "L", "P", "RGB", "RGBA"],
        "PPM": ["1", "L", "RGB"],
        "JPEG2000": ["L", "LA", "RGB", "RGBA"],
        "AVIF": ["RGB", "RGBA"],
    }
    for format, names in able.items():
        for name in names:
            yield f"{format} {name}", saved(modes[name], format)
    for format in ("JPEG", "PNG", "TIFF", "WEBP", "AVIF"):
        for number in range(1, 9):
            yield f"{format} turned {number}", saved(rgb, format, exif=exif(number))
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
    yield "JPEG turned by XMP", saved(rgb, "JPEG", xmp=packet)
    text = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    yield "PNG turned by XMP", png(colours(), 2, text)
    yield "PNG with a ground of its own", png(colours(), 2, (b"bKGD", bytes(6)))
    yield "PNG P with a clear colour", saved(palette, "PNG", transparency=3)
    yield "PNG L with a clear grey", saved(grey, "PNG", transparency=int(colours()[0, 0, 0]))
    key = tuple(colours()[5, 5].tolist())
    yield "PNG RGB with a clear colour", saved(rgb, "PNG", transparency=key)
    yield "GIF with a clear colour", saved(palette, "GIF", transparency=2)
    frames = {"save_all": True, "append_images": [rgb.rotate(180)], "loop": 0}
    for format in ("PNG", "GIF", "WEBP", "TIFF", "AVIF"):
        yield f"{format} of two frames", saved(rgb, format, **frames)
    yield "JPEG progressive", saved(rgb, "JPEG", progressive=True)
    yield "JPEG of RGB components", saved(rgb, "JPEG", keep_rgb=True)
    yield "WEBP lossless", saved(rgb, "WEBP", lossless=True)
    yield "WEBP lossless RGBA", saved(rgba, "WEBP", lossless=True)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield f"TIFF {compression}", saved(rgb, "TIFF", compression=compression)
    plain = " ".join(map(str, colours().reshape(-1)))
    yield "PPM of text", f"P3 {WIDTH} {HEIGHT} 255\n{plain}\n".encode()


def twelve_bits() -> np.ndarray:
    """`colours` as uint16 of 12 bits, the lower ones filled too; 0 and 4095 are there."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = colours().astype(np.uint16) * 16 + (x + y)[..., None].astype(np.uint16) % 16
    values[0, 0], values[0, 1] = 0, 4095
    return values


def portable(magic: bytes, values: np.ndarray, white: int) -> bytes:
    """A binary PGM (P5) or PPM (P6) file of samples up to `white`."""
    kind = ">u2" if white > 255 else "u1"
    return (
        b"%s\n# a comment\n%d %d\n%d\n" % (magic, WIDTH, HEIGHT, white)
        + values.astype(kind).tobytes()
    )


def deep() -> Iterator[tuple[str, bytes, int | None]]:
    """Of `twelve_bits`: name, file, and bits of a sample where the file declares them."""
    rgb = twelve_bits()
    grey = np.ascontiguousarray(rgb[..., 0])
    clear = alpha().astype(np.uint16) * 257
    yield "PNG grey", png(grey, 0), None
    yield "PNG RGB", png(rgb, 2), None
    yield "PNG grey and alpha", png(np.dstack([grey, clear]), 4), None
    yield "PNG RGB and alpha", png(np.dstack([rgb, clear]), 6), None
    yield "PNG grey, sBIT", png(grey, 0, (b"sBIT", b"\x0c")), 16
    yield "PNG RGB, sBIT", png(rgb, 2, (b"sBIT", b"\x0c\x0c\x0c")), 16
    yield "PNG grey with a clear grey", png(grey, 0, (b"tRNS", grey[3, 3].tobytes()[::-1])), None
    key = rgb[3, 3].astype(">u2").tobytes()
    yield "PNG RGB with a clear colour", png(rgb, 2, (b"tRNS", key)), None
    yield "TIFF grey", tiff(grey, 1), None
    yield "TIFF grey, 0 white", tiff(grey, 0), None
    yield "TIFF grey of 12 bits", tiff(grey, 1, bits=12), 12
    yield "TIFF RGB and alpha", tiff(np.dstack([rgb, clear]), 2), None
    for number in range(1, 9):
        yield f"TIFF RGB turned {number}", tiff(rgb, 2, number), None
        yield f"TIFF grey turned {number}", tiff(grey, 1, number), None
    yield "PGM", portable(b"P5", grey, 4095), 12
    yield "PPM", portable(b"P6", rgb, 4095), 12
    yield "PGM of 16 bits", portable(b"P5", grey, 65535), 16
    yield "JPEG2000 grey of 12 bits", jpeg2000(grey, 12), 12
    yield "JPEG2000 grey of 16 bits", jpeg2000(grey, 16), 16
