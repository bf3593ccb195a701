"""Damaged image files, each decoded in a process of its own: `python -m benchmarks.mutated_images`.

Takes files of all formats, modes and depths (`benchmarks/zoo.py`), damages each in one to three
ways, and checks and decodes the result in a process whose memory is limited and measured. Prints,
as Markdown, how many were refused, decoded, let through by the check and then not decoded, or ended
their process, on how many Pillow's own decoding says another thing than the check, for how many the
check needed OpenCV's alone, and the largest memory. Arguments: how many images (20,000), and
`plain` for those alone that OpenCV decodes.
"""

import os
import resource
import signal
import struct
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from multiprocessing import Pool
from typing import Any, Literal

import cv2
import numpy as np
import PIL.Image

from benchmarks import zoo
from benchmarks.machine import machine
from foldwise.images.decode import MAX_PIXELS, _by_pillow, _in_one_pass, check, decode
from foldwise.images.decoding import Decoding
from foldwise.images.headers import plain


def of_many_scans() -> Iterator[tuple[str, bytes]]:
    """Further kinds of JPEG files, of a smooth picture and of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    options: list[dict[str, Any]] = [
        {"progressive": True},
        {"progressive": True, "restart_marker_blocks": 3},
        {"restart_marker_rows": 1},
        {"restart_marker_blocks": 2, "subsampling": 0},
        {"optimize": True, "quality": 95, "comment": b"a remark"},
    ]
    for picture in (PIL.Image.fromarray(zoo.colours()), PIL.Image.fromarray(noise)):
        for mode in ("L", "RGB"):
            for each in options:
                name = f"JPEG {mode} {' '.join(each)}"
                yield name, zoo.saved(picture.convert(mode), "JPEG", **each)


FILES = [*zoo.shallow(), *of_many_scans(), *((name, data) for name, data, _ in zoo.deep())]
LIMIT = 4 << 30
"""Bytes of address space that a process may have."""
SECONDS = 60
"""Of computing, after which a process is ended."""
DECODINGS = (Decoding(), Decoding((0, 0, 0), 12))
OUTCOMES = (
    "refused",
    "decoded",
    "let through, not decoded",
    "unlike Pillow",
    "out of memory",
    "crashed",
)
ONE_PASS = "decoded, in one pass"


ORDERS: tuple[Literal["big"], Literal["little"]] = ("big", "little")


def flipped(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Some bits."""
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return data


