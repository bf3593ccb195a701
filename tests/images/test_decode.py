"""What is decoded is what a viewer shows: Pillow's fully converted picture."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest

from benchmarks import zoo
from foldwise.images.decode import check, decode, inspect
from foldwise.images.decoding import Decoding
from foldwise.images.headers import plain

SRGB = b"sRGB", bytes(1)
GAMMA = b"gAMA", struct.pack(">I", 45455)
PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
COLOUR_SPACES = {
    "gAMA": [GAMMA],
    "linear gAMA": [(b"gAMA", struct.pack(">I", 100_000))],
    "sRGB": [SRGB],
    "cHRM": [(b"cHRM", struct.pack(">8I", *PRIMARIES))],
    "gAMA and cHRM": [GAMMA, (b"cHRM", struct.pack(">8I", *PRIMARIES))],
    "iCCP": [(b"iCCP", b"sRGB\0\0" + zlib.compress(PROFILE))],
}


def with_chunks(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file with chunks behind its header."""
    return data[:33] + b"".join(zoo.chunk(*each) for each in chunks) + data[33:]


def of_colour_spaces() -> Iterator[tuple[str, bytes]]:
    """PNG files that say what their colours mean, which changes no sample."""
    rgb = PIL.Image.fromarray(zoo.colours())
    modes = {"RGB": rgb, "P": rgb.quantize(200), "L": rgb.convert("L"), "1": rgb.convert("1")}
    for name, picture in modes.items():
        for space, chunks in COLOUR_SPACES.items():
            yield f"PNG {name}, {space}", with_chunks(zoo.saved(picture, "PNG"), *chunks)


def saturated() -> Iterator[tuple[str, bytes]]:
    """Colours beyond those of RGB, which decoders clip before, or after they make them grey."""
    noise = np.random.default_rng(0).integers(0, 2, (zoo.HEIGHT, zoo.WIDTH, 3)) * 255
    for format in ("JPEG", "WEBP"):
        yield f"{format} of noise", zoo.saved(PIL.Image.fromarray(noise.astype(np.uint8)), format)


def turned_by_xmp() -> Iterator[tuple[str, bytes]]:
    """By both spellings that are read."""
    rgb = PIL.Image.fromarray(zoo.colours())
    for inside in ('Orientation="6"/>', "Orientation>6</tiff:Orientation>"):
        packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:{inside}</x:xmpmeta>'.encode()
        for format in ("JPEG", "WEBP", "AVIF"):
            yield f"{format}, <tiff:{inside}", zoo.saved(rgb, format, xmp=packet)
        yield f"TIFF, <tiff:{inside}", zoo.saved(rgb, "TIFF", tiffinfo={700: packet})


TURNED_BY_XMP = dict(turned_by_xmp())


@pytest.mark.parametrize("name", TURNED_BY_XMP)
def test_xmp_turns_what_the_documentation_says(name: str) -> None:
    data = TURNED_BY_XMP[name]
    for channels in (1, 3):
        found = decode(data, channels)
        assert found.shape == (zoo.WIDTH, zoo.HEIGHT, channels)
    assert apart(found, np.asarray(shown(data))) == 0


SHALLOW = dict(zoo.shallow()) | dict(of_colour_spaces()) | dict(saturated())
DEEP = {name: (data, bits) for name, data, bits in zoo.deep()}
GROUND = (40, 200, 90)


def shown(data: bytes) -> PIL.Image.Image:
    """The picture as Pillow alone converts it: turned, on the ground, RGB."""
    return shown_as(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))))


def shown_as(picture: PIL.Image.Image) -> PIL.Image.Image:
    """On the ground, RGB."""
    if picture.has_transparency_data:
        below = PIL.Image.new("RGBA", picture.size, (*GROUND, 255))
        picture = PIL.Image.alpha_composite(below, picture.convert("RGBA"))
    return picture.convert("RGB")


def apart(first: np.ndarray, second: np.ndarray) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second).max())


