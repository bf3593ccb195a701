"""The competition's layout: what is read, what is refused, what is submitted."""

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from foldwise.core.errors import UserError
from foldwise.sources.dacon import load_dacon
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import UNLABELLED, Source
from foldwise.sources.tree_mount import open_tree
from tests.conftest import TINY, Project

CLASSES = list("abc")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight train images and four test images, index unpadded, file names padded."""
    rng = np.random.default_rng(0)
    root = tmp_path / "incoming"
    for folder, indices in (("dirty_mnist_2nd", range(8)), ("test_dirty_mnist_2nd", range(50, 54))):
        (root / folder).mkdir(parents=True)
        for index in indices:
            pixels = rng.integers(0, 255, (32, 32), np.uint8)
            cv2.imwrite(str(root / folder / f"{index:05d}.png"), pixels)
    table = pd.DataFrame(rng.integers(0, 2, (8, 3)), columns=CLASSES)
    table.insert(0, "index", range(8))
    table.sample(frac=1, random_state=0).to_csv(root / "dirty_mnist_2nd_answer.csv", index=False)
    sample = pd.DataFrame(0, index=range(4), columns=["c", "a", "b"])
    sample.insert(0, "index", [53, 50, 52, 51])
    sample.to_csv(root / "sample_submission.csv", index=False)
    return root


def load(root: Path) -> Source:
    problems = Problems()
    source = load_dacon(
        Data(source="dacon", path=str(root), extra_path="extra"), open_tree([root]), problems
    )
    problems.check()
    return source


def test_rows_images_and_order(root: Path) -> None:
    source = load(root)
    answers = pd.read_csv(root / "dirty_mnist_2nd_answer.csv")
    assert source.classes == CLASSES
    assert source.ids == [*answers["index"].astype(str), "53", "50", "52", "51"]
    assert source.parts == ["train"] * 8 + ["test"] * 4
    assert np.array_equal(source.labels[:8], answers[CLASSES])
    assert (source.labels[8:] == UNLABELLED).all()
    assert source.table(range(12))["a"].isna().tolist() == [False] * 8 + [True] * 4
    for position, id in enumerate(source.ids):
        folder = "dirty_mnist_2nd" if position < 8 else "test_dirty_mnist_2nd"
        assert source.read(position) == (root / folder / f"{int(id):05d}.png").read_bytes()


def edit(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        table = pd.read_csv(root / name, dtype=str)
        change(table).to_csv(root / name, index=False)

    return apply


ANSWER = "dirty_mnist_2nd_answer.csv"
BREAKS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no folder": (lambda root: shutil.rmtree(root), ["incoming", "no such file", "data.path"]),
    "no answers": (lambda root: (root / ANSWER).unlink(), [ANSWER, "no such file"]),
    "no sample": (lambda root: (root / "sample_submission.csv").unlink(), ["sample_submission"]),
    "no images": (
        lambda root: shutil.rmtree(root / "test_dirty_mnist_2nd"),
        ["sample_submission.csv", "none is there", "test_dirty_mnist_2nd"],
    ),
    "row without image": (
        lambda root: (root / "dirty_mnist_2nd/00003.png").unlink(),
        [ANSWER, "row ", "no image", "00003.png"],
    ),
    "image without row": (
        edit(ANSWER, lambda table: table[table["index"] != "5"]),
        ["00005.png", "has no row"],
    ),
    "no row of its own": (
        lambda root: shutil.copy(root / ANSWER, root / "sample_submission.csv"),
        ["sample_submission.csv", "index 0 stands in", "each image has an index of its own"],
    ),
    "duplicate index": (
        edit(ANSWER, lambda table: pd.concat([table, table.iloc[:1]])),
        [ANSWER, "row 10", "second time"],
    ),
    "class column missing": (
        edit(ANSWER, lambda table: table.drop(columns="b")),
        [ANSWER, "no column 'b'"],
    ),
    "class column missing in sample": (
        edit("sample_submission.csv", lambda table: table.drop(columns="a")),
        ["sample_submission.csv", "no column 'a'"],
    ),
    "bad label": (
        edit(ANSWER, lambda table: table.assign(b=["1"] * 7 + ["2"])),
        [ANSWER, "row 9", "'b'", "'2'"],
    ),
    "bad index": (
        edit(ANSWER, lambda table: table.assign(index=["x", *table["index"][1:]])),
        [ANSWER, "row 2", "'x'"],
    ),
    "index in both": (
        edit("sample_submission.csv", lambda table: table.assign(index=["3", "50", "51", "52"])),
        ["sample_submission.csv: row 2", "index 3 stands in"],
    ),
    "empty table": (lambda root: (root / ANSWER).write_text(""), [ANSWER, "has no rows"]),
    "ragged table": (
        lambda root: (root / ANSWER).write_text("index,a\n1,2\n1,2,3,4\n"),
        [ANSWER, "row 3: has 4 cells where the header has 2"],
    ),
    "row longer than the header": (
        lambda root: (root / ANSWER).write_text("index,a,b,c\n0,1,1,1,1\n"),
        [ANSWER, "5 cells where the header has 4"],
    ),
    "duplicate index, spelled differently": (
        edit(ANSWER, lambda table: pd.concat([table, table.iloc[:1].assign(index="003")])),
        [ANSWER, "row 10", "index '3'", "second time"],
    ),
    "not UTF-8": (
        lambda root: (root / ANSWER).write_bytes(b"index,\xff\xfe\n1,1\n"),
        [ANSWER, "row 1: is not UTF-8"],
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_bad_input_is_named(root: Path, name: str) -> None:
    breaks, said = BREAKS[name]
    breaks(root)
    with pytest.raises(UserError) as error:
        load(root).table(range(12))
    for word in said:
        assert word in str(error.value)


@pytest.mark.slow
def test_pipeline_to_submission(
    root: Path, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = TINY | {
        "data": {"source": "dacon", "path": str(root), "extra_path": "extra"},
        "epochs": 1,
        "split": {"method": "holdout", "fraction": 0.5},
        "folds": [0],
    }
    project.write_params(params)
    broken = root / "dirty_mnist_2nd/00002.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    error = project.stage("fetch", code=1)
    assert error.count("\nerror: ") == 1
    assert "00002.png: does not decode" in error
    assert not list((project.path / "data").glob("*images*"))
    broken.write_bytes(whole)

    monkeypatch.chdir(project.path)
    for name in ("fetch", "split", "train", "predict", "ensemble", "threshold", "evaluate"):
        matrix = ["--member", "cnn", "--fold", "0"] if name in ("train", "predict") else []
        monkeypatch.setattr(sys, "argv", [name, *matrix])
        importlib.import_module(f"stages.{name}").main()
    sample = pd.read_csv(root / "sample_submission.csv")
    submission = pd.read_csv(project.path / "data/submission.csv")
    assert submission.columns.tolist() == sample.columns.tolist()
    assert submission["index"].tolist() == sample["index"].tolist()
    assert (submission.dtypes == sample.dtypes).all()
    assert set(np.unique(submission[CLASSES])) <= {0, 1}


def test_what_all_rows_share_is_all_that_is_said(root: Path) -> None:
    for path in (root / "dirty_mnist_2nd").iterdir():
        path.rename(path.with_suffix(".jpg"))
    with pytest.raises(
        UserError, match=r"of its 8 images none is there .*\.png, not \.jpg"
    ) as error:
        load(root)
    assert len(error.value.args) == 1
