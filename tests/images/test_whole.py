"""One decoding by OpenCV says of every file, damaged or not, what Pillow's and its own said."""

import hashlib
import zlib
from typing import Any

import imagehash
import numpy as np
import PIL.Image
import pytest

from benchmarks import mutated_images, zoo
from foldwise.images import decode as decoding
from foldwise.images.decode import Checked, Inspected, check, decode, inspect
from foldwise.images.decoding import Decoding
from foldwise.images.headers import plain
from foldwise.images.whole import is_whole

FILES = [each for each in mutated_images.FILES if plain(each[1])]
LIMIT = 10**6
KNOWN = Decoding((9, 80, 7))


def said(data: bytes) -> list[Checked | Inspected | str]:
    """The verdicts of `check` and of `inspect`, with the facts that they find."""
    found: list[Checked | Inspected | str] = []
    for verdict in (lambda: check(data, LIMIT), lambda: inspect(data, LIMIT, KNOWN)):
        try:
            found.append(verdict())
        except ValueError as error:
            found.append(str(error))
    return found


def by_two_decodings(data: bytes) -> list[Checked | Inspected | str]:
    """The same, with Pillow as the judge of every file, and the hash of what is trained on."""
    try:
        (pixels,), largest = decoding._by_pillow(data, [3], Decoding(), LIMIT)
    except ValueError as error:
        return [str(error)] * 2
    height, width = pixels.shape[:2]
    depth = 16 if largest is None else decoding.bits_of(largest)
    grey = decode(data, 1, Decoding(KNOWN.ground, depth))[..., 0]
    phash = int(str(imagehash.phash(PIL.Image.fromarray(grey))), 16)
    if not np.ptp(grey):
        phash = int.from_bytes(hashlib.sha256(data).digest()[:8])
    return [Checked(height, width, largest), Inspected(height, width, phash, largest)]


def test_whole_files_take_one_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [by_two_decodings(data) for _, data in FILES]
    monkeypatch.setattr(decoding, "_by_pillow", None)
    for (name, data), each in zip(FILES, wanted, strict=True):
        assert said(data) == each, name


def test_other_files_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [each for each in mutated_images.FILES if not plain(each[1])]
    wanted = [by_two_decodings(data) for _, data in others]
    calls: list[int] = []
    by_pillow = decoding._by_pillow

    def counted(data: bytes, *args: Any, **more: Any) -> Any:
        calls.append(len(data))
        return by_pillow(data, *args, **more)

    monkeypatch.setattr(decoding, "_by_pillow", counted)
    for (name, data), each in zip(others, wanted, strict=True):
        assert said(data) == each, name
    assert len(calls) == 2 * len(others)


def test_damaged_files_get_the_verdict_of_two_decodings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutated_images, "FILES", FILES)
    taken = let_through = 0
    for number in range(400):
        _, damages, data = mutated_images.mutated(number)
        found = said(data)
        assert found == by_two_decodings(data), (number, damages)
        taken += decoding._in_one_pass(data, 1, plain(data), LIMIT) is not None
        let_through += not isinstance(found[0], str)
    assert let_through > 60
    assert taken > 0.7 * let_through


def rebuilt(content: bytes) -> bytes:
    """A PNG file of 5 x 4 greys with this as its pixels' stream, all sums of chunks right."""
    whole = zoo.png(np.zeros((4, 5), np.uint8), 0)
    start = whole.index(b"IDAT") - 4
    return whole[:start] + zoo.chunk(b"IDAT", content) + zoo.chunk(b"IEND", b"")


def test_pixels_of_png_are_counted_behind_right_sums() -> None:
    rows = bytes(range(24))[:6] + b"\0abcde" * 3
    stream = zlib.compress(rows)
    assert is_whole(rebuilt(stream))
    wrong_sum = stream[:-1] + bytes([stream[-1] ^ 1])
    unknown_filter = zlib.compress(b"\5" + rows[1:])
    bomb = zlib.compress(bytes(1 << 24))
    for other in (
        *(zlib.compress(rows[:-1]), zlib.compress(rows + b"\0"), stream[:-5], stream + b"\0"),
        *(wrong_sum, unknown_filter, bomb, b""),
    ):
        assert not is_whole(rebuilt(other))
    flipped = bytearray(rebuilt(stream))
    for position in (17, 30, 45, len(flipped) - 1):
        damaged = flipped.copy()
        damaged[position] ^= 1
        assert not is_whole(bytes(damaged))


def test_a_second_scan_behind_a_whole_one_is_not_whole() -> None:
    """OpenCV has all rows before it comes there; Pillow refuses it."""
    data = dict(FILES)["JPEG RGB"]
    scan = data.index(b"\xff\xda")
    twice = data[:-2] + data[scan:]
    assert decode(twice, 3).shape == (zoo.HEIGHT, zoo.WIDTH, 3)
    assert not is_whole(twice)
    with pytest.raises(ValueError, match="broken data stream"):
        check(twice, LIMIT)


@pytest.mark.parametrize("cut", [1, 2, 3, 40])
def test_files_that_are_cut_off_are_not_whole(cut: int) -> None:
    for name, data in FILES:
        assert is_whole(data), name
        assert not is_whole(data[:-cut]), name
