"""What the map says and holds, against the files of a run."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from foldwise.core.errors import UserError
from foldwise.core.files import write_arrays
from foldwise.images.decode import decode
from foldwise.report.budget import LIMIT
from foldwise.report.map_section import ROOM, SCALE, drawn_rows
from foldwise.report.sprite import CELLS, make_sprite
from stages import present
from tests.pictures import picture
from tests.runs import write_run

CLASSES = ["cat", "dog", "</script>"]


def data_of(page: str) -> dict[str, Any]:
    text = page.partition('id="data">')[2].partition("</script>")[0]
    found: dict[str, Any] = json.loads(text)
    return found


def made(folder: Path, patch: pytest.MonkeyPatch, **keys: Any) -> str:
    """The page, with some keys of `map`; `test` is `evaluate`'s."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    if "test" in keys:
        params["evaluate"]["test"] = keys.pop("test")
    params["map"] |= keys
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    patch.chdir(folder)
    present.main()
    return (folder / "plots/report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("map") / "run"
    write_run(folder, CLASSES, 60)
    return folder


@pytest.mark.slow
def test_every_image_is_said_as_the_run_has_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = made(run, monkeypatch)
    found = data_of(page)["map"]
    table = pd.read_parquet(run / "data/labels.parquet").set_index("id")
    assert sorted(found["ids"]) == sorted(table.index)
    own = np.load(run / "data/outoffold.npz")
    predicted = dict(zip(own["oof_id"].tolist(), own["labels"], strict=True))
    for number, id in enumerate(found["ids"]):
        labels = table.loc[id, CLASSES].to_numpy(int)
        assert found["labels"][number] == np.flatnonzero(labels).tolist()
        assert found["known"][number] == 1
        fold = found["fold"][number]
        assert (fold < 0) == id.startswith("test/")
        if fold >= 0:
            assert id in np.load(run / f"data/features/cnn/{fold}.npz")["oof_id"]
            assert found["predicted"][number] == np.flatnonzero(predicted[id]).tolist()
            assert found["wrong"][number] == (labels != predicted[id]).sum()
    assert {*map(len, (found[each] for each in ("x", "y", "fold", "known")))} == {90}
    assert min(found["x"] + found["y"]) >= 0
    assert max(found["x"] + found["y"]) <= SCALE
    assert made(run, monkeypatch) == page


def test_images_of_equal_labels_lie_together_whichever_fold_saw_them(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = data_of(made(run, monkeypatch))["map"]
    points = np.stack([found["x"], found["y"]], 1)
    folds = np.array(found["fold"])
    labels = [tuple(each) for each in found["labels"]]
    far = np.linalg.norm(points[:, None] - points, axis=2)
    hits = []
    for row in np.flatnonzero(folds == 1):
        # Among images that another network saw.
        others = np.flatnonzero(folds == 0)
        hits.append(labels[others[far[row, others].argmin()]] == labels[row])
    assert np.mean(hits) > 0.9


def test_the_pictures_are_those_of_the_images(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = data_of(made(run, monkeypatch))["map"]
    sheet = decode(base64.b64decode(found["sprite"]), 3)
    side, columns = found["side"], found["columns"]
    order = [f"train/{each}.png" for each in range(60)] + [f"test/{each}.png" for each in range(30)]
    seen = decode(picture(order.index("train/7.png")), 3)
    number = found["ids"].index("train/7.png")
    top, left = number // columns * side, number % columns * side
    cell = sheet[top : top + side, left : left + side].astype(float)
    expected = cv2.resize(seen, (side, side), interpolation=cv2.INTER_NEAREST).astype(float)

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert alike(cell, expected) > 0.6
    assert alike(np.roll(cell, side // 2, 0), expected) < 0.3


@pytest.mark.parametrize("kept", [True, False])
def test_without_features_there_is_no_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    write_run(tmp_path, CLASSES, 20)
    nothing = {"oof_features": np.empty((0, 0), np.float16), "oof_id": np.empty(0, str)}
    nothing |= {"test_features": np.empty((0, 0), np.float16), "test_id": np.empty(0, str)}
    for fold in (0, 1):
        write_arrays(tmp_path / f"data/features/cnn/{fold}.npz", **nothing)
    page = made(tmp_path, monkeypatch, features=kept)
    assert "map" not in data_of(page)
    assert 'id="map"' not in page


def test_missing_features_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, CLASSES, 20)
    (tmp_path / "data/features/cnn/1.npz").unlink()
    with pytest.raises(UserError, match=r"features/cnn/1\.npz: no such file; `dvc repro predict`"):
        made(tmp_path, monkeypatch)


def test_a_test_part_that_nobody_looks_at_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, CLASSES, 60)
    for name in ("classes", "class_precision_recall", "tail_accuracy", "confusion",
                 "labels_per_image"):  # fmt: skip
        path = tmp_path / f"plots/{name}.csv"
        table = pd.read_csv(path)
        table[table["part"] == "oof"].to_csv(path, index=False)
    found = data_of(made(tmp_path, monkeypatch, test=False))["map"]
    assert len(found["ids"]) == 60
    assert min(found["fold"]) == 0


def test_an_unlabelled_test_part_is_drawn_with_what_is_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, CLASSES, 40, unlabelled=True)
    found = data_of(made(tmp_path, monkeypatch))["map"]
    tests = [number for number, fold in enumerate(found["fold"]) if fold < 0]
    assert len(tests) == 20
    logits = dict(
        zip(*(np.load(tmp_path / "data/ensemble.npz")[each] for each in ("test_id", "test_logits")),
            strict=True)
    )  # fmt: skip
    for number in tests:
        assert (found["known"][number], found["wrong"][number]) == (0, 0)
        assert found["labels"][number] == []
        wanted = np.flatnonzero(logits[found["ids"][number]] >= 0).tolist()
        assert found["predicted"][number] == wanted


def test_few_test_images_leave_the_first_fold_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, CLASSES, 30)
    page = made(tmp_path, monkeypatch)
    assert {*data_of(page)["map"]["fold"]} == {0}
    assert "Of the first fold&#39;s held-out images alone" in page


@pytest.mark.slow
def test_suspects_and_galleries_are_drawn_first(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = data_of(made(run, monkeypatch, images=4000))
    cards = {
        card["id"]
        for gallery in whole["galleries"]
        for row in gallery["rows"]
        for card in row["cards"]
    }
    page = made(run, monkeypatch, images=len(cards))
    assert {*data_of(page)["map"]["ids"]} == cards
    assert f"Drawn are {len(cards)} of 90 images" in page
    fewer = data_of(made(run, monkeypatch, images=10))
    suspects = next(each for each in fewer["galleries"] if each["title"].startswith("Suspected"))
    shown = {card["id"] for row in suspects["rows"] for card in row["cards"]}
    assert len(fewer["map"]["ids"]) == 10
    assert shown >= {*fewer["map"]["ids"]} or {*fewer["map"]["ids"]} >= shown
    made(run, monkeypatch, images=4000)


def test_a_sample_does_not_hang_on_the_order_of_images() -> None:
    ids = np.array([f"i{each}" for each in range(50)])
    order = np.random.default_rng(0).permutation(50)
    found = {str(each) for each in ids[drawn_rows(ids, ["i3"], 12, 5)]}
    assert found == {str(each) for each in ids[order][drawn_rows(ids[order], ["i3"], 12, 5)]}
    assert "i3" in found
    assert len(found) == 12
    assert found != {str(each) for each in ids[drawn_rows(ids, ["i3"], 12, 6)]}


@pytest.mark.slow
def test_thousands_of_pictures_of_noise_fit() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (4000, 40, 40, 3), np.uint8)
    found = make_sprite(iter(pictures), ROOM)
    assert len(found.encoded) <= ROOM
    assert CELLS[-1] <= found.side < CELLS[0]
    calm = make_sprite((np.full((40, 30, 3), each % 256, np.uint8) for each in range(4000)), ROOM)
    assert calm.side == CELLS[0]
    assert len(calm.encoded) < ROOM < LIMIT / 3


@pytest.mark.slow
def test_a_member_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Where images lie to member cnn" in made(run, monkeypatch, member="cnn")
    with pytest.raises(UserError, match=r"map\.member: 'other' is not among `members` \(cnn\)"):
        made(run, monkeypatch, member="other")
    made(run, monkeypatch, member=None)
