"""How many bits of a data set's 16-bit samples count, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import zoo
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.images.store import ImageStore
from tests.pictures import write
from tests.stages.test_fetch import run_fetch


def grey(largest: int, seed: int) -> bytes:
    """A PNG of 16-bit greys up to a largest one."""
    values = np.random.default_rng(seed).integers(0, largest, (24, 24)).astype(np.uint16)
    values[0, 0] = largest
    return zoo.png(values, 0)


@pytest.fixture
def set_of_two(tmp_path: Path) -> Path:
    return write(tmp_path, {"in/a/0.png": grey(3000, 0), "in/b/1.png": grey(900, 1)})


def fetched(folder: Path, monkeypatch: pytest.MonkeyPatch, **data: Any) -> dict[str, Any]:
    """What dataset.json says of the decoding."""
    run_fetch(folder, {"source": "folder", "path": "in"} | data, monkeypatch)
    return files.read_dataset().get("decoding", {})


def test_auto_takes_the_fewest_bits_that_hold_all(
    set_of_two: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fetched(set_of_two, monkeypatch)
    assert said == {"ground": [255, 255, 255], "depth": 12, "deep_images": 2}
    line = "2 images have 16-bit samples, the largest 3000: taken for 12 bits; data.depth says"
    assert line in capsys.readouterr().err
    store = ImageStore(files.IMAGES)
    assert store.pixels("a/0.png", 1).max() == round(3000 * 255 / 4095)
    assert store.pixels("b/1.png", 1).max() == round(900 * 255 / 4095)


def test_a_written_depth_stands_and_what_it_cuts_is_told(
    set_of_two: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetched(set_of_two, monkeypatch, depth=14)["depth"] == 14
    assert "16-bit" not in capsys.readouterr().err
    assert fetched(set_of_two, monkeypatch, depth=10)["depth"] == 10
    assert "more than the 10 bits of data.depth in 1 of them" in capsys.readouterr().err
    assert ImageStore(files.IMAGES).pixels("a/0.png", 1).max() == 255


def test_a_ground_is_told_and_nothing_where_nothing_was_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = zoo.png(np.dstack([zoo.colours(), zoo.alpha()]), 6)
    write(tmp_path, {"in/a/0.png": clear, "in/b/1.png": 1})
    assert fetched(tmp_path, monkeypatch) == {}
    assert fetched(tmp_path, monkeypatch, ground=[9, 8, 7])["ground"] == [9, 8, 7]
    assert ImageStore(files.IMAGES).pixels("a/0.png", 3)[0, 0].tolist() == [9, 8, 7]
    assert json.loads((files.IMAGES / "decoding.json").read_text())["ground"] == [9, 8, 7]


@pytest.mark.parametrize(
    ("key", "value"), [("depth", 7), ("depth", "all"), ("ground", [0, 0]), ("ground", [0, 0, 256])]
)
def test_other_values_are_refused(
    set_of_two: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: Any
) -> None:
    with pytest.raises(UserError, match=rf"data\.{key}"):
        fetched(set_of_two, monkeypatch, **{key: value})
