"""The stage `split`: what it writes and what it says; and the submissions that sources ask for."""

import hashlib
import io
import json
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.settings import read
from foldwise.evaluation.submission import submission
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from stages import fetch, split
from tests.conftest import TINY, Project
from tests.pictures import picture, write
from tests.server import Server


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], **params: Any
) -> dict[str, Any]:
    """Fetch and split; metrics/data.json."""
    monkeypatch.chdir(folder)
    content = TINY | {"data": {"extra_path": "data/extra"} | data} | params
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    fetch.main()
    split.main()
    told: dict[str, Any] = json.loads((folder / "metrics/data.json").read_text())
    return told


@pytest.mark.slow
def test_duplicates_stay_together_and_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    smooth = {f"in/train/a/{index}.jpg": picture(index, ".jpg", 64) for index in range(12)}
    write(tmp_path, {**smooth, "in/test/a/new.png": 99, "in/train/b/other.png": 50})
    # The same bytes under another class, the same picture saved anew, and one in the test part.
    pixels = cv2.imdecode(np.frombuffer(picture(3, ".jpg", 64), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    again = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    write(
        tmp_path, {"in/train/b/copy.jpg": smooth["in/train/a/5.jpg"], "in/train/a/again.jpg": again}
    )
    write(tmp_path, {"in/test/a/leak.jpg": smooth["in/train/a/7.jpg"]})
    data = {"source": "folder", "path": "in"}
    told = run(tmp_path, monkeypatch, data)
    assert told["duplicates"] == {
        "exact": 2,
        "near": 1,
        "across_train_and_test": 1,
        "across_folds": 0,
        "exact_with_other_labels": 1,
    }
    fold = files.read_folds().set_index("id")["fold"]
    assert fold["train/a/3.jpg"] == fold["train/a/again.jpg"]
    assert fold["train/a/5.jpg"] == fold["train/b/copy.jpg"]
    assert len(fold) == 15
    said = capsys.readouterr().err
    assert "warning: 1 pictures are in the train and in the test part" in said
    assert "train/a/7.jpg = test/a/leak.jpg" in said
    listed = pd.read_csv(tmp_path / "data/duplicates.csv")
    assert set(listed["id"]) == {
        *("train/a/3.jpg", "train/a/again.jpg", "train/a/5.jpg", "train/b/copy.jpg"),
        *("train/a/7.jpg", "test/a/leak.jpg"),
    }
    apart = [
        run(
            tmp_path,
            monkeypatch,
            data,
            split={"method": "kfold", "duplicates": "ignore"},
            seed=each,
        )
        for each in range(4)
    ]
    assert max(each["duplicates"]["across_folds"] for each in apart) > 0


def test_what_is_told_of_parts_and_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["file,x,y", *(f"{index}.png,{index % 2},{int(index < 4)}" for index in range(16))]
    write(tmp_path, {f"in/i/{index}.png": index for index in range(16)})
    write(tmp_path, {"in/t.csv": "\n".join(rows)})
    table = {"file": "t.csv", "images": "i", "labels": "columns"}
    told = run(
        tmp_path,
        monkeypatch,
        {"source": "table", "path": "in", "table": table},
        split={"method": "kfold", "test": 0.25, "stratify": True},
    )
    assert told["train"]["images"] == 12
    assert told["test"]["images"] == 4
    assert told["fold 0"]["images"] + told["fold 1"]["images"] == 12
    assert told["train"]["height"] == {"min": 24, "mean": 24.0, "max": 24}
    labels = files.read_labels().set_index("id")
    fold = files.read_folds().set_index("id")["fold"]
    shares = [labels.loc[fold.index[fold == each], ["x", "y"]].mean() for each in (0, 1)]
    assert told["imbalance"]["largest"] == pytest.approx(np.abs(shares[0] - shares[1]).max())
    plotted = pd.read_csv(tmp_path / "plots/data.csv").set_index(["set", "class"])
    assert plotted.loc[("fold 1", "y"), "prevalence"] == pytest.approx(shares[1]["y"])
    assert plotted.loc[("train", "x"), "images"] == labels.loc[fold.index, "x"].sum()
    assert (tmp_path / "plots/data.png").read_bytes().startswith(b"\x89PNG")


def test_unlabelled_test_parts_and_listed_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, count in {"train": 6, "val": 3}.items():
        for name in (f"in/{part}/{each}/{index}.png" for each in "ab" for index in range(count)):
            write(tmp_path, {name: zlib.crc32(name.encode())})
    write(tmp_path, {"in/test/1.png": 1})
    told = run(
        tmp_path,
        monkeypatch,
        {"source": "folder", "path": "in"},
        split={"method": "list"},
        folds=[0],
    )
    assert "prevalence" not in told["test"]
    assert told["fold 0"]["images"] == 6
    assert files.read_folds()["fold"].tolist() == [-1] * 12 + [0] * 6


def test_downloaded_archives_are_the_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(6):
            content = picture(number)
            member = tarfile.TarInfo(f"pets/{'cat' if number % 2 else 'dog'}/{number}.png")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    server.content = buffer.getvalue()
    checksum = "sha256:" + hashlib.sha256(server.content).hexdigest()
    data = {
        "source": "folder",
        "path": "in",
        "downloads": [{"url": server.url, "checksum": checksum}],
        "folder": {"train": "pets"},
    }
    told = run(tmp_path, monkeypatch, data, split={"method": "kfold", "test": 0.0})
    assert told["train"]["images"] == 6
    dataset = files.read_dataset()
    assert dataset["classes"] == ["cat", "dog"]
    assert dataset["origin"]["downloads"] == [server.url]
    settings = read("data", Data)
    assert fetch.open_source(settings, Problems()).read(0) == picture(1)
    assert len(server.asked) == 1


@pytest.mark.slow
def test_another_archive_or_checksum_reruns_fetch(project: Project, tmp_path: Path) -> None:
    """The archive lies outside of the repository."""
    outside = tmp_path / "outside" / "pets.zip"
    outside.parent.mkdir()

    def pack(*numbers: int) -> None:
        with zipfile.ZipFile(outside, "w") as archive:
            for number in numbers:
                # Without the time, so that the same images make the same archive.
                name = f"{'odd' if number % 2 else 'even'}/{number}.png"
                archive.writestr(zipfile.ZipInfo(name), picture(number))

    def stale() -> str:
        return project.run("dvc", "status", "fetch").stdout

    pack(1, 2, 3)
    data: dict[str, Any] = {"source": "folder", "path": str(outside)}
    project.write_params(TINY | {"data": {"extra_path": "data/extra"} | data})
    project.run("dvc", "repro", "-s", "fetch")
    assert "up to date" in stale()
    pack(1, 2, 4)
    assert "pets.zip" in stale()
    pack(1, 2, 3)
    assert "up to date" in stale()
    data["downloads"] = [{"url": "http://localhost/x.zip", "checksum": "md5:" + "0" * 32}]
    project.write_params(TINY | {"data": {"extra_path": "data/extra"} | data})
    assert "params.yaml" in stale()


def test_submission_of_the_course_project() -> None:
    form = {"index": "filename", "class": "class", "file_names": True, "sort": True}
    table = submission(
        {"classes": ["7", "70"], "submission": form},
        ["test_data/10.jpg", "test_data/9.jpg", "test_data/x.jpg"],
        np.array([1, 0, 0]),
        np.zeros((3, 2)),
    )
    assert table.to_csv(index=False) == "filename,class\nx.jpg,7\n9.jpg,7\n10.jpg,70\n"
    alike = ["a/1.jpg", "b/1.jpg", "b/2.jpg"]
    table = submission(
        {"classes": ["7", "70"], "submission": form}, alike, np.zeros(3, int), np.zeros((3, 2))
    )
    # A bare name would not say which image is meant.
    assert table["filename"].tolist() == alike
    none = submission(
        {"classes": ["7", "70"], "submission": form}, [], np.empty(0, int), np.empty((0, 2))
    )
    assert none.columns.tolist() == ["filename", "class"]


def test_submission_of_columns_in_their_own_order() -> None:
    form = {"index": "file", "columns": ["b", "a"], "file_names": True}
    table = submission(
        {"classes": ["a", "b"], "submission": form},
        ["i/2.png", "i/1.png"],
        np.zeros(2, int),
        np.array([[1, 0], [0, 0]]),
    )
    assert table.to_csv(index=False) == "file,b,a\n2.png,0,1\n1.png,0,0\n"


@pytest.mark.slow
def test_classes_that_a_division_takes_away_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        tmp_path,
        {
            f"in/{name}/{index}.png": index + 20 * (name == "b")
            for name in "ab"
            for index in range(8)
        },
    )
    write(tmp_path, {"in/rare/0.png": 99})
    data = {"source": "folder", "path": "in"}
    refused: list[str] = []
    warned = 0
    for seed in range(12):
        try:
            run(tmp_path, monkeypatch, data, split={"method": "kfold", "test": 0.4}, seed=seed)
        except UserError as error:
            refused.append(str(error))
            continue
        warned += 1
        fold = files.read_folds().set_index("id")["fold"]["rare/0.png"]
        said = capsys.readouterr().err
        assert f"warning: fold {fold} trains on no image that shows 'rare'" in said
    assert warned
    assert refused
    assert all("params.yaml: split.test: " in line and "'rare'" in line for line in refused)


def test_one_class_alone_is_divided_by_its_two_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{index}.png,{int(index % 4 == 0)}\n" for index in range(32))
    write(tmp_path, {f"in/i/{index}.png": index for index in range(32)})
    write(tmp_path, {"in/t.csv": f"file,defect\n{rows}"})
    table = {"file": "t.csv", "images": "i", "labels": "columns"}
    data = {"source": "table", "path": "in", "table": table}
    split = {"method": "kfold", "stratify": True, "test": 0.25}
    told = run(tmp_path, monkeypatch, data, split=split)
    for part in ("train", "test", "fold 0", "fold 1"):
        assert told[part]["prevalence"]["mean"] == 0.25
    assert "warning" not in capsys.readouterr().err
