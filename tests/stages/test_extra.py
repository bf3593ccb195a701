"""Extra data through `fetch` and `split`: what is learnt from, and what would give away."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from foldwise.composing.kept import all_composed
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.features import predicting
from foldwise.features.kept import image_sets
from foldwise.images.store import ImageStore
from foldwise.model.saved import images_digest
from stages import fetch, split
from tests.conftest import TINY, Project
from tests.pictures import picture, write

SPLIT = {"method": "kfold", "test": 0.25, "group": True}
MAIN = {
    "source": "table",
    "path": "data/incoming",
    "extra_path": "data/extra",
    "table": {"file": "t.csv", "labels": "columns", "group": "patient"},
}
MORE = {"file": "t.csv", "labels": "columns", "group": "who"}
LETTERS = {"from": "fonts", "compose": {"canvas": 32, "size": [8, 14], "glyphs": [1, 1]}}
EXTRA: dict[str, Any] = {
    "more": {
        "source": "table",
        "path": "data/extra/more",
        "table": MORE,
        "classes": {"ecks": "x", "oh": "y"},
    },
    "free": {"source": "images", "path": "data/extra/free"},
    "twin": {"source": "glyphs", "glyphs": LETTERS},
}


def again(number: int) -> bytes:
    """A picture of the data set saved anew, less well."""
    pixels = cv2.imdecode(np.frombuffer(picture(number, ".jpg", 64), np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set, and two sources beside it that give some of it away."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{each}.jpg,p{each},{each % 2},{each % 3 % 2},{each // 2 % 2}" for each in range(16)]
    table = "\n".join(["file,patient,x,y,z", *rows])
    main = {f"data/incoming/{each}.jpg": picture(each, ".jpg", 64) for each in range(16)}
    write(tmp_path, {"data/incoming/t.csv": table, **main})
    more = {f"data/extra/more/{each}.jpg": picture(50 + each, ".jpg", 64) for each in range(4)}
    cells = ["0,q,1,0,1", "1,q,0,-1,1", "2,p3,0,1,1", "3,,0,0,0", "same,,1,1,1", "saved,,1,0,1"]
    cells = [each.replace(",", ".jpg,", 1) for each in cells]
    write(tmp_path, {**more})
    write(
        tmp_path,
        {
            "data/extra/more/same.jpg": picture(5, ".jpg", 64),
            "data/extra/more/saved.jpg": again(7),
            "data/extra/more/t.csv": "\n".join(["file,who,ecks,oh,other", *cells]),
            "data/extra/free/a/new.jpg": picture(90, ".jpg", 64),
            "data/extra/free/old.jpg": again(9),
            "data/extra/free/notes.txt": "no image",
        },
    )
    return tmp_path


def run(extra: dict[str, Any], **params: Any) -> None:
    content = TINY | {"data": MAIN | {"extra": extra}, "split": SPLIT} | params
    Path("params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    fetch.main()
    split.main()


def written() -> dict[str, bytes]:
    found = [each for folder in ("data", "metrics", "plots") for each in Path(folder).rglob("*")]
    return {str(each): each.read_bytes() for each in found if each.is_file()}


def test_extra_rows_are_learnt_from_and_never_own(
    sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run({})
    alone, own = written(), files.read_labels()
    assert files.read_extra().empty
    assert Path("data/extra.csv").read_text() == "id,source,left_out\n"
    assert Path("data/looks.json").read_text() == "{}\n"
    assert "extra" not in files.read_dataset()
    assert "extra" not in files.read_json(Path("metrics/data.json"), "split")
    assert capsys.readouterr().err.count("warning") == 0

    run(EXTRA)
    both = written()
    for name in ("folds.csv", "duplicates.csv"):
        assert both[f"data/{name}"] == alone[f"data/{name}"]
    assert both["plots/data.csv"] == alone["plots/data.csv"]
    pd.testing.assert_frame_equal(files.read_labels(), own)
    assert files.own_ids() == own["id"].tolist()
    with pytest.raises(UserError, match=r"no image 'more/0\.jpg'"):
        files.labels_of(["more/0.jpg"], ["x"])

    told = pd.read_csv("data/extra.csv", keep_default_na=False).set_index("id")
    assert told["left_out"].to_dict() == {
        "free/a/new.jpg": "",
        "free/old.jpg": "looks like 9.jpg",
        "more/0.jpg": "",
        "more/1.jpg": "",
        "more/2.jpg": "is of the group of 3.jpg",
        "more/3.jpg": "",
        "more/same.jpg": "has the bytes of 5.jpg",
        "more/saved.jpg": "looks like 7.jpg",
    }
    counts = {"free": {"images": 2, "left_out": 1}, "more": {"images": 6, "left_out": 3}}
    metrics = files.read_json(Path("metrics/data.json"), "split")
    assert metrics.pop("extra") == counts
    assert metrics == yaml.safe_load(alone["metrics/data.json"])
    said = capsys.readouterr().err
    assert said.count("warning") == 1
    assert "4 of 8 extra images are left out" in said

    used = files.read_extra().set_index("id")
    assert set(used) == {"part", "source", "x", "y", "z"}
    assert used.index.tolist() == ["free/a/new.jpg", "more/0.jpg", "more/1.jpg", "more/3.jpg"]
    assert used["part"].tolist() == ["unlabelled", "extra", "extra", "extra"]
    assert used["source"].tolist() == ["free", "more", "more", "more"]
    assert used[["x", "y", "z"]].iloc[0].isna().all()
    assert used[["x", "y", "z"]].iloc[1:].to_numpy().tolist() == [
        *([1, 0, -1], [0, -1, -1], [0, 0, -1])
    ]
    facts = files.read_dataset()["extra"]
    assert facts["more"]["images"] == {"extra": 6, "unlabelled": 0}
    assert facts["free"]["images"] == {"extra": 0, "unlabelled": 2}
    assert facts["twin"]["classes"] == ["x", "y", "z"]

    store = ImageStore(files.IMAGES)
    assert set(store.ids) == {*own["id"], *told.index}
    assert store.data("more/same.jpg") == picture(5, ".jpg", 64)
    composed = all_composed(files.IMAGES)["twin"]
    assert composed.glyphs.classes == ["x", "y", "z"]
    looks = files.read_json(files.LOOKS, "split")
    assert looks == {"twin": composed.settings.model_dump(mode="json")}
    sheet = cv2.imread("plots/extra.png")
    assert sheet is not None
    rows = (sheet.shape[0] - 12) / (192 + 20 + 12)
    assert rows == 4

    write(sets, {"data/extra.csv": "id,source,left_out\nfree/a/new.jpg,free,\n"})
    with pytest.raises(UserError, match=r"extra\.csv: is damaged"):
        files.read_extra()


def test_neither_names_order_nor_labels_of_the_test_part_decide(sets: Path) -> None:
    run(EXTRA)
    before = written()
    run(dict(reversed(EXTRA.items())))
    assert written() == before


def test_what_is_always_trained_on_may_be_there_twice(sets: Path) -> None:
    holdout: dict[str, Any] = {"split": {"method": "holdout", "test": 0.25}, "folds": [0]}
    run({}, **holdout)
    fold = files.read_folds().set_index("id")["fold"]
    trained, held_out = (fold.index[fold == each][0] for each in (-1, 0))
    for name in (trained, held_out):
        shutil.copy(f"data/incoming/{name}", f"data/extra/free/a/{name}")
    run(EXTRA, **holdout)
    told = pd.read_csv("data/extra.csv", keep_default_na=False).set_index("id")["left_out"]
    assert told[f"free/a/{trained}"] == ""
    assert told[f"free/a/{held_out}"] == f"has the bytes of {held_out}"
    # Groups count only where `split.group` says so.
    assert told["more/2.jpg"] == ""


def test_an_extra_source_that_is_given_away_whole_is_refused(sets: Path) -> None:
    shutil.rmtree("data/extra/free/a")
    with pytest.raises(UserError, match=r"data\.extra\.free: each of its 1 images gives away"):
        run({"free": EXTRA["free"]})


def test_extra_images_are_no_part_of_what_is_predicted(
    sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(EXTRA)
    store, folds = ImageStore(files.IMAGES), files.read_folds()
    own = set(files.own_ids())
    unseen = own - set(folds.loc[folds["fold"] != 0, "id"])
    digest = images_digest(store.sha256()[id] for id in unseen)
    monkeypatch.setattr(predicting, "read_model", lambda _: {"unseen": digest})
    images = predicting.images_of_fold(Path("m"), 0, store)
    assert set(images["oof"]) | set(images["test"]) == unseen
    assert {len(each) for each in image_sets(folds, files.own_ids())} == {4, 12}
    monkeypatch.setattr(
        predicting, "read_model", lambda _: {"unseen": images_digest(store.sha256().values())}
    )
    with pytest.raises(UserError, match="was trained on images"):
        predicting.images_of_fold(Path("m"), 0, store)


def test_a_look_that_is_fitted_is_of_the_train_part_alone(
    sets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def look_of(composed: Any, ids: list[str], *_: Any) -> Any:
        seen.append((composed.fit, ids))
        return composed.settings.model_copy(update={"canvas": 48})

    monkeypatch.setattr(split, "look_of", look_of)
    twin = {"source": "glyphs", "glyphs": LETTERS | {"fit": True}}
    run({"twin": twin})
    ((fit, ids),) = seen
    assert fit
    assert sorted(ids) == sorted(files.read_folds()["id"])
    assert files.read_json(files.LOOKS, "split")["twin"]["canvas"] == 48


@pytest.mark.slow
def test_a_twin_is_fitted_to_the_train_parts_images(project: Project) -> None:
    """Beginning far off: number, canvas and noise are read off, and the look comes nearer."""
    params = copy.deepcopy(TINY)
    whole = params["data"]["glyphs"]["compose"] | {"noise": [0.2, 0.3], "ink": [0.9, 1.0]}
    params["data"]["glyphs"]["compose"] = whole
    off = {"canvas": 48, "size": [10, 12], "glyphs": [1, 1], "noise": [0.0, 0.0], "ink": [0.3, 0.4]}
    glyphs = {"from": "digits", "compose": off, "fit": True}
    params["data"] |= {"extra": {"twin": {"source": "glyphs", "glyphs": glyphs}}}
    project.write_params(params)
    project.stage("fetch")
    project.stage("split")
    look = json.loads((project.path / "data/looks.json").read_text())["twin"]
    assert (look["canvas"], look["glyphs"]) == (24, [1, 3])
    assert look["noise"] == pytest.approx([0.2, 0.3], abs=0.05)
    assert look["ink"][1] > 0.7
    first = project.bytes_of("data/looks.json", "plots")
    project.stage("split")
    assert project.bytes_of("data/looks.json", "plots") == first
