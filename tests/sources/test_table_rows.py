"""Tables with a row per image and class: whatever they say twice, or deny."""

from pathlib import Path
from typing import Any

import pytest

from foldwise.core.errors import UserError
from foldwise.sources.source import UNLABELLED
from tests.pictures import write
from tests.sources.test_table import table_source

NONE = int(UNLABELLED)


def test_table_of_a_row_per_image_and_class(tmp_path: Path) -> None:
    """As detections, or Open Images: a class twice counts once, and what a row denies, not."""
    text = (
        "file,class,yes,k,part\nb.png,dog,1,0,train\na.png,cat,1,1,train\nb.png,cat,1.0,0,train\n"
        "b.png,dog,1,0,train\na.png,dog,FALSE,1,train\nc.png,,0,-1,test\n"
    )
    keys = {"labels": "rows", "label": "class", "fold": "k", "part": "part"}
    source = table_source(tmp_path, text, present="yes", **keys)
    assert source.task == "multilabel"
    assert source.classes == ["cat", "dog"]
    assert source.ids == ["b.png", "a.png", "c.png"]
    assert source.labels.tolist() == [[1, 1], [1, 0], [NONE, NONE]]
    assert source.folds == [0, 1, -1]
    assert table_source(tmp_path, text, **keys).labels.tolist()[:2] == [[1, 1], [1, 1]]
    # An image of which every row denies a class is one of none.
    denied = text.replace("a.png,cat,1", "a.png,cat,0").replace(",,0,-1,test", ",cat,1,0,train")
    source = table_source(tmp_path, denied, present="yes", **keys)
    assert source.labels.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_a_sample_submission_of_a_row_per_image_and_class(tmp_path: Path) -> None:
    write(tmp_path, {"s.csv": "file,class,yes\nc.png,cat,0.5\nc.png,dog,0.5\n"})
    text = "file,class,yes\na.png,cat,1\nb.png,dog,1\nb.png,cat,1\n"
    keys = {"labels": "rows", "label": "class", "present": "yes"}
    source = table_source(tmp_path, text, sample="s.csv", **keys)
    assert source.parts == ["train", "train", "test"]
    assert source.labels.tolist() == [[1, 0], [1, 1], [NONE, NONE]]


LONG = "file,label,x,g\na.png,k,1,1\nb.png,k,1,2\nb.png,l,0,2\nc.png,l,1,3\n"
BY_ROWS = {"labels": "rows", "present": "x", "group": "g"}
BREAKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "presence": (LONG.replace("l,0", "l,-1"), BY_ROWS, "row 4, column 'x': '-1' is neither 1 nor"),
    "yes and no": (LONG + "b.png,l,1,2\n", BY_ROWS, r"image b\.png: one row says .* shows 'l'"),
    "rows differ": (LONG.replace("l,0,2", "l,0,3"), BY_ROWS, r"image b\.png: its rows .* 'g'"),
    "control": (LONG.replace("b.png,k", "b.png,k\0m"), BY_ROWS, "row 3, .*control characters"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_rows_may_not_say(tmp_path: Path, name: str) -> None:
    text, settings, said = BREAKS[name]
    with pytest.raises(UserError, match=said):
        table_source(tmp_path, text, **settings)


def test_a_labelled_test_table_must_say_what_is_present_too(tmp_path: Path) -> None:
    text = LONG.replace("c.png,l,1,3\n", "").replace("l,0", "l,1")
    keys = {"labels": "rows", "present": "x", "test": "test.csv"}
    write(tmp_path, {"test.csv": "file,label\nc.png,l\n"})
    with pytest.raises(UserError, match=r"test\.csv: has no column 'x'"):
        table_source(tmp_path, text, **keys)
    write(tmp_path, {"test.csv": "file\nc.png\n"})
    assert table_source(tmp_path, text, **keys).labels[2].tolist() == [NONE, NONE]
    write(tmp_path, {"test.csv": "file,label,x\nc.png,l,1\nc.png,k,0\n"})
    assert table_source(tmp_path, text, **keys).labels[2].tolist() == [0, 1]
