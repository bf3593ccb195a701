"""What a separator leaves in the names of classes."""

import time
from pathlib import Path

import pytest

from foldwise.core.errors import UserError
from foldwise.sources.labels import refuse_leftovers
from foldwise.sources.table import load_table
from tests.pictures import load
from tests.sources.test_table import table_source

LEFTOVERS = [
    ("cough fever", " ", None),
    ("cough, fever", " ", "cough,"),
    ("cough,fever", " ", "cough,fever"),
    ("cough;fever", ",", "cough;fever"),
    ("cough|fever", ";", "cough|fever"),
    ("cough/fever", ",", "cough/fever"),
    ("cough\tfever", ",", "cough\\tfever"),
    ("cough ,fever", " ", ",fever"),
    ("cough, fever", ", ", None),
    ("cough\uff0cfever", " ", "cough\uff0cfever"),
    ("cough\u3001fever", ",", "cough\u3001fever"),
    ("cough\u00a0fever", " ", "cough\u00a0fever"),
    ("cough\u3000fever", ",", "cough\u3000fever"),
    ("cough+fever", ",", "cough+fever"),
    ("cough & fever", ",", "cough & fever"),
    ("cough+", ",", None),
    ("fever+flu", ",", None),
    ("cough\u00a0hard", ",", None),
    ("animal/dog", ",", None),
    ("a;b", ",", None),
]


@pytest.mark.parametrize(("cell", "separator", "left"), LEFTOVERS)
def test_what_a_separator_leaves_is_looked_at(
    tmp_path: Path, cell: str, separator: str, left: str | None
) -> None:
    text = f'file,label\na.png,"{cell}"\nb.png,fever\nc.png,cough\n'
    settings = {"labels": "separated", "separator": separator}
    if left is None:
        assert "fever" in table_source(tmp_path, text, **settings).classes
        return
    with pytest.raises(UserError, match=r"data\.table\.separator is .* data\.classes") as error:
        table_source(tmp_path, text, **settings)
    assert any(f"class '{left}': holds" in line for line in error.value.args)
    # Whoever lists them means them.
    classes = sorted({part.strip() for part in cell.split(separator)} | {"fever", "cough"})
    given = {"file": "t.csv", "images": "img", **settings}
    data = {"source": "table", "path": str(tmp_path), "table": given}
    if "\t" not in cell:
        assert load(load_table, data | {"classes": classes}).classes == classes


def test_pieces_that_only_joined_classes_share_are_looked_at_too(tmp_path: Path) -> None:
    text = "file,label\na.png,x;y\nb.png,y;z\nc.png,x;z\n"
    with pytest.raises(UserError, match="class 'x;y': holds ';'"):
        table_source(tmp_path, text, labels="separated")
    paths = text.replace(";", "/").replace("y/z", "x/z").replace("x/z", "x/w", 1)
    assert table_source(tmp_path, paths, labels="separated").classes == ["x/w", "x/y", "x/z"]


def test_pieces_that_are_no_classes_are_none_beside_a_separator_that_was_chosen(
    tmp_path: Path,
) -> None:
    text = 'file,label\na.png,"lesion, left"\nb.png,"lesion, right"\nc.png,"lesion, left;mass"\n'
    source = table_source(tmp_path, text, labels="separated", separator=";")
    assert source.classes == ["lesion, left", "lesion, right", "mass"]
    assert source.labels.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]


def test_a_sign_alone_is_no_class_unless_it_is_listed(tmp_path: Path) -> None:
    text = "file,label\na.png,x - y\nb.png,y\nc.png,\u0e01 1\n"
    with pytest.raises(UserError, match="class '-': holds no letter and no digit") as error:
        table_source(tmp_path, text, labels="separated")
    assert len(error.value.args) == 1
    classes = ["x", "y", "-", "\u0e01", "1"]
    given = {"file": "t.csv", "images": "img", "labels": "separated"}
    data = {"source": "table", "path": str(tmp_path), "table": given, "classes": classes}
    assert load(load_table, data).labels[0].tolist() == [1, 1, 1, 0, 0]
    # A column of one class has nothing to separate.
    assert table_source(tmp_path, text.replace("x - y", "-"), labels="class").classes[0] == "-"


def test_many_classes_are_looked_at_in_no_time() -> None:
    """Each piece once: searching a list for each would take half a minute."""
    found = [f"{number}/{number + 1}, {number + 2}" for number in range(20_000)]
    start = time.process_time()
    refuse_leftovers(found, ";", "t.csv", chosen=True)
    assert time.process_time() - start < 10
