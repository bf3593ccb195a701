"""evaluate.base: one more rung of the ladder, paired, against another commit's run."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import TINY, Project


def with_base(project: Project, base: str | None, **train: Any) -> None:
    params = copy.deepcopy(TINY)
    if base is not None:
        params["evaluate"]["base"] = base
    params["train"] |= train
    project.write_params(params)


def head(project: Project) -> str:
    return project.run("git", "rev-parse", "HEAD").stdout.strip()


def improve(project: Project) -> None:
    """As a better run would have written them: logits of the test part, out-of-fold labels."""
    table = pd.read_parquet(project.path / "data/labels.parquet").set_index("id")
    truth = table.drop(columns="part")
    # DVC's records are of what the run wrote.
    (project.path / "dvc.lock").unlink()
    for name, ids, key in (
        ("ensemble", "test_id", "test_logits"),
        ("outoffold", "oof_id", "labels"),
    ):
        path = project.path / f"data/{name}.npz"
        with np.load(path) as content:
            arrays = dict(content)
        own = truth.loc[arrays[ids]].to_numpy()
        arrays[key] = (
            (8 * own - 4).astype(np.float32) if name == "ensemble" else own.astype(np.int8)
        )
        path.unlink()
        np.savez(path, **arrays)


def ladder_json(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.path / "metrics/ladder.json").read_text())
    return found


def accuracies(project: Project) -> dict[str, float]:
    summary = json.loads((project.path / "metrics/summary.json").read_text())
    return {part: summary[part]["accuracy"] for part in ("oof", "test")}


@pytest.mark.slow
def test_without_a_base_nothing_changes(copied: Project) -> None:
    written = ("metrics", "plots", "data/submission.csv")
    before = copied.bytes_of(*written)
    assert "plots/base_ladder.csv" in before
    columns = pd.read_csv(copied.path / "plots/ladder.csv").columns
    base = pd.read_csv(copied.path / "plots/base_ladder.csv")
    assert base.columns.tolist() == columns.tolist()
    assert len(base) == 0
    copied.stage("evaluate")
    copied.stage("present")
    assert copied.bytes_of(*written) == before
    assert "against base" not in (copied.path / "plots/report.html").read_text()


@pytest.mark.slow
def test_the_gain_over_the_base_is_a_rung(copied: Project) -> None:
    commit, old, steps = head(copied), accuracies(copied), ladder_json(copied)
    size = (copied.path / "plots/results.png").stat().st_size
    improve(copied)
    with_base(copied, commit)
    copied.stage("evaluate")
    new = accuracies(copied)
    name = f"against base {commit[:10]}"
    found = ladder_json(copied)
    assert list(found) == [*steps, name]
    table = pd.read_csv(copied.path / "plots/base_ladder.csv").to_dict("records")
    assert [row["step"] for row in table] == [name]
    assert "gain_fold_std" in table[0]
    for part, rung in (("test", found[name]), ("oof", table[0])):
        assert rung["score"] == pytest.approx(new[part])
        assert rung["gain"] == pytest.approx(new[part] - old[part])
        assert 0 < rung["gain_low"] < rung["gain"] < rung["gain_high"]
        assert rung["verdict"] == "helps"
    assert "macro_ap" in found[name]
    assert pd.read_csv(copied.path / "plots/test_ladder.csv")["step"].tolist() == list(found)
    assert (copied.path / "plots/results.png").stat().st_size > size
    copied.stage("present")
    page = (copied.path / "plots/report.html").read_text(encoding="utf-8")
    gain = f"{found[name]['gain']:+.4f}"
    assert f"<p>Test: this run adds {gain} [" in page
    assert f"] to base {commit[:10]}: helps.<br>" in page
    # Room for its name.
    assert f'"labelLimit":{7 * len(name)}' in page
    assert page.count(f'<th scope="row">{name}</th>') == 2


@pytest.mark.slow
def test_a_run_gains_nothing_over_itself_by_a_tag(copied: Project) -> None:
    copied.run("git", "tag", "first")
    with_base(copied, "first")
    # By DVC, which holds its lock and looks after what the stage reads.
    said = copied.run("dvc", "repro", "present").stdout
    assert "stage 'evaluate'" in said
    assert "stage 'threshold'" not in said.replace("Stage 'threshold' didn't change", "")
    rung = ladder_json(copied)["against base first"]
    assert rung["gain"] == rung["gain_low"] == rung["gain_high"] == 0
    assert rung["verdict"] == "within noise"


@pytest.mark.slow
def test_a_base_that_does_not_fit_is_one_line(copied: Project) -> None:
    before = copied.bytes_of("metrics", "plots")
    commit = head(copied)
    for base, said in (
        ("main", rf"params.yaml: evaluate.base: 'main' names another commit .*'{commit[:10]}'"),
        ("nowhere", "params.yaml: evaluate.base: git knows no commit 'nowhere'"),
        (copied.run("git", "rev-parse", "HEAD~1").stdout[:10], "cannot be had"),
    ):
        with_base(copied, base)
        refused(copied, said)
    with_base(copied, commit)
    dataset = copied.path / "data/dataset.json"
    content = json.loads(dataset.read_text())
    dataset.write_text(json.dumps(content | {"classes": content["classes"][::-1]}))
    refused(copied, rf"evaluate.base: {commit} and this run: their classes differ \(their order\)")
    dataset.write_text(json.dumps(content))
    fewer(copied)
    refused(copied, rf"evaluate.base: {commit} and this run: 1 images are in the test part of only")
    assert copied.bytes_of("metrics", "plots") == before


def refused(project: Project, said: str) -> None:
    error = project.stage("evaluate", code=1)
    assert error.count("\n") == 1
    assert re.search(said, error), error


def fewer(project: Project) -> None:
    """This run has an image less in its test part."""
    path = project.path / "data/ensemble.npz"
    with np.load(path) as content:
        arrays = dict(content)
    for name in [each for each in arrays if each.startswith("test_")]:
        rows = slice(1, None) if arrays[name].ndim < 3 else (slice(None), slice(1, None))
        arrays[name] = arrays[name][rows]
    path.unlink()
    np.savez(path, **arrays)
    Path(project.path / "dvc.lock").unlink()