@pytest.mark.parametrize("name", SHALLOW)
def test_all_formats_and_modes_are_as_pillow_shows_them(name: str) -> None:
    data = SHALLOW[name]
    picture = shown(data)
    checked = check(data, 10**6)
    assert (checked.width, checked.height) == picture.size
    assert checked.largest is None
    decoding = Decoding(GROUND)
    assert apart(decode(data, 3, decoding), np.asarray(picture)) == 0
    # OpenCV and Pillow round greys of colours differently.
    assert apart(decode(data, 1, decoding)[..., 0], np.asarray(picture.convert("L"))) <= 1


def test_what_is_plain_takes_the_fast_path_and_nothing_else() -> None:
    fast = {name for name, data in SHALLOW.items() if plain(data)}
    turned = {f"JPEG turned {number}" for number in range(1, 9)}
    assert fast == turned | {
        *("PNG 1", "PNG L", "PNG P", "PNG P4", "PNG RGB", "JPEG L", "JPEG RGB", "WEBP RGB"),
        *("JPEG progressive", "JPEG of RGB components", "JPEG turned by XMP", "WEBP lossless"),
        *dict(of_colour_spaces()),
        *dict(saturated()),
    }
    assert not [name for name, (data, _) in DEEP.items() if plain(data)]


def scaled(values: np.ndarray, bits: int) -> np.ndarray:
    return np.minimum(np.floor(values / (2**bits - 1) * 255 + 0.5), 255)


def wanted(name: str, bits: int) -> np.ndarray:
    """`twelve_bits` as RGB of 8 bits, laid on the ground and turned, by arithmetic alone."""
    values = zoo.twelve_bits()
    found = scaled(values if "RGB" in name or "PPM" in name else values[..., :1], bits)
    if "0 white" in name:
        found = 255 - found
    found = np.broadcast_to(found, values.shape)
    cover = np.ones(values.shape[:2])
    if "alpha" in name:
        cover = zoo.alpha() / 255
    elif "clear" in name:
        same = values == values[3, 3]
        cover = 1.0 - (same.all(2) if "RGB" in name else same[..., 0])
    found = found * cover[..., None] + np.array(GROUND) * (1 - cover[..., None])
    if "turned" in name:
        method = [None, *PIL.Image.Transpose][[0, 0, 1, 4, 2, 6, 5, 7, 3][int(name[-1])]]
        if method is not None:
            turned = PIL.Image.fromarray(np.rint(found).astype(np.uint8)).transpose(method)
            found = np.asarray(turned).astype(float)
    return found


@pytest.mark.parametrize("depth", [10, 12, 16])
@pytest.mark.parametrize("name", DEEP)
def test_deep_samples_are_scaled_by_what_is_declared_or_told(name: str, depth: int) -> None:
    data, bits = DEEP[name]
    largest = check(data, 10**6).largest
    assert largest == (4095 if bits is None else None)
    found = decode(data, 3, Decoding(GROUND, depth))
    rounding = 1 if "alpha" in name else 0.5
    assert np.abs(found - wanted(name, bits or depth)).max() <= rounding
    assert decode(data, 1, Decoding(GROUND, depth)).shape == (*found.shape[:2], 1)


@pytest.mark.parametrize("white", [1, 15, 100, 255, 300, 65535])
def test_portable_greys_go_up_to_what_the_file_says(white: int) -> None:
    values = np.random.default_rng(0).integers(0, white + 1, (zoo.HEIGHT, zoo.WIDTH))
    found = decode(zoo.portable(b"P5", values, white), 1)[..., 0]
    assert np.abs(found - values * (255 / white)).max() <= 0.5
    text = f"P2 {zoo.WIDTH} {zoo.HEIGHT} {white}\n" + " ".join(map(str, values.reshape(-1)))
    assert apart(decode(text.encode(), 1)[..., 0], found) <= 1


@pytest.mark.parametrize("mode", ["RGBA", "CMYK"])
@pytest.mark.parametrize("white", [100, 4095])
def test_pillows_own_portable_modes_are_refused_unless_of_8_bits(mode: str, white: int) -> None:
    samples = np.random.default_rng(0).integers(0, 100, (3, 5, 4)).astype(np.uint8)
    of_8_bits = f"Py{mode} 5 3 255\n".encode() + samples.tobytes()
    picture = PIL.Image.fromarray(samples, mode)
    assert apart(decode(of_8_bits, 3, Decoding(GROUND)), np.asarray(shown_as(picture))) == 0
    kind = ">u2" if white > 255 else "u1"
    other = f"Py{mode} 5 3 {white}\n".encode() + samples.astype(kind).tobytes()
    with pytest.raises(ValueError, match=f"has {mode} samples up to {white}; convert it to"):
        check(other, 100)


