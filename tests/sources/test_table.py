"""Tables of images and labels: every form, and what is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldwise.core.errors import UserError
from foldwise.sources.source import UNLABELLED, Source
from foldwise.sources.table import load_table
from tests.pictures import load, picture, write

NONE = int(UNLABELLED)


def table_source(
    root: Path, rows: pd.DataFrame | str, file: str = "t.csv", **settings: Any
) -> Source:
    write(root, {f"img/{name}.png": index for index, name in enumerate("abc")})
    if isinstance(rows, str):
        write(root, {file: rows})
    elif file.endswith(".csv"):
        rows.to_csv(root / file, index=False)
    else:
        rows.to_parquet(root / file, index=False)
    given = {"file": file, "images": "img", "labels": "columns"} | settings
    return load(load_table, {"source": "table", "path": str(root), "table": given})


@pytest.mark.parametrize("file", ["t.csv", "t.parquet"])
def test_table_of_columns(tmp_path: Path, file: str) -> None:
    rows = pd.DataFrame(
        {"file": ["b", "a", "c"], "x": [1, 0, -1], "y": [0.0, 1.0, 1.0], "who": [7, 7, 8]}
    )
    source = table_source(tmp_path, rows, file, suffix=".png", group="who")
    assert source.ids == ["b", "a", "c"]
    assert source.classes == ["x", "y"]
    assert source.labels.tolist() == [[1, 0], [0, 1], [-1, 1]]
    assert source.groups == ["7", "7", "8"]
    assert source.read(0) == picture(1)
    assert source.table(range(3))["group"].tolist() == ["7", "7", "8"]


def test_names_are_the_same_however_accents_are_written(tmp_path: Path) -> None:
    taken_apart, whole = "e\u0301", "\u00e9"
    write(tmp_path, {f"img/{taken_apart}.png": 5, "img/\u202fpm.png": 6})
    text = (
        f"file,label\na.png,{whole}\nb.png,{taken_apart}\nc.png,x\n{whole}.png,x\n\u202fpm.png,x\n"
    )
    source = table_source(tmp_path, text, labels="class")
    assert source.classes == ["x", whole]
    assert source.read(3) == picture(5)


def test_a_code_page(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(
        "file,label\na.png,\ub098\ubb34\nb.png,x\nc.png,x\n".encode("cp949")
    )
    given = {"file": "t.csv", "images": "img", "labels": "class"}
    write(tmp_path, {f"img/{name}.png": index for index, name in enumerate("abc")})
    data = {"source": "table", "path": str(tmp_path), "table": given}
    with pytest.raises(UserError, match=r"t.csv: row 2: is not UTF-8; .*data.table.encoding"):
        load(load_table, data)
    data["table"] = given | {"encoding": "cp949"}
    assert load(load_table, data).classes == ["x", "\ub098\ubb34"]
    # A mark says more than the settings.
    (tmp_path / "t.csv").write_text("\ufefffile,label\na.png,\u00e4\nb.png,x\nc.png,x\n", "utf-8")
    assert load(load_table, data).classes == ["x", "\u00e4"]


def test_rows_and_columns_of_nothing_do_not_count(tmp_path: Path) -> None:
    text = "file;x;;\na.png;1;;\n;;;\nb.png;0; ;\nc.png;0;;\n ;;;\n"
    source = table_source(tmp_path, text)
    assert source.classes == ["x"]
    assert source.ids == ["a.png", "b.png", "c.png"]
    with pytest.raises(UserError, match="row 4, column 'x'"):
        table_source(tmp_path, text.replace("b.png;0", "b.png;7"))


def test_names_in_any_folder_below(tmp_path: Path) -> None:
    write(tmp_path, {"img/1/d.PNG": 7, "img/2/e.png": 8, "img/2/a.png": 9, "f.png": 6})
    text = "file,label\na.png,x\nb.png,y\nc.png,x\nd.png,x\n2/a.png,y\ne,y\n"
    source = table_source(tmp_path, text, labels="class", images="img/**", suffix=".png")
    assert [source.read(each) for each in range(6)] == [picture(n) for n in (0, 1, 2, 7, 9, 8)]
    # One that is in none of them, or in two, is not there; nor is one elsewhere.
    write(tmp_path, {"img/1/e.png": 10})
    text += "f.png,x\n"
    with pytest.raises(UserError) as error:
        table_source(tmp_path, text, labels="class", images="img/**", suffix=".png")
    rows = {str(each).partition(": ")[2][:5] for each in error.value.args}
    assert {"row 7", "row 8"} <= rows
    with pytest.raises(UserError, match="row 5: has no image"):
        table_source(tmp_path, text, labels="class", images="img", suffix=".png")


def test_parquet_of_missing_values_and_two_columns_alike(tmp_path: Path) -> None:
    columns = [pa.array(["a.png", "b.png", "c.png"]), pa.array([1.0, float("nan"), 2.0])]
    (tmp_path / "img").mkdir()
    pq.write_table(pa.table(columns, ["file", "label"]), tmp_path / "n.parquet")
    write(tmp_path, {f"img/{name}.png": index for index, name in enumerate("abc")})
    settings = {"file": "n.parquet", "images": "img", "labels": "class"}
    data = {"source": "table", "path": str(tmp_path), "table": settings}
    with pytest.raises(UserError, match="row 2: has no class"):
        load(load_table, data)
    pq.write_table(pa.table(columns, ["file", "file"]), tmp_path / "n.parquet")
    with pytest.raises(UserError, match="two columns 'file'"):
        load(load_table, data)


def test_table_of_separated_labels_and_parts(tmp_path: Path) -> None:
    text = "file,label,part\na.png,x|y,train\nb.png,,train\nc.png,,test\n"
    source = table_source(tmp_path, text, labels="separated", separator="|", part="part")
    assert source.labels.tolist() == [[1, 1], [0, 0], [NONE, NONE]]
    assert source.parts == ["train", "train", "test"]


def test_table_of_one_class_and_a_test_table(tmp_path: Path) -> None:
    write(tmp_path, {"test.csv": "file\nc.png\n"})
    text = "file,label,k\na.png,dog,0\nb.png,cat,1\n"
    source = table_source(tmp_path, text, labels="class", test="test.csv", fold="k")
    assert source.classes == ["cat", "dog"]
    assert source.task == "multiclass"
    assert source.labels.tolist() == [[0, 1], [1, 0], [NONE, NONE]]
    assert source.parts == ["train", "train", "test"]
    assert source.folds == [0, 1, -1]
    write(tmp_path, {"test.csv": "file,label\nc.png,dog\n"})
    source = table_source(tmp_path, text, labels="class", test="test.csv")
    assert source.labels[2].tolist() == [0, 1]


ROWS = "file,x,y\na.png,1,0\nb.png,0,1\nc.png,0,0\n"
TABLE_BREAKS: dict[str, tuple[str, dict[str, Any], str]] = {
    "label": (ROWS.replace("b.png,0,1", "b.png,0,3"), {}, r"row 3, column 'y': label '3'"),
    "ragged": (ROWS.replace("b.png,0,1", "b.png,0"), {}, "row 3: has 2 cells where .* 3"),
    "longer": (ROWS.replace("b.png,0,1", "b.png,0,1,1"), {}, "row 3: has 4 cells where .* 3"),
    "no rows": ("file,x,y\n", {}, "has no rows"),
    "nothing": ("", {}, "has no rows"),
    "two columns alike": (ROWS.replace("x,y", "x,x"), {}, "two columns 'x'"),
    "quotes": (ROWS.replace("b.png", '"b.png'), {}, "no readable CSV"),
    "repeated": (ROWS + "a.png,1,0\n", {}, r"row 5: file 'a\.png' appears a second time"),
    "no image": (ROWS + "d.png,1,0\n", {}, r"row 5: has no image .*img/d\.png"),
    "no row": (ROWS.replace("c.png,0,0\n", ""), {}, r"img/c\.png: has no row"),
    "file column": (ROWS, {"column": "name"}, "no column 'name'.*data.table"),
    "group column": (ROWS, {"group": "who"}, "no column 'who'"),
    "label column": (ROWS, {"labels": "class"}, "no column 'label'"),
    "part": (ROWS, {"part": "x"}, "row 2, column 'x': '1' is neither train nor test"),
    "fold": (ROWS.replace("b.png,0,1", "b.png,0,q"), {"fold": "y"}, "'q' is not a fold's number"),
    "no class": ("file,label\na.png,k\nb.png,\nc.png,k\n", {"labels": "class"}, "row 3: has no cl"),
    "title": ("Photos\n" + ROWS, {}, "row 1: has 1 cell where most rows have 3; the first row"),
    "title and blank line": ("Photos,2024\n\n" + ROWS, {}, "row 1: has 2 cells where most .* 3"),
    "title of a sheet": ("Photos,,\n" + ROWS, {}, "row 1: leaves columns without a name"),
    "fold out of range": (ROWS.replace("b.png,0,1", f"b.png,0,{10**20}"), {"fold": "y"}, "fold's"),
}


@pytest.mark.parametrize("name", TABLE_BREAKS)
def test_table_refuses(tmp_path: Path, name: str) -> None:
    text, settings, said = TABLE_BREAKS[name]
    with pytest.raises(UserError, match=said):
        table_source(tmp_path, text, **settings)


def test_tables_that_are_none(tmp_path: Path) -> None:
    for file, content, said in (
        ("t.csv", b"file,x\na.png,1\n\xff,1\n", "row 3: is not UTF-8"),
        ("t.parquet", b"no", "no readable Parquet"),
    ):
        write(tmp_path, {file: content})
        settings = {"file": file, "labels": "columns"}
        with pytest.raises(UserError, match=said):
            load(load_table, {"source": "table", "path": str(tmp_path), "table": settings})


def test_table_needs_its_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="table: is missing"):
        load(load_table, {"source": "table", "path": str(tmp_path)})


def test_a_column_of_anything_else_is_one_line(tmp_path: Path) -> None:
    write(tmp_path, {f"img/{index}.png": index for index in range(9)})
    rows = "".join(f"{name}.png,1,p{name}\n" for name in [*"abc", *range(9)])
    with pytest.raises(UserError, match="column 'patient': no cell is 0, 1 or -1") as error:
        table_source(tmp_path, f"file,x,patient\n{rows}")
    assert len(error.value.args) == 1


def test_a_validation_list_and_a_sample_submission(tmp_path: Path) -> None:
    write(tmp_path, {"later/x.png": 8, "later/y.png": 9})
    write(
        tmp_path, {"v.csv": "label,file\ndog,d.png\n", "s.csv": "file,label\ny.png,cat\nx.png,q\n"}
    )
    text = "file,label,who\na.png,dog,1\nb.png,cat,2\nc.png,cat,2\n"
    settings = {"labels": "class", "sample": "s.csv", "test_images": "later"}
    source = table_source(tmp_path, text, group="who", **settings)
    assert source.folds is None
    assert source.groups == ["1", "2", "2", "", ""]
    write(tmp_path, {"img/d.png": 7})
    source = table_source(
        tmp_path,
        text.replace(",who", "").replace(",1", "").replace(",2", ""),
        valid="v.csv",
        **settings,
    )
    assert source.ids == ["a.png", "b.png", "c.png", "d.png", "y.png", "x.png"]
    assert source.parts == ["train"] * 4 + ["test"] * 2
    assert source.folds == [-1, -1, -1, 0, -1, -1]
    assert source.classes == ["cat", "dog"]
    assert source.labels.tolist() == [[0, 1], [1, 0], [1, 0], [0, 1], [NONE] * 2, [NONE] * 2]
    assert [source.read(each) for each in (3, 4)] == [picture(7), picture(9)]


def test_tables_beside_their_images_and_ids_that_come_twice(tmp_path: Path) -> None:
    for place, part in enumerate(("train", "test")):
        write(tmp_path, {f"{part}/m.csv": "file,x,y\n1.png,1,0\n2.png,0,1\n"})
        write(tmp_path, {f"{part}/{each}.png": 10 * place + each for each in (1, 2)})
    settings = {"file": "train/m.csv", "test": "test/m.csv", "labels": "columns"}
    data = {"source": "table", "path": str(tmp_path), "table": settings}
    source = load(load_table, data)
    assert source.ids == ["train/1.png", "train/2.png", "1.png", "2.png"]
    assert [source.read(each) for each in range(4)] == [picture(each) for each in (1, 2, 11, 12)]
    write(tmp_path, {"train/m.csv": "file,x,y\n1.png,1,0\n2.png,0,1\n../test/2.png,1,1\n"})
    with pytest.raises(UserError, match=r"names test/2\.png, as train/m\.csv does"):
        load(load_table, data)


def test_lines_of_json(tmp_path: Path) -> None:
    lines = [
        '{"file": "a.png", "n": 1, "label": ["x", "y"], "ok": true}',
        "",
        '{"file": "b.png", "label": "y"}',
        '{"file": "c.png", "label": [], "n": null}',
    ]
    settings = {"file": "t.jsonl", "labels": "separated", "separator": ";"}
    source = table_source(tmp_path, "\n".join(lines) + "\n", **settings)
    assert source.labels.tolist() == [[1, 1], [0, 1], [0, 0]]
    for wrong, said in {
        '{"file": ': "row 5: is no readable JSON",
        '["a.png"]': "row 5: is not an object",
        '{"file": "a.png", "label": ["x;y"]}': "row 5: is not an object of texts",
        '{"file": "a.png", "label": {"x": 1}}': "row 5: is not an object of texts",
    }.items():
        with pytest.raises(UserError, match=said):
            table_source(tmp_path, "\n".join([*lines, wrong]), **settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sample": "s.csv", "test": "t.csv"}, "sample: data.table.test names the test part"),
        ({"sample": "s.csv", "part": "p"}, "sample: data.table.part names the test part"),
        ({"valid": "v.csv", "fold": "k"}, "valid: data.table.fold says"),
        ({"test_images": "later"}, "test_images: is for"),
    ],
)
def test_what_names_a_part_twice_is_refused(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        table_source(tmp_path, "file,x,y\na.png,1,0\n", **settings)
