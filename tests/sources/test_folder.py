"""A folder per class: parts, order, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldwise.core.errors import UserError
from foldwise.sources.folder import load_folder
from foldwise.sources.source import UNLABELLED, Source
from tests.pictures import load, write

NONE = int(UNLABELLED)


def folder_source(root: Path, **settings: Any) -> Source:
    return load(load_folder, {"source": "folder", "path": str(root), **settings})


def test_folder_of_classes(tmp_path: Path) -> None:
    write(tmp_path, {"b/10.png": 1, "b/9.png": 2, "a/deep/x.png": 3, "a/.DS_Store": "junk"})
    write(tmp_path, {"._b.zip": "junk"})
    source = folder_source(tmp_path)
    assert source.ids == ["a/deep/x.png", "b/9.png", "b/10.png"]
    assert source.classes == ["a", "b"]
    assert source.labels.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert source.task == "multiclass"
    assert source.folds is None
    assert folder_source(tmp_path, classes=["b", "a"]).labels[0].tolist() == [0, 1]


def test_what_is_not_called_an_image_lies_beside_the_classes(tmp_path: Path) -> None:
    """As data/incoming/README.md does, where the classes' folders are put beside it."""
    write(tmp_path, {"a/0.png": 0, "b/1.png": 1, "README.md": "where data lies", "list.csv": ""})
    assert folder_source(tmp_path).ids == ["a/0.png", "b/1.png"]


@pytest.mark.parametrize("labelled", [True, False])
def test_folder_of_parts(tmp_path: Path, labelled: bool) -> None:
    write(tmp_path, {"train/a/0.png": 0, "train/b/1.png": 1, "val/a/2.png": 2})
    write(tmp_path, {"test/a/3.png" if labelled else "test/3.png": 3})
    source = folder_source(tmp_path)
    assert source.parts == ["train"] * 3 + ["test"]
    assert source.folds == [-1, -1, 0, -1]
    assert source.labels[3].tolist() == ([1, 0] if labelled else [NONE, NONE])


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"train/a/0.png": 0, "train/b/0.png": 0, "train/1.png": 1},
            r"train/1\.png: lies in no class's folder",
        ),
        ({"train/a/0.png": 0, "test/b/1.png": 1}, "train part has no folder of this class"),
        ({"0.png": 0}, "no folder per class"),
        ({"Train/a/0.png": 0, "Test/a/1.png": 1}, "Test, Train would be classes"),
        ({"pets/a/0.png": 0, "pets/b/1.png": 1}, "a single class, 'pets'"),
        ({"train/a/0.png": 0, "train/b/1.png": 1, "valid/a/2.png": 2}, "valid: belongs to no part"),
    ],
)
def test_folder_refuses(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    write(tmp_path, files)
    with pytest.raises(UserError, match=said):
        folder_source(tmp_path)


def test_a_folder_that_is_named_must_be_there(tmp_path: Path) -> None:
    write(tmp_path, {"a/0.png": 0, "b/1.png": 1})
    with pytest.raises(UserError, match=r"trian: no such folder; see data\.folder\.train"):
        folder_source(tmp_path, folder={"train": "trian"})


def test_the_order_of_files_is_that_of_their_names(tmp_path: Path) -> None:
    """Whatever order the file system lists them in."""
    names = [f"{letter}/{number}.png" for letter in "ba" for number in (11, 2, 1)]
    one = write(tmp_path / "one", dict.fromkeys(names, 0))
    other = write(tmp_path / "other", dict.fromkeys(reversed(names), 0))
    assert folder_source(one).ids == folder_source(other).ids
    assert folder_source(one).ids == [f"{each}/{n}.png" for each in "ab" for n in (1, 2, 11)]
    assert np.array_equal(folder_source(one).labels, folder_source(other).labels)
