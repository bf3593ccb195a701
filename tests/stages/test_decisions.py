"""Ensemble, decision and evaluation as stages: no leaks, other commits' members, every setting."""

import copy
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.decision.decision import Decision
from foldwise.ensembling.merge import merge_logits
from tests.conftest import TINY, Project
from tests.small import edit_member

WRITTEN = ("data/ensemble.npz", "data/ensemble.json", "data/decision.json")
TABLES = ("plots/views.csv", "plots/ladder.csv", "plots/reliability.csv")
METRICS = ("metrics/ensemble.json", "metrics/threshold.json")


def with_params(project: Project, **sections: dict[str, Any]) -> None:
    """Write params.yaml with some keys of some sections changed."""
    params = copy.deepcopy(TINY)
    for name, keys in sections.items():
        params[name] |= keys
    project.write_params(params)


def read(project: Project, name: str) -> Any:
    return json.loads((project.path / name).read_text())


def test_labels_of_the_test_part_change_nothing_that_is_fitted(copied: Project) -> None:
    with_params(
        copied,
        tta={"select": "audit"},
        threshold={"calibration": "platt", "scope": "per_class", "decode": "count_prior"},
    )

    def written() -> dict[str, bytes]:
        for stage in ("ensemble", "threshold"):
            copied.stage(stage)
        names = (*WRITTEN, *TABLES, *METRICS)
        return {name: (copied.path / name).read_bytes() for name in names}

    before = written()
    labels = pd.read_parquet(copied.path / "data/labels.parquet")
    test = labels["part"] == "test"
    classes = labels.columns.drop(["id", "part"])
    noise = np.random.default_rng(0).integers(0, 2, (test.sum(), len(classes)))
    assert (labels.loc[test, classes] != noise).any(axis=None)
    labels.loc[test, classes] = noise
    labels.to_parquet(copied.path / "data/labels.parquet")
    assert written() == before
    # The same noise on a held-out image does change it.
    first = labels.index[~test][0]
    labels.loc[first, classes] = 1 - labels.loc[first, classes]
    labels.to_parquet(copied.path / "data/labels.parquet")
    assert written() != before


def swap_folds(project: Project) -> None:
    """Let two images of different folds change places."""
    folds = pd.read_csv(project.path / "data/folds.csv")
    rows = [folds.index[folds["fold"] == fold][0] for fold in (0, 1)]
    folds.loc[rows, "fold"] = folds.loc[rows[::-1], "fold"].to_numpy()
    folds.to_csv(project.path / "data/folds.csv", index=False)


def test_rows_that_a_model_was_trained_on_are_refused(copied: Project) -> None:
    swap_folds(copied)
    before = copied.bytes_of("data/predictions", "metrics")
    error = copied.stage("ensemble", code=1)
    assert error.count("\n") == 1
    assert "cnn fold 0" in error
    assert "not out-of-fold" in error
    error = copied.stage("predict", "--member", "cnn", "--fold", "0", code=1)
    assert error.count("\n") == 1
    assert "data/models/cnn/0: was trained on images that data/folds.csv holds out" in error
    assert copied.bytes_of("data/predictions", "metrics") == before


def test_predictions_of_another_kind_are_refused(copied: Project) -> None:
    path = copied.path / "data/predictions/cnn/1.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{name: each for name, each in arrays.items() if name != "views"})
    error = copied.stage("ensemble", code=1)
    assert error.startswith("error: cnn fold 1: its predictions lack `views`")
    arrays["oof_logits"][0, 0, 0] = np.nan
    np.savez(path, **arrays)
    assert "cnn fold 1: some logits are not finite" in copied.stage("ensemble", code=1)


@pytest.mark.slow
def test_members_of_other_commits_join(copied: Project) -> None:
    commit = copied.run("git", "rev-parse", "HEAD").stdout.strip()[:10]
    own = np.load(copied.path / "data/ensemble.npz")
    # Members of its own, which err otherwise.
    for fold in (0, 1):
        path = copied.path / f"data/predictions/cnn/{fold}.npz"
        arrays = dict(np.load(path))
        arrays["oof_logits"] = -arrays["oof_logits"]
        arrays["test_logits"] = arrays["test_logits"] + 1
        path.unlink()
        np.savez(path, **arrays)
    with_params(copied, ensemble={"include": [commit]})
    copied.stage("ensemble")
    joined = np.load(copied.path / "data/ensemble.npz")
    assert list(read(copied, "data/ensemble.json")["members"]) == ["cnn", f"{commit}/cnn"]
    assert np.array_equal(joined["oof_views"][1], own["oof_views"][0])
    both = merge_logits(joined["oof_views"], "mean_probability")
    assert np.array_equal(joined["oof_logits"], both)
    assert np.array_equal(joined["test_folds"][1], own["test_folds"][0])

    with_params(copied, ensemble={"include": [commit], "weights": "simplex"})
    copied.stage("ensemble")
    found = read(copied, "metrics/ensemble.json")["weights"]
    # Mirrored logits err where the others are right.
    assert found["fitted"][f"{commit}/cnn"] > 0.8
    for stage in ("threshold", "evaluate"):
        copied.stage(stage)
    assert "+ members" in read(copied, "metrics/ladder.json")
    assert "+ members" in read(copied, "metrics/threshold.json")["ladder"]