def overwritten(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A few bytes, most of them near the start, where headers are."""
    start = int(len(data) * rng.random() ** 3)
    length = int(rng.integers(1, 9))
    new = rng.choice([b"\0", b"\xff", b"\x7f", rng.bytes(1)]) * length
    data[start : start + length] = new[: len(data) - start]
    return data


def cut_off(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(1, len(data))]


def lengthened(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A number that could be a length, or an offset, becomes another."""
    size = int(rng.choice([2, 4]))
    order = ORDERS[rng.integers(2)]
    places = [
        start
        for start in range(min(len(data), 400) - size)
        if 0 < int.from_bytes(data[start : start + size], order) <= len(data)
    ]
    if places:
        start = int(rng.choice(places))
        top = 1 << 8 * size
        new = (0, 1, len(data), top // 8, top // 2 - 1, top - 1, int(rng.integers(top)))[
            rng.integers(7)
        ]
        data[start : start + size] = new.to_bytes(size, order)
    return data


def resized(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A number that could be the height or width becomes another."""
    side = int(rng.choice([zoo.HEIGHT, zoo.WIDTH, zoo.HEIGHT - 1, zoo.WIDTH - 1]))
    size, order = int(rng.choice([2, 3, 4])), ORDERS[rng.integers(2)]
    place = data.find(side.to_bytes(size, order))
    if place >= 0:
        new = int(2 ** rng.uniform(0, 8 * size)) if rng.random() < 0.5 else int(rng.integers(9000))
        data[place : place + size] = min(new, (1 << 8 * size) - 1).to_bytes(size, order)
    return data


def marked(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Bytes of the latter part, where pixels are, become what could begin or end something."""
    for _ in range(rng.integers(1, 5)):
        place = int(len(data) * (1 - 0.9 * rng.random() ** 2)) - 1
        data[place] = int(rng.choice([0x00, 0xFF, 0xD9, 0xC4, 0xDA, 0xD3, int(rng.integers(256))]))
    return data


def swapped(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Two pieces change places."""
    a, b, c = sorted(rng.integers(0, len(data), 3).tolist())
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def repeated(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A piece comes twice, or not at all."""
    a, b = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:b] + data[a:] if rng.random() < 0.5 else data[:a] + data[b:]


def spliced(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The head of one file, the tail of another."""
    other = FILES[rng.integers(len(FILES))][1]
    return data[: rng.integers(len(data))] + other[rng.integers(len(other)) :]


DAMAGES: list[Callable[[bytearray, np.random.Generator], bytearray]] = [
    *(flipped, overwritten, cut_off, lengthened, resized, marked, swapped, repeated, spliced),
]


def mended(data: bytearray) -> bytearray:
    """With the checksums of a PNG file's chunks made right, so that damage gets past them."""
    offset = 8
    while data[:4] == b"\x89PNG" and offset + 12 <= len(data):
        end = offset + 8 + struct.unpack_from(">I", data, offset)[0]
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[offset + 4 : end]))
        offset = end + 4
    return data


def mutated(number: int) -> tuple[str, str, bytes]:
    """The format, the damages, and the file of a number."""
    rng = np.random.default_rng(number)
    name, data = FILES[number % len(FILES)]
    found = bytearray(data)
    damages = [DAMAGES[index] for index in rng.integers(len(DAMAGES), size=rng.integers(1, 4))]
    for damage in damages:
        if len(found) > 1:
            found = damage(found, rng)
    if rng.random() < 0.7:
        found = mended(found)
    return name.split()[0], " + ".join(each.__name__ for each in damages), bytes(found)


def of_pillow(data: bytes) -> tuple[int, int] | str:
    """Height and width by Pillow's decoding, or why it refuses the file."""
    try:
        (pixels,), _ = _by_pillow(data, [3], Decoding(), MAX_PIXELS)
    except ValueError as error:
        return str(error)
    return pixels.shape[0], pixels.shape[1]


def tried(data: bytes) -> str:
    """What becomes of a file: one of `OUTCOMES`, with the reason behind a colon."""
    try:
        checked = check(data, MAX_PIXELS)
    except ValueError as error:
        if isinstance(error.__context__, MemoryError):
            return f"out of memory: {error!r}"
        if str(error) != of_pillow(data):
            return f"unlike Pillow: {error!r}, not {of_pillow(data)}"
        return "refused"
    if (checked.height, checked.width) != of_pillow(data):
        return f"unlike Pillow: {checked}, not {of_pillow(data)}"
    for decoding in DECODINGS:
        for channels in (1, 3):
            try:
                pixels = decode(data, channels, decoding)
            except Exception as error:
                return f"let through, not decoded: {error!r}"
            if pixels.shape != (checked.height, checked.width, channels):
                return f"let through, not decoded: {pixels.shape}, not {checked}"
    return "decoded" if _in_one_pass(data, 3, plain(data), MAX_PIXELS) is None else ONE_PASS


def measured(number: int) -> tuple[int, str, str, str, int, float]:
    """Of a number: itself, format, damages, outcome, peak memory in bytes, seconds of computing."""
    format, damages, data = mutated(number)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            said = tried(data)
        except BaseException as error:
            said = f"crashed: {error!r}"
        os.write(write, said.encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    _, status, usage = os.wait4(child, 0)
    if os.WIFSIGNALED(status) or not said:
        ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status
        said = f"crashed: {ended}"
    return number, format, damages, said, usage.ru_maxrss << 10, usage.ru_utime + usage.ru_stime


def main(images: int) -> None:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    peaks: Counter[str] = Counter()
    slowest: Counter[str] = Counter()
    with Pool(os.cpu_count()) as pool:
        base = max(each[4] for each in pool.imap(measured, range(len(FILES))))
        for number, format, damages, said, peak, seconds in pool.imap_unordered(
            measured, range(images), 50
        ):
            outcome = said.partition(":")[0]
            if outcome == ONE_PASS:
                counts[format]["one pass"] += 1
                outcome = "decoded"
            counts[format][outcome] += 1
            peaks[format] = max(peaks[format], peak)
            slowest[format] = max(slowest[format], round(1000 * seconds))
            if outcome not in ("refused", "decoded") or peak > base + (1 << 30):
                print(number, format, damages, said, f"{peak >> 20} MiB", file=sys.stderr)
    print(f"{images:,} images. {machine()} OpenCV {cv2.__version__}, Pillow {PIL.__version__}.\n")
    columns = [*OUTCOMES, "one pass"]
    print(f"| format | {' | '.join(columns)} | largest memory, MiB | slowest, ms |")
    print("|---|" + "--:|" * (len(columns) + 2))
    total: Counter[str] = Counter()
    for format in sorted(counts):
        total += counts[format]
        shown = " | ".join(f"{counts[format][each]:,}" for each in columns)
        print(f"| {format} | {shown} | {peaks[format] >> 20:,} | {slowest[format]:,} |")
    shown = " | ".join(f"{total[each]:,}" for each in columns)
    print(f"| all | {shown} | {max(peaks.values()) >> 20:,} | {max(slowest.values()):,} |")


if __name__ == "__main__":
    if "plain" in sys.argv:
        FILES[:] = [each for each in FILES if plain(each[1])]
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
