"""Rows find their images however other systems spell paths, and say what misses when none does."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from foldwise.core.errors import UserError
from foldwise.sources.annotations import load_annotations
from foldwise.sources.folder import load_folder
from foldwise.sources.paths import Resolver
from foldwise.sources.source import Source
from foldwise.sources.table import load_table
from foldwise.sources.tree_mount import open_tree
from tests.pictures import load, picture, write

NAMES = ["img/a.png", "img/sub/b.PNG", "img/\u202fc.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "set", {name: index for index, name in enumerate(NAMES)})


SPELLINGS = {
    "as they are": NAMES,
    "blanks": [f" {name}\t" for name in NAMES],
    "backslashes": [name.replace("/", "\\") for name in NAMES],
    "dots": [f"./x/../{name}" for name in NAMES],
    "case": ["img/a.PNG", "img/sub/b.png", NAMES[2]],
    "absolute elsewhere": [f"/home/someone/data/{name}" for name in NAMES],
    "a drive": ["D:\\work\\" + name.replace("/", "\\") for name in NAMES],
    "a share": ["\\\\host\\share\\" + name.replace("/", "\\") for name in NAMES],
    "a bucket": [f"gs://bucket/data/{name}" for name in NAMES],
    "a home": [f"~/data/{name}" for name in NAMES],
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_every_spelling_finds_its_image(root: Path, how: str) -> None:
    assert Resolver(open_tree([root]), "").names(SPELLINGS[how]) == NAMES


def test_absolute_paths_below_the_data_sets_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    (root.parent / "link").symlink_to(root)
    for path, start in (("set", root), ("link", root), ("link", root.parent / "link")):
        tree = open_tree([Path(path)])
        assert Resolver(tree, "").names([str(start / name) for name in NAMES]) == NAMES
        # Whatever folder the others are relative to.
        one = Resolver(tree, "img").names([str(start / NAMES[0]), "sub/b.PNG"])
        assert one == NAMES[:2]


def test_the_folder_and_the_suffix_may_stand_in_the_cell_too(root: Path) -> None:
    tree = open_tree([root])
    assert (
        Resolver(tree, "img", ".png").names(["a", "a.png", "img/a", "img/a.png"]) == [NAMES[0]] * 4
    )


def test_a_name_that_is_there_counts_as_it_stands(tmp_path: Path) -> None:
    odd = ["a\\b.png", "a/b.png", "c.png", "c.PNG", " d.png"]
    tree = open_tree([write(tmp_path, {name: index for index, name in enumerate(odd)})])
    assert Resolver(tree, "").names(odd) == odd
    # Two files differ by case alone: neither is meant.
    assert Resolver(tree, "").names(["c.Png"]) == ["c.Png"]


def test_a_prefix_that_could_be_cut_in_two_ways_is_kept(tmp_path: Path) -> None:
    tree = open_tree([write(tmp_path, {"a.png": 1, "img/a.png": 2})])
    assert Resolver(tree, "").names(["/x/img/a.png"]) == ["/x/img/a.png"]


@pytest.mark.parametrize("odd", ["/home/someone/data/img/gone.png", "/mnt/x.png", "img/a.png", ""])
def test_one_odd_row_among_absolute_ones_is_judged_by_itself(root: Path, odd: str) -> None:
    tree = open_tree([root])
    rows = [f"/home/someone/data/{name}" for name in NAMES]
    alone = Resolver(tree, "").names([odd])
    for position in range(len(rows) + 1):
        names = Resolver(tree, "").names([*rows[:position], odd, *rows[position:]])
        assert names == [*NAMES[:position], *alone, *NAMES[position:]]


def test_a_prefix_of_half_of_the_absolute_rows_is_kept(root: Path) -> None:
    rows = [f"/here/{NAMES[0]}", f"/there/{NAMES[1]}"]
    assert Resolver(open_tree([root]), "").names(rows) == rows
    assert Resolver(open_tree([root]), "").names([*rows, f"/here/{NAMES[2]}"]) == [
        NAMES[0],
        rows[1],
        NAMES[2],
    ]


def test_the_prefix_that_finds_most_rows_is_cut(tmp_path: Path) -> None:
    names = [f"img/{name}.png" for name in "abc"]
    files = dict.fromkeys([*names, "a.png", "b.png"], 1)
    tree = open_tree([write(tmp_path, {**files})])
    assert Resolver(tree, "").names([f"/x/{name}" for name in names]) == names


def table(root: Path, text: str | bytes, **settings: str) -> Source:
    write(root, {"t.csv": text})
    given = {"file": "t.csv", "labels": "class"} | settings
    return load(load_table, {"source": "table", "path": str(root), "table": given})


def test_one_image_spelled_twice_is_there_twice(root: Path) -> None:
    rows = "".join(f"{name},x\n" for name in (*NAMES, "./img/a.png"))
    with pytest.raises(UserError, match=r"row 5: file '\./img/a\.png' appears a second time"):
        table(root, f"file,label\n{rows}")


def test_ids_stay_as_the_table_spells_them(root: Path) -> None:
    rows = [" img\\a.png", "./img/sub/b.png ", NAMES[2]]
    source = table(root, "file, label\n" + "".join(f"{name}, x\n" for name in rows))
    assert source.ids == [name.strip(" ") for name in rows]
    assert source.classes == ["x"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([f"photos/{name}" for name in NAMES], r"all begin with 'photos/img/', 3 like them are in"),
        (["img/a.jpg", "img/b.jpg"], r"named with \.jpg, not \.PNG or \.png"),
        (["a", "b"], "named with no suffix, not"),
        (["/data/q/1.png", "/data/q/2.png"], "all begin with '/data/q/'"),
    ],
)
def test_where_all_rows_miss_what_they_share_is_said_first(
    root: Path, names: list[str], said: str
) -> None:
    with pytest.raises(UserError) as error:
        table(root, "file,label\n" + "".join(f"{name},x\n" for name in names))
    line = next(line for line in error.value.args if "none is there" in line)
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(line)


def test_annotations_find_images_alike(root: Path) -> None:
    entries = [{"file_name": name, "category": "x"} for name in SPELLINGS["a drive"]]
    write(root, {"answer.json": json.dumps({"annotations": entries}).encode("utf-16")})
    settings = {"train_images": "img", "test_images": None}
    data = {"source": "annotations", "path": str(root), "annotations": settings}
    assert load(load_annotations, data).ids == NAMES


TEXT = 'file;label\r\nimg/a.png;"x;y"\r\nimg/sub/b.PNG;a,b\r\nimg/\u202fc.png;x\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("sign", [";", ",", "\t"])
def test_tables_in_other_encodings_and_delimiters(root: Path, encoding: str, sign: str) -> None:
    quoted = TEXT.replace('"x;y"', "x y") if sign == ";" else TEXT.replace("a,b", '"a,b"')
    text = quoted if sign == ";" else quoted.replace(";label", f"{sign}label")
    if sign != ";":
        for cell in (';"x;y"', ';"a,b"', ";x"):
            text = text.replace(cell, sign + cell[1:])
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    source = table(root, mark + text.encode(encoding))
    assert len(source.classes) == 3
    assert source.classes[0] == "a,b"
    assert [len(source.read(index)) > 0 for index in range(3)] == [True] * 3


def test_what_lies_beside_images_needs_no_row(root: Path) -> None:
    beside: dict[str, bytes | str | int] = {
        f"img/{each}": "" for each in ("_classes.csv", "x.json", "README", "README.md", "n.txt")
    }
    write(root, beside)
    rows = "".join(f"{name[4:]},x\n" for name in NAMES)
    assert len(table(root, f"file,label\n{rows}", images="img").ids) == 3
    write(root, {"img/more.webp": 1})
    with pytest.raises(UserError, match=r"more\.webp: has no row"):
        table(root, f"file,label\n{rows}", images="img")


def test_images_without_a_suffix_need_a_row(tmp_path: Path) -> None:
    write(tmp_path, {"img/1": picture(1), "img/2": picture(2), "img/README": "text"})
    with pytest.raises(UserError) as error:
        table(tmp_path, "file,label\n1,x\n", images="img")
    (line,) = error.value.args
    assert "img/2: has no row in t.csv" in line


def test_blanks_around_quotes_and_delimiters_within_headers(root: Path) -> None:
    rows = "".join(f'{name}, "x, y"\n' for name in NAMES)
    assert table(root, f"file, label\n{rows}").classes == ["x, y"]
    rows = "".join(f"{name};1\n" for name in NAMES)
    assert table(root, f"file;cat,dog\n{rows}", labels="columns").classes == ["cat,dog"]


def many_images(root: Path) -> str:
    """A table, with its header, of 30 images by another suffix than theirs."""
    write(root, {f"img/{index}.png": index for index in range(30)})
    return "file,label\n" + "".join(f"{index}.jpg,x\n" for index in range(30))


SAID = r"of its 30 images none is there .*30 like them are in .*named with \.jpg, not \.png"


def test_what_many_rows_share_is_all_that_is_said(tmp_path: Path) -> None:
    rows = many_images(tmp_path)
    entries = [{"file_name": f"{index}.jpg", "category": "x"} for index in range(30)]
    write(tmp_path, {"answer.json": json.dumps({"annotations": entries})})
    settings = {"train_images": "img", "test_images": None}
    data = {"source": "annotations", "path": str(tmp_path), "annotations": settings}
    with pytest.raises(UserError, match=SAID) as of_table:
        table(tmp_path, rows, images="img")
    with pytest.raises(UserError, match=SAID) as of_annotations:
        load(load_annotations, data)
    assert len(of_table.value.args) == len(of_annotations.value.args) == 1


def test_what_the_rows_of_one_of_two_tables_share_is_all_that_is_said(tmp_path: Path) -> None:
    write(tmp_path, {"img/a.png": 1, "test.csv": many_images(tmp_path)})
    with pytest.raises(UserError, match=SAID) as error:
        table(tmp_path, "file,label\na.png,x\n", images="img", test="test.csv")
    assert len(error.value.args) == 1


def test_the_settings_own_paths_may_be_spelled_otherwise_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    rows = "".join(f"{name[4:]},x\n" for name in NAMES[:2])
    write(root, {"sub/t.csv": f"file,label\n{rows}"})
    write(root, {"sub/test.csv": f"file\n{NAMES[2][4:]}\n"})
    entries = [{"file_name": name[4:], "category": "x"} for name in NAMES]
    write(root, {"sub/a.json": json.dumps({"annotations": entries[:2]})})
    write(root, {"sub/test.json": json.dumps({"annotations": entries[2:]})})

    def both(spelled: Callable[[str], str], path: str) -> None:
        settings = {"file": spelled("sub/t.csv"), "test": spelled("sub/test.csv")}
        settings |= {"images": spelled("img"), "labels": "class"}
        given = {"source": "table", "path": path, "table": settings}
        assert load(load_table, given).ids == [name[4:] for name in NAMES]
        settings = {"train": spelled("sub/a.json"), "test": spelled("sub/test.json")}
        settings |= {"train_images": spelled("img"), "test_images": spelled("img/")}
        given = {"source": "annotations", "path": path, "annotations": settings}
        assert load(load_annotations, given).ids == NAMES

    for path in ("set", str(root)):
        both(lambda name: f"./{name}", path)
        both(lambda name: f"a/../{name}", path)
        both(lambda name: ".\\" + name.replace("/", "\\"), path)
        both(lambda name: f"{root}/{name}", path)
        both(lambda name: f"set/{name}", path)


def test_folders_of_parts_may_be_spelled_otherwise_too(tmp_path: Path) -> None:
    write(tmp_path, {"a/x/0.png": 0, "a/y/1.png": 1, "b/x/2.png": 2, "c/3.png": 3})
    settings = {"train": "./a", "valid": ".\\b\\", "test": f"{tmp_path}/c"}
    source = load(load_folder, {"source": "folder", "path": str(tmp_path), "folder": settings})
    assert source.classes == ["x", "y"]
    assert source.folds == [-1, -1, 0, -1]
    assert source.parts == ["train"] * 3 + ["test"]


def test_a_missing_file_or_folder_of_the_settings_is_named_in_short(root: Path) -> None:
    for file in ("./sub/../no.csv", f"{root}/no.csv", ".\\no.csv"):
        with pytest.raises(UserError, match=f"^{root}/no.csv: no such file"):
            table(root, "file,label\n", file=file)
    settings = {"train_images": "img", "test_images": "./no/"}
    data = {"source": "annotations", "path": str(root), "annotations": settings}
    entries = [{"file_name": NAMES[0], "category": "x"}]
    write(root, {"answer.json": json.dumps({"annotations": entries})})
    with pytest.raises(UserError, match=f"^{root}/no: no such folder"):
        load(load_annotations, data)


def test_a_file_that_is_there_is_meant_as_the_settings_spell_it(tmp_path: Path) -> None:
    write(tmp_path, {"a\\t.csv": "file,label\nx.png,one\n", "a/t.csv": "", "x.png": 1})
    assert table(tmp_path, "", file="a\\t.csv").classes == ["one"]
