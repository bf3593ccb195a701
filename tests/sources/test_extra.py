"""Extra sources: their classes become ours, and what does not fit is refused in a line."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from foldwise.composing.composer import Composer
from foldwise.composing.glyph_set import GlyphSet
from foldwise.composing.kept import Composed, all_composed, read_composed, write_composed
from foldwise.composing.settings import Compose
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.images.store import ImageStore
from foldwise.sources.glyphs.sets import digits
from stages import fetch
from tests.conftest import TINY
from tests.pictures import picture, write

Sections = dict[str, Any]

MULTICLASS: Sections = {"source": "folder", "path": "data/incoming"}
MULTILABEL: Sections = {"source": "table", "table": {"file": "t.csv", "labels": "columns"}}
SINGLE: Sections = {"source": "folder", "path": "data/extra/in"}
SEVERAL: Sections = {
    "source": "table",
    "path": "data/extra/in",
    "table": {"file": "t.csv", "labels": "columns"},
}
GLYPHS: Sections = {"source": "glyphs", "glyphs": {"compose": {"canvas": 24, "size": [8, 12]}}}


def run(data: Sections, extra: Sections) -> pd.DataFrame:
    """Fetch; the stored rows of extra data by id."""
    where = {"path": "data/incoming", "extra_path": "data/extra"}
    content = TINY | {"data": where | data | {"extra": extra}}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    fetch.main()
    return files.stored_extra().set_index("id")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of `data`, empty, where we are."""
    monkeypatch.chdir(tmp_path)
    for name in ("incoming", "extra"):
        (tmp_path / "data" / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def folders(place: Path) -> Path:
    """A data set of cats and dogs; beside it one of cats, horses and puppies."""
    names = {"incoming": ("cat", "dog"), "extra/in": ("cat", "horse", "puppy")}
    numbers = iter(range(99))
    return write(
        place,
        {
            f"data/{where}/{name}/{each}.png": next(numbers)
            for where, classes in names.items()
            for name in classes
            for each in range(2)
        },
    )


@pytest.fixture
def tables(place: Path) -> Path:
    """A data set of several labels, and one beside it."""
    main = {f"data/incoming/{each}.png": each for each in range(4)}
    extra = {f"data/extra/in/{each}.png": 9 + each for each in range(4)}
    write(place, {**main, **extra})
    rows = ["file,cat,dog,cow", "0.png,1,0,0", "1.png,0,1,1", "2.png,1,1,0", "3.png,0,0,1"]
    more = ["file,tabby,tom,dog", "0.png,1,0,0", "1.png,0,0,1", "2.png,-1,0,1", "3.png,-1,1,-1"]
    return write(
        place, {"data/incoming/t.csv": "\n".join(rows), "data/extra/in/t.csv": "\n".join(more)}
    )


def test_of_one_class_per_image_all_others_are_absent(folders: Path) -> None:
    write(folders, {"data/extra/one/dog/0.png": 50})
    found = run(MULTICLASS, {"more": SINGLE | {"classes": {"cat": "cat", "puppy": "dog"}}})
    assert found[["cat", "dog"]].to_numpy().tolist() == [[1, 0]] * 2 + [[0, 1]] * 2
    assert found.index[2] == "more/puppy/0.png"
    assert files.read_dataset()["extra"]["more"]["without_class"] == 2
    found = run(MULTICLASS, {"dogs": {"source": "folder", "path": "data/extra/one"}})
    assert found[["cat", "dog"]].to_numpy().tolist() == [[0, 1]]
    # Without `classes`, those of the same name: a source that knows no dog still says "no dog".
    found = run(MULTICLASS, {"more": SINGLE})
    assert found[["cat", "dog"]].to_numpy().tolist() == [[1, 0]] * 2
    assert "more/horse/0.png" not in ImageStore(files.IMAGES).ids
    assert set(found["part"]) == {"extra"}


def test_of_several_labels_what_the_source_does_not_know_is_unknown(tables: Path) -> None:
    names = {"tabby": "cat", "tom": "cat", "dog": "dog"}
    found = run(MULTILABEL, {"more": SEVERAL | {"classes": names}})
    assert found[["cat", "dog", "cow"]].to_numpy().tolist() == [
        *([1, 0, -1], [0, 1, -1], [-1, 1, -1], [1, -1, -1])
    ]
    found = run(MULTILABEL, {"more": SEVERAL})
    assert found[["cat", "dog", "cow"]].to_numpy().tolist() == [
        *([-1, 0, -1], [-1, 1, -1], [-1, 1, -1], [-1, -1, -1])
    ]
    # One class per image there, several here: of those that it knows, all others are absent.
    write(tables, {"data/extra/one/dog/0.png": 50, "data/extra/one/hen/0.png": 51})
    found = run(MULTILABEL, {"one": {"source": "folder", "path": "data/extra/one"}})
    assert found[["cat", "dog", "cow"]].to_numpy().tolist() == [[-1, 1, -1]]


def test_the_test_part_of_a_source_is_learnt_from_too(tables: Path) -> None:
    test = tables / "data/extra/in/test.csv"
    test.write_text("file\n3.png\n")
    rows = (tables / "data/extra/in/t.csv").read_text().splitlines()[:4]
    (tables / "data/extra/in/t.csv").write_text("\n".join(rows))
    table = SEVERAL["table"] | {"test": "test.csv"}
    found = run(MULTILABEL, {"more": SEVERAL | {"table": table}})
    assert found["part"].tolist() == ["extra"] * 3 + ["unlabelled"]
    test.write_text("file,dog,tabby,tom\n3.png,1,0,0\n")
    found = run(MULTILABEL, {"more": SEVERAL | {"table": table}})
    assert found["part"].tolist() == ["extra"] * 4
    assert found["dog"].iloc[3] == 1


def test_bad_images_are_named_or_left_out(folders: Path) -> None:
    write(folders, {"data/extra/in/cat/bad.png": picture(1)[:90]})
    with pytest.raises(
        UserError, match=r"^data/extra/in/cat/bad\.png.*set data\.extra\.more\.on_error"
    ):
        run(MULTICLASS, {"more": SINGLE})
    found = run(MULTICLASS, {"more": SINGLE | {"on_error": "skip"}})
    assert len(found) == 2
    (dropped,) = files.read_dataset()["extra"]["more"]["dropped"]
    assert dropped["image"] == "data/extra/in/cat/bad.png"
    assert files.read_dataset()["dropped"] == []


REFUSED: dict[str, tuple[Sections, Sections, list[str]]] = {
    "not ours": (
        MULTICLASS,
        {"more": SINGLE | {"classes": {"puppy": "dgo"}}},
        ["data.extra.more.classes", "'dgo'", "did you mean 'dog'?"],
    ),
    "not theirs": (
        MULTICLASS,
        {"more": SINGLE | {"classes": {"pupy": "dog"}}},
        ["data.extra.more.classes", "no class 'pupy'", "did you mean 'puppy'?"],
    ),
    "no class in common": (
        MULTICLASS | {"path": "data/extra/main"},
        {"more": SINGLE},
        ["data.extra.more.classes", "cat, horse, puppy", "a, b", "{theirs: ours}"],
    ),
    "no such folder": (
        MULTICLASS,
        {"more": SINGLE | {"path": "data/extra/none"}},
        ["data/extra/none: no such file or folder", "data.extra.more.path"],
    ),
    "empty": (
        MULTICLASS,
        {"more": {"source": "images", "path": "data/extra/empty"}},
        ["data/extra/empty: holds no images", "data.extra.more.path"],
    ),
    "elsewhere": (
        MULTICLASS,
        {"more": SINGLE | {"path": "data/other"}},
        ["data.extra.more.path", "'data/other'", "data.extra_path"],
    ),
    "out by dots": (
        MULTICLASS,
        {"more": SINGLE | {"path": "data/extra/../other"}},
        ["data.extra.more.path"],
    ),
    "out by a link": (
        MULTICLASS,
        {"more": SINGLE | {"path": "data/extra/link"}},
        ["data.extra.more.path", "'data/extra/link'"],
    ),
    "a table without its key": (
        MULTICLASS,
        {"more": {"source": "table", "path": "data/extra/in"}},
        ["data.extra.more", "table: is missing"],
    ),
    "no such column": (
        MULTICLASS,
        {"more": SEVERAL | {"path": "data/extra/several", "classes": {"lion": "cat"}}},
        ["data/extra/several/t.csv", "lion", "data.extra.more.classes"],
    ),
    "several labels": (
        MULTICLASS,
        {"more": SEVERAL | {"path": "data/extra/several"}},
        ["data/extra/several/0.png", "several classes"],
    ),
    "several glyphs": (
        {"source": "folder", "path": "data/extra/main", "classes": ["a", "b"]},
        {"twin": {"source": "glyphs", "glyphs": {"from": "fonts"}}},
        ["data.extra.twin.glyphs.compose.glyphs", "write [1, 1]"],
    ),
    "glyphs that show all": (
        {"source": "glyphs", "glyphs": TINY["data"]["glyphs"]},
        {"twin": GLYPHS | {"classes": {"1": "1", "2": "2", "3": "3", "4": "4"}}},
        ["data.extra.twin.glyphs.compose.glyphs", "[2, 5] different ones of 4"],
    ),
    "how many are composed": (
        MULTICLASS,
        {"twin": {"source": "glyphs", "glyphs": {"images": {"train": 5}}}},
        ["data.extra.twin", "glyphs.images: composed while training", "drop images"],
    ),
    "glyphs of a test part": (
        MULTICLASS,
        {"twin": {"source": "glyphs", "glyphs": {"test_glyphs": 0.5}}},
        ["data.extra.twin", "drop test_glyphs"],
    ),
    "fitting the data set to itself": (
        {"source": "glyphs", "glyphs": {"fit": True}},
        {},
        ["data: glyphs.fit", "drop it here"],
    ),
    "classes of none": (
        MULTICLASS,
        {"more": {"source": "images", "classes": {"a": "b"}}},
        ["data.extra.more", "classes", "no labels"],
    ),
    "no name": (MULTICLASS, {"../x": SINGLE}, ["data.extra"]),
    "an unknown key": (MULTICLASS, {"more": SINGLE | {"clases": {}}}, ["did you mean 'classes'?"]),
    "one folder for both": (
        MULTICLASS | {"extra_path": "data/./incoming"},
        {},
        ["data: extra_path", "data.path"],
    ),
    "a name that is taken": (
        MULTICLASS,
        {"cat": {"source": "images", "path": "data/extra/in/cat"}},
        ["data.extra.cat", "'cat/0.png'", "another name"],
    ),
    "a class called as a column": (
        MULTICLASS | {"path": "data/extra/called"},
        {"more": SINGLE},
        ["class 'source'", "rename it"],
    ),
}


@pytest.mark.parametrize(("data", "extra", "said"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_one_line(
    folders: Path, data: Sections, extra: Sections, said: list[str]
) -> None:
    for name in ("other/cat", "extra/main/a", "extra/main/b", "extra/called/source"):
        write(folders, {f"data/{name}/0.png": 60})
    write(folders, {"data/extra/called/cat/0.png": 61, "data/extra/several/0.png": 62})
    write(folders, {"data/extra/several/t.csv": "file,cat,dog\n0.png,1,1\n"})
    (folders / "data/extra/empty").mkdir()
    (folders / "data/extra/link").symlink_to(folders / "data/other")
    with pytest.raises(UserError) as caught:
        run(data, extra)
    (line,) = caught.value.args
    for each in said:
        assert each in line
    assert "\n" not in line
    assert not Path("data/labels.parquet").exists()


def test_composed_images_show_no_glyph_of_the_test_part(place: Path) -> None:
    glyphs = TINY["data"]["glyphs"] | {"from": "digits", "seed": 5}
    found = run(
        {"source": "glyphs", "glyphs": glyphs},
        {
            "twin": GLYPHS
            | {"classes": {"7": "1", "1": "7", "3": "1"}}
            | {"glyphs": {"seed": 8, "compose": {"canvas": 24, "size": [8, 12], "glyphs": [1, 2]}}}
        },
    )
    assert found.empty
    test, train = digits().divide(0.25, 5)
    composed = all_composed(files.IMAGES)["twin"]
    shown = {each.tobytes() for each in composed.glyphs.images}
    assert not shown & {each.tobytes() for each in test.images}
    called = {1: "7", 3: "1", 7: "1"}
    wanted = {
        (called[label], image.tobytes())
        for label, image in zip(train.labels.tolist(), train.images, strict=True)
        if label in called
    }
    names = [composed.glyphs.classes[label] for label in composed.glyphs.labels]
    assert composed.glyphs.classes == ["7", "1"]
    assert set(zip(names, [each.tobytes() for each in composed.glyphs.images], strict=True)) == {
        each for each in wanted if each[1] in shown
    }
    assert len(shown) > 0.95 * len(wanted)
    assert composed.seed == 8
    # The store takes no note of it.
    assert ImageStore(files.IMAGES).ids == files.own_ids()


def test_what_was_kept_comes_back_and_damage_is_told(tmp_path: Path) -> None:
    few = digits()
    few = GlyphSet("few", ["a", "b"], few.images[:2], np.array([0, 1]))
    settings = Compose(canvas=32, glyphs=(1, 1), noise=(0.0, 0.25))
    drawn = np.full((2, 32, 32), 7, np.uint8)
    composed = Composed("twin", few, settings, 3, drawn, fit=True)
    path = tmp_path / "composed-twin.npz"
    write_composed(path, composed)
    back = read_composed(path)
    assert (back.name, back.settings, back.seed, back.fit) == ("twin", settings, 3, True)
    assert back.glyphs.classes == ["a", "b"]
    assert np.array_equal(back.glyphs.images, few.images)
    assert back.distractors is not None
    assert np.array_equal(back.distractors, drawn)
    painted = back.composer(settings).paint(4)
    assert np.array_equal(painted, composed.composer(settings).paint(4))
    other = Composed("other", few, settings, 3, None, fit=True).composer(settings).paint(4)
    assert not np.array_equal(painted, other)
    own = Composer(few, settings, 3, 0).paint(4)
    assert not np.array_equal(painted, own)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"composed-twin\.npz: is damaged"):
        read_composed(path)
    few.labels[:] = 0
    write_composed(path, composed)
    with pytest.raises(UserError, match="its glyphs are not those of its classes"):
        read_composed(path)
