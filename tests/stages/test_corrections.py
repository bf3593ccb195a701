"""Corrected labels through the pipeline: what they change, what they rerun and what they do not."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.evaluation.predictions import read_parts
from foldwise.report.label_errors import suspected_errors
from stages import fetch, split
from tests.conftest import TINY, Project
from tests.pictures import write
from tests.stages.test_fetch import run_fetch

HEADER = "id,class,was,is,when,why"
WHEN = "2026-11-26T18:00:00Z"
DATA = {
    "source": "table",
    "path": "in",
    "on_error": "skip",
    "table": {"file": "t.csv", "labels": "columns"},
}


def answers(*rows: str) -> str:
    return "\n".join([HEADER, *(row.replace("@", WHEN) for row in rows), ""])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve images of two classes, one of them cut off."""
    cells = [f"{index}.png,{index % 2},{index // 6}" for index in range(12)]
    write(tmp_path, {f"in/{index}.png": index for index in range(12)})
    write(tmp_path, {"in/t.csv": "\n".join(["file,x,o", *cells]), "in/11.png": "\x89PNG"})
    return tmp_path


def outs(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "data").rglob("*"))
        if path.is_file()
    }


def test_labels_are_corrected_and_counted(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_fetch(table, DATA, monkeypatch)
    before, plain = files.read_labels(), outs(table)
    assert plain["data/corrected.csv"] == b"id,class,was,is,why\n"
    assert "corrections" not in files.read_dataset()
    # As long as no key names the file, it changes nothing, and is not passed over in silence.
    rows = ["0.png,x,0,1,@,wrong", "0.png,o,0,-1,@,unsure", "1.png,x,1,1,@,right"]
    rows += ["2.png,x,0,0,@,unsure", "11.png,x,1,0,@,wrong"]
    write(table, {"corrections.csv": answers(*rows)})
    assert "warning" not in capsys.readouterr().err
    run_fetch(table, DATA, monkeypatch)
    assert "warning: corrections.csv: has answers that change no label" in capsys.readouterr().err
    assert outs(table) == plain
    run_fetch(table, DATA | {"corrections": "corrections.csv"}, monkeypatch)
    assert "warning" not in capsys.readouterr().err
    wanted = before.set_index("id")
    wanted.loc["0.png", ["x", "o"]] = [1, -1]
    pd.testing.assert_frame_equal(files.read_labels().set_index("id"), wanted)
    changed = {"images": 1, "labels": 2, "unknown": 1}
    assert files.read_dataset()["corrections"] == changed
    # Of an image that is left out there is nothing to tell.
    assert files.CORRECTED.read_text() == (
        "id,class,was,is,why\n0.png,x,0,1,wrong\n0.png,o,0,-1,unsure\n1.png,x,1,1,right\n"
        "2.png,x,0,0,unsure\n"
    )
    split.main()
    told = json.loads((table / "metrics/data.json").read_text())
    assert told["corrections"] == changed | {"confirmed": 1, "unsure": 1}
    # What was only looked at is in no file that training depends on.
    others = outs(table)
    write(table, {"corrections.csv": answers(*rows, "3.png,x,1,1,@,right")})
    run_fetch(table, DATA | {"corrections": "corrections.csv"}, monkeypatch)
    assert {name for name, content in outs(table).items() if content != others.get(name)} == {
        "data/corrected.csv"
    }
    # Labels come from the source every time.
    run_fetch(table, DATA, monkeypatch)
    assert {name: outs(table)[name] for name in plain} == plain


def test_a_run_without_corrections_counts_none(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_fetch(table, DATA, monkeypatch)
    split.main()
    assert "corrections" not in json.loads((table / "metrics/data.json").read_text())
    files.CORRECTED.unlink()
    with pytest.raises(UserError, match=r"data/corrected.csv: no such file; `dvc repro fetch`"):
        split.main()


def test_wrong_answers_are_told_before_images_are_decoded(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table, {"more/c.csv": answers("0.png,x,1,0,@,wrong", "99.png,x,0,1,@,wrong")})
    monkeypatch.setattr(fetch, "copy_images", None)
    settings = DATA | {"extra_path": "more", "corrections": "more/c.csv"}
    with pytest.raises(UserError) as error:
        run_fetch(table, settings, monkeypatch)
    first, second = sorted(error.value.args)
    assert first.startswith("more/c.csv: row 2: class 'x' of image '0.png' was 1 and is 0 in the")
    assert second.startswith("more/c.csv: row 3: no image is called '99.png'; ")
    # What is wrong with the data set itself comes first.
    write(table, {"in/t.csv": "file,x,o\n0.png,2,0\n"})
    with pytest.raises(UserError, match=r"label '2' is not 0, 1 or -1") as error:
        run_fetch(table, settings, monkeypatch)
    assert "c.csv" not in str(error.value)
    with pytest.raises(UserError, match="is neither corrections"):
        run_fetch(table, DATA | {"corrections": "more/c.csv"}, monkeypatch)


def test_a_class_that_corrections_leave_no_image_is_refused(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(table, {"corrections.csv": answers(*(f"{i}.png,o,1,0,@,wrong" for i in range(6, 12)))})
    with pytest.raises(UserError, match="class 'o': no image of the train part shows it"):
        run_fetch(table, DATA | {"corrections": "corrections.csv"}, monkeypatch)


def suspects_of(page: str) -> list[tuple[str, int]]:
    """Image and class of each suspect of a report."""
    (content,) = re.findall(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)
    (gallery,) = [each for each in json.loads(content)["galleries"] if "Suspected" in each["title"]]
    return [(card["id"], card["class"]) for row in gallery["rows"] for card in row["cards"]]


def repro(project: Project) -> set[str]:
    said = project.run("dvc", "repro").stdout
    return set(re.findall(r"Running stage '(.+?)(?:@.*)?'", said))


@pytest.mark.slow
def test_a_review_through_dvc(copied: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that was found right is no suspect any more, at no training; others retrain."""
    report = copied.path / "plots/report.html"
    monkeypatch.chdir(copied.path)
    before = suspects_of(report.read_text())
    dataset = files.read_dataset()
    oof = read_parts(dataset, files.read_arrays(files.ENSEMBLE, "ensemble"))["oof"]
    found = suspected_errors(oof.labels, oof.calibrated, False, 48).head(3)
    pairs = found[["row", "class_index", "given"]].to_numpy(int).tolist()
    rows = [(oof.ids[row], dataset["classes"][index], given) for row, index, given in pairs]
    asked = [(oof.ids[row], index) for row, index, _ in pairs]
    assert set(asked) <= set(before)
    right = [f"{id},{name},{given},{given},@,right" for id, name, given in rows]
    write(copied.path, {"corrections.csv": answers(*right)})
    params: dict[str, Any] = yaml.safe_load(yaml.safe_dump(TINY))
    params["data"]["corrections"] = "corrections.csv"
    copied.write_params(params)
    assert repro(copied) == {"fetch", "split", "present"}
    page = report.read_text()
    assert not set(asked) & set(suspects_of(page))
    assert set(suspects_of(page)) >= set(before) - set(asked)
    assert "0 labels of 0 images corrected, 3 confirmed" in page
    assert repro(copied) == set()
    copied.commit("Looked at")

    id, name, given = rows[0]
    wrong = f"{id},{name},{given},{1 - given},@,wrong"
    tested = files.read_labels().query("part == 'test'").iloc[0]
    label = int(tested[name])
    unsure = f"{tested['id']},{name},{label},-1,@,unsure"
    write(copied.path, {"corrections.csv": answers(*right[1:], wrong, unsure)})
    assert {"fetch", "split", "train", "predict", "evaluate", "present"} <= repro(copied)
    assert "2 labels of 2 images corrected (1 made unknown), 2 confirmed" in report.read_text()
    assert (id, dataset["classes"].index(name)) not in suspects_of(report.read_text())
    said = copied.run("python", "-m", "foldwise", "compare", "main").stdout
    oof_said, test_said = said.split("Test part: ")
    for text, others in ((oof_said, 47), (test_said, 15)):
        assert "1 images have other labels in workspace (1 labels); those judge both runs." in text
        assert f"The {others} images with the same labels in both alone:" in text
        assert len(re.findall(r"^macro_ap ", text, re.MULTILINE)) == 2
