"""The stage `fetch`: what goes in comes out, what is bad does not, a kill leaves nothing."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.images.store import ImageStore
from stages import fetch
from tests.conftest import TINY, Project, environment
from tests.pictures import picture, write


def run_fetch(folder: Path, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "params.yaml").write_text(
        yaml.safe_dump(TINY | {"data": {"extra_path": "data/extra"} | data})
    )
    fetch.main()


NAMES = st.text(
    st.characters(categories=["L", "N"], exclude_characters="/"), min_size=1, max_size=8
)
CLASSES = ["cat", "dog", "a b", "x;y", '"', "10", "9", "ß"]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], pd.DataFrame]:
    """File names, and labels 0, 1 or -1 of some classes."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique_by=str.casefold))
    classes = draw(st.lists(st.sampled_from(CLASSES), min_size=1, unique=True))
    cells = st.sampled_from([0, 1, -1])
    # A class that no image shows would be refused.
    names.append("shows everything")
    rows = draw(
        st.lists(
            st.lists(cells, min_size=len(classes), max_size=len(classes)),
            min_size=len(names) - 1,
            max_size=len(names) - 1,
        )
    )
    rows.append([1] * len(classes))
    return names, pd.DataFrame(rows, columns=classes)


@given(tables(), st.sampled_from(["csv", "parquet"]))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_table_comes_back(
    monkeypatch: pytest.MonkeyPatch, given: tuple[list[str], pd.DataFrame], kind: str
) -> None:
    names, labels = given
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        write(root, {f"in/i/{name}.png": index for index, name in enumerate(names)})
        table = labels.assign(file=names)
        if kind == "csv":
            table.to_csv(root / "in/t.csv", index=False)
        else:
            table.to_parquet(root / "in/t.parquet")
        described = {"file": f"t.{kind}", "images": "i", "suffix": ".png", "labels": "columns"}
        with monkeypatch.context() as patch:
            run_fetch(root, {"source": "table", "path": "in", "table": described}, patch)
            back = files.read_labels()
            store = ImageStore(files.IMAGES)
            assert store.ids == back["id"].tolist() == names
            assert files.read_dataset()["classes"] == list(labels.columns)
            assert np.array_equal(back[labels.columns], labels)
            for index, id in enumerate(store.ids):
                assert store.data(id) == picture(index)
                assert store.table["height"][index] == 24


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A folder of classes with one of everything that is no good image."""
    whole = picture(1)
    write(
        tmp_path,
        {
            "in/a/good.png": 1,
            "in/a/good.jpg": 2,
            "in/b/good.png": 3,
            "in/a/cut.png": whole[: len(whole) // 2],
            "in/a/cut.jpg": picture(4, ".jpg")[:-200],
            "in/a/notes.txt": "no image",
            "in/a/empty.png": "",
            "in/a/garbled.png": whole[:60] + bytes(100) + whole[160:],
        },
    )
    Image.new("1", (3000, 2000)).save(tmp_path / "in/b/vast.png")
    return tmp_path


BAD = {
    "in/a/cut.png": "does not decode",
    "in/a/cut.jpg": "does not decode",
    "in/a/notes.txt": "is no image",
    "in/a/empty.png": "is no image",
    "in/a/garbled.png": "does not decode",
    "in/b/vast.png": "has 3000 x 2000 pixels, more than data.max_pixels",
}


def test_every_bad_image_is_named_at_once(bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"source": "folder", "path": "in", "max_pixels": 5_000_000}
    with pytest.raises(UserError) as error:
        run_fetch(bad, data, monkeypatch)
    told = dict(line.split(": ", 1) for line in error.value.args)
    assert told.keys() == BAD.keys()
    for name, why in BAD.items():
        assert told[name].startswith(why)
        assert "replace or remove it, or set data.on_error: skip" in told[name]
    assert list((bad / "data").iterdir()) == []


def test_bad_images_are_left_out_and_recorded(bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"source": "folder", "path": "in", "max_pixels": 5_000_000, "on_error": "skip"}
    run_fetch(bad, data, monkeypatch)
    dropped = files.read_dataset()["dropped"]
    assert {each["image"] for each in dropped} == BAD.keys()
    assert all(each["reason"].startswith(BAD[each["image"]]) for each in dropped)
    assert files.read_labels()["id"].tolist() == ["a/good.jpg", "a/good.png", "b/good.png"]
    assert files.read_labels()["b"].tolist() == [0, 0, 1]
    assert ImageStore(files.IMAGES).ids == files.read_labels()["id"].tolist()
    assert files.read_dataset()["images"] == {"train": 3}


def test_rows_and_images_without_each_other_may_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"in/i/a.png": 1, "in/i/b.png": 2, "in/t.csv": "file,x\na.png,1\nc.png,1\n"})
    table = {"file": "t.csv", "images": "i", "labels": "columns"}
    data = {"source": "table", "path": "in", "table": table, "on_error": "skip"}
    run_fetch(tmp_path, data, monkeypatch)
    assert files.read_labels()["id"].tolist() == ["a.png"]
    assert len(files.read_dataset()["dropped"]) == 2


def test_the_first_twenty_problems_and_how_many_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {f"in/a/{index}.png": "no image" for index in range(33)})
    write(tmp_path, {"in/b/good.png": 1})
    with pytest.raises(UserError) as error:
        run_fetch(tmp_path, {"source": "folder", "path": "in"}, monkeypatch)
    assert len(error.value.args) == 21
    assert error.value.args[-1].startswith("13 more problems")


def test_tables_and_images_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"in/i/a.png": "", "in/i/b.png": 2, "in/t.csv": "file,x\na.png,7\nb.png,8\n"})
    table = {"file": "t.csv", "images": "i", "labels": "columns"}
    with pytest.raises(UserError) as error:
        run_fetch(tmp_path, {"source": "table", "path": "in", "table": table}, monkeypatch)
    assert [line.split(": ")[1] for line in error.value.args[:2]] == [
        "row 2, column 'x'",
        "row 3, column 'x'",
    ]
    assert "a.png: is no image" in error.value.args[2]


def test_a_class_that_nothing_shows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"in/i/a.png": 1, "in/t.csv": "file,x,y,z\na.png,1,0,-1\n"})
    table = {"file": "t.csv", "images": "i", "labels": "columns"}
    with pytest.raises(UserError) as error:
        run_fetch(tmp_path, {"source": "table", "path": "in", "table": table}, monkeypatch)
    assert [line.split(": ")[1] for line in error.value.args] == ["class 'y'", "class 'z'"]


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_that_is_left_empty_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    write(tmp_path, {"in/train/a/0.png": 0, "in/train/b/0.png": "", "in/test/a/1.png": 1})
    (tmp_path / f"in/{part}/a").joinpath("0.png" if part == "train" else "1.png").write_text("")
    data = {"source": "folder", "path": "in", "on_error": "skip"}
    with pytest.raises(UserError, match=f"in: no image is left in the {part} part"):
        run_fetch(tmp_path, data, monkeypatch)


def test_every_format_that_both_decoders_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    for suffix in ("png", "jpg", "bmp", "webp", "tiff"):
        path = tmp_path / f"in/a/x.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)
    write(tmp_path, {"in/b/other.png": 1})
    for mode in ("L", "1", "P", "RGBA", "I;16"):
        Image.new(mode, (30, 20)).save(tmp_path / f"in/a/{mode.replace(';', '')}.png")
    run_fetch(tmp_path, {"source": "folder", "path": "in"}, monkeypatch)
    store = ImageStore(files.IMAGES)
    assert len(store) == 11
    assert {store.pixels(id, 3).shape for id in store.ids[:10]} == {(20, 30, 3)}
    assert len({store.table["phash"][store.ids.index(f"a/x.{s}")] for s in ("png", "bmp")}) == 1


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_nothing_half_written(project: Project) -> None:
    """SIGKILL while it writes; the next run is as if nothing had been."""
    params = yaml.safe_load((project.path / "params.yaml").read_text())
    params["data"]["glyphs"]["images"] = {"train": 3000, "test": 10}
    project.write_params(params)
    command = [sys.executable, "-m", "stages.fetch"]
    process = subprocess.Popen(command, cwd=project.path, env=environment())
    partial = project.path / "data/.images.partial"
    deadline = time.monotonic() + 60
    while not list(partial.glob("*.arrow")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (project.path / "data/images").exists()
    assert not (project.path / "data/labels.parquet").exists()
    params["data"]["glyphs"]["images"] = {"train": 30, "test": 10}
    project.write_params(params)
    project.stage("fetch")
    assert not partial.exists()
    assert len(ImageStore(project.path / "data/images")) == 40