@pytest.mark.slow
def test_commits_that_do_not_fit_are_refused(copied: Project) -> None:
    commit = copied.run("git", "rev-parse", "HEAD").stdout.strip()

    def refused(revision: str) -> str:
        with_params(copied, ensemble={"include": [revision]})
        error = copied.stage("ensemble", code=1)
        assert error.count("\n") == 1
        assert "ensemble.include" in error
        return error

    assert f"write '{commit[:10]}'" in refused("main")
    assert "git knows no commit 'v9'" in refused("v9")
    with_params(copied, ensemble={"include": [commit, commit[:12]]})
    assert "names one commit twice" in copied.stage("ensemble", code=1)
    dataset = read(copied, "data/dataset.json")
    other = dataset | {"classes": dataset["classes"][::-1]}
    (copied.path / "data/dataset.json").write_text(json.dumps(other))
    assert "has other classes" in refused(commit)
    (copied.path / "data/dataset.json").write_text(json.dumps(dataset))
    swap_folds(copied)
    assert "its folds are others" in refused(commit)


@pytest.mark.parametrize(
    ("threshold", "rungs"),
    [
        ({"scope": "shrunk", "calibration": "isotonic"}, ["+ calibration", "+ threshold"]),
        ({"decode": "count_prior"}, ["+ threshold", "+ count prior"]),
        ({"decode": "top_k", "k": 2, "calibration": "platt"}, ["+ calibration", "+ top k"]),
    ],
    ids=str,
)
def test_every_kind_of_decision_reaches_the_submission(
    copied: Project, threshold: dict[str, Any], rungs: list[str]
) -> None:
    with_params(copied, threshold=threshold | {"objective": "sample_f1"})
    for stage in ("threshold", "evaluate"):
        copied.stage(stage)
    ladder = read(copied, "metrics/threshold.json")["ladder"]
    assert list(ladder) == ["single fold", "+ TTA", *rungs]
    test = read(copied, "metrics/ladder.json")
    assert list(test) == ["single fold", "+ TTA", "+ folds", *rungs]
    decision = Decision.from_json(read(copied, "data/decision.json"))
    ensemble = np.load(copied.path / "data/ensemble.npz")
    decided = decision(ensemble["test_logits"])
    submission = pd.read_csv(copied.path / "data/submission.csv")
    assert np.array_equal(submission.iloc[:, 1:], decided)
    labels = pd.read_parquet(copied.path / "data/labels.parquet").set_index("id")
    truth = labels.loc[ensemble["test_id"]].iloc[:, 1:].to_numpy(int)
    assert test[rungs[-1]]["accuracy"] == pytest.approx((truth == decided).mean())
    if "k" in threshold:
        assert (decided.sum(1) == 2).all()
        with_params(copied, threshold=threshold | {"k": 11})
        assert "threshold.k: 11 is more than the 10 classes" in copied.stage("threshold", code=1)


def test_a_decision_by_evidence_is_the_one_that_is_written(copied: Project) -> None:
    open_ = {"scope": "auto", "calibration": "auto", "decode": "count_prior"}
    with_params(copied, threshold=open_ | {"objective": "macro_f1"})
    for stage in ("threshold", "evaluate"):
        copied.stage(stage)
    content, decision = (
        read(copied, name) for name in ("metrics/threshold.json", "data/decision.json")
    )
    evidence, steps = content["evidence"], list(decision["steps"])
    assert "auto" not in json.dumps(decision)
    assert list(content["ladder"]) == ["single fold", "+ TTA", *steps]
    assert list(read(copied, "metrics/ladder.json")) == ["single fold", "+ TTA", "+ folds", *steps]
    method = evidence["calibration"]["taken"]
    assert decision["calibrator"]["method"] == content["calibration"]["method"] == method
    assert decision["decoder"]["method"] == evidence["decoder"]["taken"]
    assert ("+ calibration" in steps) == (method != "none")
    assert ("+ threshold" in steps) == (evidence["threshold"]["taken"] != "plain")
    assert ("+ count prior" in steps) == (evidence["decoder"]["taken"] == "count_prior")
    assert set(evidence["by_fold"]) == {"0", "1"}
    own = np.load(copied.path / "data/outoffold.npz")
    labels = pd.read_parquet(copied.path / "data/labels.parquet").set_index("id")
    truth = labels.loc[own["oof_id"]].drop(columns="part").to_numpy(np.int8)
    last = list(content["ladder"].values())[-1]
    assert last["accuracy"] == pytest.approx((truth == own["labels"]).mean())
    submission = pd.read_csv(copied.path / "data/submission.csv")
    test = np.load(copied.path / "data/ensemble.npz")["test_logits"]
    assert np.array_equal(submission.iloc[:, 1:], Decision.from_json(decision)(test))


