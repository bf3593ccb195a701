"""The Arrow image store."""

import hashlib
import pickle
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.core.errors import UserError
from foldwise.images.decode import Inspected, decode, inspect
from foldwise.images.store import ImageStore, ImageWriter

SEEN = Inspected(1, 1, 0)


def encoded(pixels: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, pixels)[1].tobytes()


@pytest.mark.slow
@given(
    st.dictionaries(st.text(min_size=1), st.binary(max_size=40), min_size=1, max_size=30),
    st.integers(1, 200),
    st.integers(1, 80),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(
    images: dict[str, bytes], shard_bytes: int, batch_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store"
        with ImageWriter(path, shard_bytes, batch_bytes) as writer:
            for id, data in images.items():
                writer.add(id, data, Inspected(1, 2, 3))
        store = pickle.loads(pickle.dumps(ImageStore(path)))
        assert store.ids == list(images)
        assert len(store) == len(images)
        for id, data in images.items():
            assert store.data(id) == data
            assert store.sha256()[id] == hashlib.sha256(data).hexdigest()


def test_shards_keep_to_their_size(tmp_path: Path) -> None:
    with ImageWriter(tmp_path / "store", shard_bytes=1000, batch_bytes=100) as writer:
        for index in range(50):
            writer.add(str(index), b"x" * 90, SEEN)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "store").iterdir())]
    assert len(sizes) == 5
    assert (tmp_path / "store/shard-00000.arrow").exists()


def test_a_repeated_id_is_refused(tmp_path: Path) -> None:
    with ImageWriter(tmp_path / "store") as writer:
        writer.add("7", b"a", SEEN)
        with pytest.raises(UserError, match="'7': appears twice"):
            writer.add("7", b"b", SEEN)


def test_no_or_damaged_shards_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no images"):
        ImageStore(tmp_path)
    (tmp_path / "shard-00000.arrow").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"shard-00000\.arrow: is damaged"):
        ImageStore(tmp_path)


def test_decode_gives_grey_or_rgb() -> None:
    pixels = np.zeros((5, 7, 3), np.uint8)
    pixels[..., 2] = 255  # OpenCV writes blue, green, red
    data = encoded(pixels)
    assert decode(data, 3)[0, 0].tolist() == [255, 0, 0]
    assert decode(data, 1).shape == (5, 7, 1)
    assert decode(data, 1)[0, 0, 0] == 76
    seen = inspect(data, 35)
    assert (seen.height, seen.width) == (5, 7)


def test_images_that_look_different_hash_differently() -> None:
    """16 bits of grey, too; images of one colour are alike only if their bytes are."""
    rng = np.random.default_rng(0)
    deep = [inspect(encoded(rng.integers(0, 65535, (40, 40), np.uint16)), 9999) for _ in range(5)]
    assert len({each.phash for each in deep}) == 5
    assert inspect(encoded(np.zeros((9, 9), np.uint8)), 99).phash != (
        inspect(encoded(np.zeros((9, 8), np.uint8)), 99).phash
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_images_and_other_files_are_refused(suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    data = encoded(pixels, suffix)
    assert inspect(data, 1600).width == 40
    for cut in (len(data) // 2, len(data) - 40, 30):
        with pytest.raises(ValueError, match=r"does not decode|is no image"):
            inspect(data[:cut], 1600)
    for wrong in (b"", b"GIF89a", b"<html></html>", bytes(200)):
        with pytest.raises(ValueError, match=r"does not decode|is no image"):
            inspect(wrong, 1600)


def test_every_byte_that_matters_is_checked(tmp_path: Path) -> None:
    """A damaged shard is refused, or gives what it gave: never other images or other facts."""
    with ImageWriter(tmp_path / "whole", batch_bytes=300) as writer:
        for index in range(12):
            writer.add(f"image {index}", bytes([index]) * 90, Inspected(index, 2, index << 40))
    whole = ImageStore(tmp_path / "whole")
    content = (tmp_path / "whole/shard-00000.arrow").read_bytes()
    (tmp_path / "damaged").mkdir()
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(content), 300).tolist():
        changed = bytearray(content)
        changed[place] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "damaged/shard-00000.arrow").write_bytes(changed)
        said = ""
        try:
            store = ImageStore(tmp_path / "damaged")
            found = [store.data(id) for id in whole.ids]
        except UserError as error:
            said = str(error)
            refused += 1
        else:
            assert store.table.equals(whole.table)
            assert found == [whole.data(id) for id in whole.ids]
        assert not said or ": is damaged (" in said
        assert not said or "`dvc repro --force --single-item fetch` brings it back" in said
    assert refused > 200
    with pytest.raises(UserError, match=r"whole: is damaged \(it has no image 'other'\)"):
        whole.rows(["other"])