def test_white_in_deep_colours_of_jpeg_2000_is_white() -> None:
    pixels = zoo.twelve_bits() * 16
    pixels[:9] = 65535
    data = cv2.imencode(".jp2", pixels, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()
    check(data, 10**6)
    assert apart(decode(data, 3), np.rint(pixels[..., ::-1] / 257)) <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_clear_grey_of_any_depth_shows_the_ground(bits: int) -> None:
    """Of fewer than 8 bits Pillow scales the samples, and not the grey that it compares them to."""
    values = (np.arange(zoo.HEIGHT * 8).reshape(-1, 8) % 2**bits).astype(np.uint8)
    spread = np.unpackbits(values[..., None], axis=2)[..., -bits:].reshape(zoo.HEIGHT, -1)
    key = 2**bits // 2
    # As the specification has it, only the lower bits count.
    clear = b"tRNS", struct.pack(">H", key | 256)
    data = bytearray(zoo.png(np.packbits(spread, axis=1), 0, clear))
    data[16:20], data[24] = struct.pack(">I", 8), bits
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    check(bytes(data), 10**6)
    wanted = np.rint(values * (255 / (2**bits - 1)))[..., None].repeat(3, 2)
    wanted[values == key] = GROUND
    assert apart(decode(bytes(data), 3, Decoding(GROUND)), wanted) == 0


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_of_no_known_range_are_refused(mode: str) -> None:
    data = zoo.saved(PIL.Image.new(mode, (9, 9)), "TIFF")
    with pytest.raises(ValueError, match="convert it to 8 or 16 bits without a sign"):
        check(data, 100)


def test_copies_of_another_depth_look_the_same() -> None:
    """The hash is known before the data set's depth is, and does not depend on it."""
    grey = zoo.twelve_bits()[..., 0]
    eight = np.rint(grey * (255 / 4095)).astype(np.uint8)
    sixteen = np.rint(grey * (65535 / 4095)).astype(np.uint16)
    hashes = [inspect(zoo.png(each, 0), 10**6).phash for each in (eight, grey, sixteen)]
    assert (hashes[0] ^ hashes[1]).bit_count() <= 2
    assert (hashes[1] ^ hashes[2]).bit_count() <= 2


def test_sizes_are_seen_before_any_memory_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebP's canvas, which Pillow allocates when it opens the file, among them."""
    canvas = b"VP8X" + (10).to_bytes(4, "little") + bytes([2, 0, 0, 0]) + b"\xff\x3f\0" * 2
    webp = bytearray(SHALLOW["WEBP of two frames"])
    assert webp[12:16] == b"VP8X"
    webp[12:30] = canvas
    with monkeypatch.context() as patch:
        patch.setattr(PIL.Image, "open", None)
        with pytest.raises(ValueError, match="has 16384 x 16384 pixels"):
            check(bytes(webp), 10**6)
    for name, data in SHALLOW.items():
        with pytest.raises(ValueError, match=r"pixels, more than data\.max_pixels"):
            check(data, zoo.HEIGHT * zoo.WIDTH - 1)
        assert check(data, zoo.HEIGHT * zoo.WIDTH), name


def test_a_chunk_that_leads_out_of_the_file_is_not_given_to_opencv() -> None:
    """It would take as much memory as the chunk declares."""
    files = (SHALLOW["PNG RGB"], DEEP["PNG RGB"][0])
    for data, name in itertools.product(files, (b"IDAT", b"IEND")):
        broken = bytearray(data)
        start = broken.index(name) - 4
        broken[start : start + 4] = (2**30).to_bytes(4)
        assert plain(bytes(broken)) is None
        try:
            check(bytes(broken), 10**6)
        except ValueError:
            continue
        assert apart(decode(bytes(broken), 3), decode(data, 3)) == 0