def test_crops_are_predicted(copied: Project) -> None:
    params = copy.deepcopy(TINY)
    params["models"]["cnn"]["shortest_edge"] = 30
    params["tta"]["views"] = ["identity", "top_left", "bottom_right", "hflip * top_left"]
    copied.write_params(params)
    edit_member(
        copied.path / "data/models/cnn/0",
        lambda content: content["model"].update(shortest_edge=30),
    )
    copied.stage("predict", "--member", "cnn", "--fold", "0")
    arrays = np.load(copied.path / "data/predictions/cnn/0.npz")
    assert arrays["views"].tolist() == params["tta"]["views"]
    logits = arrays["test_logits"]
    assert len(np.unique(logits[:, 0, 0])) == 4
    params["tta"]["views"] = ["identity"]
    copied.write_params(params)
    copied.stage("predict", "--member", "cnn", "--fold", "0")
    alone = np.load(copied.path / "data/predictions/cnn/0.npz")["test_logits"]
    assert alone[0] == pytest.approx(logits[0], abs=1e-5)


def test_one_class_per_image_is_submitted_as_it_is_decided(copied: Project) -> None:
    """Calibration of every class for itself changes which is the largest."""
    labels = pd.read_parquet(copied.path / "data/labels.parquet")
    dataset = read(copied, "data/dataset.json")
    classes = dataset["classes"]
    drawn = np.random.default_rng(0).integers(0, len(classes), len(labels))
    labels[classes] = np.eye(len(classes), dtype=np.int8)[drawn]
    labels.to_parquet(copied.path / "data/labels.parquet")
    form = {"class": "class", "index": "id", "columns": classes}
    dataset |= {"task": "multiclass", "submission": form}
    (copied.path / "data/dataset.json").write_text(json.dumps(dataset))
    with_params(copied, threshold={"calibration": "platt"})
    for stage in ("ensemble", "threshold", "evaluate"):
        copied.stage(stage)
    decision = Decision.from_json(read(copied, "data/decision.json"))
    logits = np.load(copied.path / "data/ensemble.npz")["test_logits"]
    decided = decision(logits)
    assert (decided.sum(1) == 1).all()
    submission = pd.read_csv(copied.path / "data/submission.csv", dtype=str)
    assert submission["class"].tolist() == [classes[i] for i in decided.argmax(1)]
    assert (decided.argmax(1) != logits.argmax(1)).any()
    # What is handed in is what is scored.
    truth = labels.set_index("id").loc[submission["id"], classes].to_numpy().argmax(1)
    handed_in = (submission["class"] == np.array(classes)[truth]).mean()
    summary = read(copied, "metrics/summary.json")["test"]
    assert summary["top1"] == pytest.approx(handed_in)
    assert summary["exact_match"] == pytest.approx(handed_in)
    every = read(copied, "metrics/evaluation.json")["all"]["test"]
    assert every["top1"] == pytest.approx(handed_in)
    assert every["top1_uncalibrated"] == pytest.approx((logits.argmax(1) == truth).mean())
    confusion = pd.read_csv(copied.path / "plots/confusion.csv", dtype={"actual": str})
    counts = confusion[confusion["part"] == "test"].groupby("actual")["images"].sum()
    truth = labels.loc[labels["part"] == "test", classes].sum()
    assert counts.to_dict() == truth[truth > 0].to_dict()
    with_params(copied, threshold={"decode": "count_prior"})
    said = copied.stage("threshold", code=1)
    assert said.startswith("error: params.yaml: threshold.decode: count_prior would give")


def test_test_logits_that_are_no_numbers_are_refused(copied: Project) -> None:
    path = copied.path / "data/predictions/cnn/1.npz"
    arrays = dict(np.load(path))
    arrays["test_logits"][0, 0, 0] = np.nan
    path.unlink()
    np.savez(path, **arrays)
    error = copied.stage("ensemble", code=1)
    assert error.startswith("error: cnn fold 1: some logits are not finite")


def test_labels_that_leave_nothing_to_learn_are_refused(copied: Project) -> None:
    labels = pd.read_parquet(copied.path / "data/labels.parquet").set_index("id")
    folds = pd.read_csv(copied.path / "data/folds.csv").set_index("id")["fold"]
    classes = labels.columns.drop("part")
    labels.loc[folds.index[folds == 1], classes] = -1
    labels.reset_index().to_parquet(copied.path / "data/labels.parquet")
    error = copied.stage("ensemble", code=1)
    assert error.count("\n") == 1
    assert "held-out labels: there is no labelled score" in error
