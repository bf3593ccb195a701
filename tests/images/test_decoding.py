"""The decoding of a data set: where it is kept, and who goes by it."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import zoo
from foldwise.core.errors import UserError
from foldwise.images.decode import inspect
from foldwise.images.decoding import FILE, Decoding, write_decoding
from foldwise.images.store import ImageStore, ImageWriter

DEEP = zoo.png(zoo.twelve_bits()[..., 0].copy(), 0)
CLEAR = zoo.png(np.dstack([zoo.colours(), zoo.alpha()]), 6)


def store_of(folder: Path, decoding: Decoding) -> ImageStore:
    with ImageWriter(folder) as writer:
        for id, data in {"deep": DEEP, "clear": CLEAR}.items():
            writer.add(id, data, inspect(data, 10**6))
        assert writer.deep == {12: 1}
        assert writer.largest == 4095
    write_decoding(folder, decoding)
    return ImageStore(folder)


def test_a_store_decodes_as_it_was_told_in_every_process(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", Decoding((10, 20, 30), 12))
    for each in (store, pickle.loads(pickle.dumps(store))):
        assert each.pixels("deep", 1).max() == 255
        assert each.pixels("clear", 3)[0, 0].tolist() == [10, 20, 30]


def test_the_default_leaves_no_trace(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", Decoding())
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".arrow"]
    assert store.pixels("deep", 1).max() == 16
    assert store.pixels("clear", 3)[0, 0].tolist() == [255, 255, 255]
    assert store.sha256() == store.table.set_index("id")["sha256"].to_dict()


def test_what_is_kept_of_images_goes_by_their_decoding(tmp_path: Path) -> None:
    """Features and checkpoints of other pixels are not taken for theirs."""
    decodings = [Decoding(), Decoding(depth=12), Decoding(depth=13), Decoding((0, 0, 0))]
    stores = [store_of(tmp_path / str(index), each) for index, each in enumerate(decodings)]
    assert len({store.sha256()["deep"] for store in stores}) == len(decodings)


WHOLE = Decoding((1, 2, 3), 9).to_json()
WRONG: list[Any] = [
    *([], "9", {}, {"depth": 9}, {"ground": [1, 2, 3]}),
    *(WHOLE | {"ground": each} for each in (3, None, [1, 2], [1, 2, 3, 4], "abc", {"r": 1})),
    *(WHOLE | {"ground": [0, each, 0]} for each in (-1, 256, 1.0, "1", True, None)),
    *(WHOLE | {"depth": each} for each in (7, 17, 0, 12.0, "12", True, None, [9])),
]


@pytest.mark.parametrize("content", WRONG, ids=str)
def test_what_is_no_decoding_is_no_decoding(content: Any) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]*`(decoding|ground|depth)`[^\n]*\Z"):
        Decoding.from_json(content)


@pytest.mark.parametrize("text", ["", "null", *map(json.dumps, WRONG)])
def test_a_damaged_decoding_is_named(tmp_path: Path, text: str) -> None:
    store_of(tmp_path / "store", Decoding())
    (tmp_path / "store" / FILE).write_text(text)
    with pytest.raises(UserError, match=r"decoding\.json: is damaged"):
        ImageStore(tmp_path / "store")


def test_json_brings_it_back() -> None:
    for each in (Decoding(), Decoding((1, 2, 3), 9)):
        assert Decoding.from_json(json.loads(json.dumps(each.to_json()))) == each
    assert Decoding.from_json(WHOLE | {"deep_images": 3}) == Decoding((1, 2, 3), 9)
    assert Decoding.from_json(None) == Decoding()
