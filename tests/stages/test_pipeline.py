"""The whole pipeline in a real git and DVC repository."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import average_precision_score, f1_score

from foldwise.model.saved import load_member
from foldwise.params import read_params
from foldwise.training.fold import datasets
from tests.conftest import TINY, Project


def ran(output: str) -> list[str]:
    """The stages that a `dvc repro` ran."""
    return re.findall(r"Running stage '(.+)'", output)


def repro(project: Project) -> list[str]:
    return ran(project.run("dvc", "repro").stdout)


def test_every_file_of_the_design_is_written(reproduced: Project) -> None:
    wanted = {
        "data/images/shard-00000.arrow",
        "data/labels.parquet",
        "data/dataset.json",
        "data/corrected.csv",
        "data/folds.csv",
        "data/duplicates.csv",
        "data/extra.csv",
        "data/looks.json",
        "data/ensemble.npz",
        "data/ensemble.json",
        "data/decision.json",
        "data/outoffold.npz",
        "data/submission.csv",
        *(f"data/models/cnn/{fold}/{name}" for fold in "01" for name in
          ("weights.safetensors", "model.json")),
        *(f"data/predictions/cnn/{fold}.npz" for fold in "01"),
        *(f"data/features/cnn/{fold}.npz" for fold in "01"),
        "data/extra/README.md",
        "data/incoming/README.md",
        "data/.gitignore",
    }  # fmt: skip
    assert set(reproduced.bytes_of("data")) == wanted
    assert set(reproduced.bytes_of("metrics")) == {
        f"metrics/{name}.json"
        for name in ("data", "ensemble", "evaluation", "summary", "threshold", "ladder", "tune")
    }
    assert not (reproduced.path / ".checkpoints").exists() or not any(
        (reproduced.path / ".checkpoints").iterdir()
    )
    assert reproduced.run("git", "status", "--porcelain").stdout == ""


def test_predictions_are_out_of_fold(reproduced: Project) -> None:
    folds = pd.read_csv(reproduced.path / "data/folds.csv").set_index("id")["fold"]
    labels = pd.read_parquet(reproduced.path / "data/labels.parquet")
    assert set(folds.index) == set(labels.loc[labels["part"] == "train", "id"])
    for fold in (0, 1):
        arrays = np.load(reproduced.path / f"data/predictions/cnn/{fold}.npz")
        assert arrays["oof_id"].tolist() == folds.index[folds == fold].tolist()
        assert arrays["oof_logits"].shape == (3, (folds == fold).sum(), 10)
        assert arrays["oof_logits"].dtype == np.float32
        assert arrays["test_id"].tolist() == labels.loc[labels["part"] == "test", "id"].tolist()
        assert not np.array_equal(arrays["oof_logits"][0], arrays["oof_logits"][1])


def test_last_features_are_what_the_logits_are_made_of(reproduced: Project) -> None:
    for fold in (0, 1):
        arrays = np.load(reproduced.path / f"data/predictions/cnn/{fold}.npz")
        seen = np.load(reproduced.path / f"data/features/cnn/{fold}.npz")
        folder = reproduced.path / f"data/models/cnn/{fold}"
        fc = load_member(folder).network.fc
        for part in ("oof", "test"):
            assert seen[f"{part}_id"].tolist() == arrays[f"{part}_id"].tolist()
            features = seen[f"{part}_features"]
            assert features.dtype == np.float16
            logits = features.astype(np.float32) @ fc.weight.detach().numpy().T
            logits += fc.bias.detach().numpy()
            # Of the first view, the image as it is.
            np.testing.assert_allclose(logits, arrays[f"{part}_logits"][0], atol=0.02)
            assert np.abs(logits - arrays[f"{part}_logits"][1]).max() > 0.02


def test_no_fold_trains_on_what_it_holds_out(
    reproduced: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(reproduced.path)
    folds = pd.read_csv("data/folds.csv").set_index("id")["fold"]
    labels = pd.read_parquet("data/labels.parquet").set_index("id")
    recipe = read_params().recipe("cnn")
    for fold in (0, 1):
        train, valid = datasets(recipe, fold)
        assert train.ids == folds.index[folds != fold].tolist()
        assert valid.ids == folds.index[folds == fold].tolist()
        assert train.augment is not None
        assert valid.augment is None
        for part in (train, valid):
            assert not set(part.ids) & set(labels.index[labels["part"] == "test"])
            assert np.array_equal(part.labels, labels.loc[part.ids].iloc[:, 1:])


def test_metrics_follow_from_the_files(reproduced: Project) -> None:
    ensemble = np.load(reproduced.path / "data/ensemble.npz")
    labels = pd.read_parquet(reproduced.path / "data/labels.parquet").set_index("id")
    decision = json.loads((reproduced.path / "data/decision.json").read_text())
    summary = json.loads((reproduced.path / "metrics/summary.json").read_text())
    said = json.loads((reproduced.path / "metrics/threshold.json").read_text())
    for part in ("oof", "test"):
        truth = labels.loc[ensemble[f"{part}_id"]].iloc[:, 1:].to_numpy(int)
        logits = ensemble[f"{part}_logits"]
        predicted = (logits >= decision["decoder"]["logits"][0]).astype(int)
        if part == "oof":
            # Each fold is decided by the threshold that the other one taught.
            predicted = np.load(reproduced.path / "data/outoffold.npz")["labels"]
            folds = pd.read_csv(reproduced.path / "data/folds.csv")["fold"].to_numpy()
            taught = said["cross_fitted_probabilities"]
            for fold in (0, 1):
                at = taught[str(fold)]
                own = logits[folds == fold] >= np.log(at / (1 - at)) - 1e-6
                assert np.array_equal(own, predicted[folds == fold])
        present = truth.any(0)
        wanted = {
            "accuracy": (truth == predicted).mean(),
            "exact_match": (truth == predicted).all(1).mean(),
            "macro_ap": average_precision_score(truth[:, present], logits[:, present]),
            "macro_f1": f1_score(truth, predicted, average="macro", zero_division=0.0),
            "micro_f1": f1_score(truth, predicted, average="micro", zero_division=0.0),
        }
        assert summary[part] == pytest.approx(wanted)
    submission = pd.read_csv(reproduced.path / "data/submission.csv")
    assert np.array_equal(submission.iloc[:, 1:], predicted)
    assert submission["id"].tolist() == ensemble["test_id"].tolist()


def test_curves_hold_every_epoch(reproduced: Project) -> None:
    curves = pd.read_csv(reproduced.path / "plots/curves.csv")
    assert curves.groupby("series")["epoch"].apply(list).to_dict() == {
        "cnn fold 0": list(range(1, 9)),
        "cnn fold 1": list(range(1, 9)),
    }
    assert np.isfinite(curves.drop(columns="series")).all().all()


def stale(project: Project) -> dict[str, list[str]]:
    """Of every stage of which an input has changed, what has; what comes after it reruns too."""
    found = json.loads(project.run("dvc", "status", "--json").stdout)
    return {
        stage: [
            path
            for each in changed
            if isinstance(each, dict)
            for kind in ("changed deps",)
            for path in each.get(kind, {})
        ]
        for stage, changed in found.items()
    }


TRAIN, PREDICT = ["train@cnn-0", "train@cnn-1"], ["predict@cnn-0", "predict@cnn-1"]
EDITS = {
    "foldwise/charts/examples.py": ["split", "evaluate", "present"],
    "foldwise/decision/count_prior.py": ["threshold", "evaluate", "present"],
    "foldwise/ensembling/weights.py": ["ensemble"],
    "foldwise/embedding/space.py": ["present"],
    "foldwise/folds/assign.py": ["split"],
    "foldwise/inference/view_logits.py": [*TRAIN, *PREDICT],
    "foldwise/looks/look.py": ["split"],
    "foldwise/report/template/page.css": ["present"],
    "foldwise/scoring/objective.py": ["ensemble", "threshold", "evaluate", "present"],
    "foldwise/composing/composer.py": ["fetch", "split", *TRAIN],
    "foldwise/training/losses.py": TRAIN,
    "stages/threshold.py": ["threshold"],
}
"""An edit of a file, and the stages that it makes stale by itself."""
NEVER = ["foldwise/commands/apply.py", "foldwise/deploy/ensemble.py", "foldwise/__main__.py"]
"""What no stage knows."""


def test_an_edit_reruns_what_it_can_change_and_nothing_else(copied: Project) -> None:
    """Of all edits at once, so that DVC looks once; which dep is whose says which edit did it."""
    for path in [*EDITS, *NEVER]:
        file = copied.path / path
        file.write_text(file.read_text() + "\n\n")
    found = stale(copied)
    for path, stages in EDITS.items():
        deps = [dep for dep in {d for each in found.values() for d in each} if within(path, dep)]
        assert deps, path
        assert {stage for stage in found for dep in deps if dep in found[stage]} == {*stages}, path
    for path in NEVER:
        assert not [dep for each in found.values() for dep in each if within(path, dep)]


def within(path: str, dep: str) -> bool:
    return path == dep or path.startswith(f"{dep}/")


@pytest.mark.slow
def test_a_changed_param_reruns_what_reads_it(copied: Project) -> None:
    params = copy.deepcopy(TINY)
    params["compute"]["workers"] = 1
    copied.write_params(params)
    output = copied.run("dvc", "repro").stdout
    assert ran(output) == []
    assert "up to date" in output
    params["threshold"] = {"objective": "micro_f1"}
    params["tta"]["views"] = ["identity"]
    copied.write_params(params)
    assert set(stale(copied)) == {*PREDICT, "ensemble", "evaluate", "present", "threshold"}
    params["tta"] = TINY["tta"]
    params["threshold"] = {"objective": "accuracy", "calibration": "temperature"}
    copied.write_params(params)
    # Run for real: what neither reads the section nor follows a changed output stays.
    assert repro(copied) == ["threshold", "evaluate", "present"]


@pytest.mark.slow
def test_experiment_as_typed_and_compared_in_a_fresh_clone(copied: Project, tmp_path: Path) -> None:
    copied.run("git", "switch", "-qc", "slow")
    copied.run("dvc", "exp", "run", "-S", "lr=1e-6", "-S", "epochs=2")
    model = json.loads((copied.path / "data/models/cnn/0/model.json").read_text())
    assert model["recipe"]["lr"] == 1e-6
    logged = yaml.safe_load((copied.path / "plots/train/cnn/0/params.yaml").read_text())
    assert float(logged["lr"]) == 1e-6
    rates = pd.read_csv(copied.path / "plots/train/cnn/0/plots/metrics/lr.tsv", sep="\t")["lr"]
    assert 0 < rates.max() <= 1e-6
    copied.commit("Slow")

    told = copied.run("bash", ".ci/comment", "main").stdout
    for each in ("| macro_ap ", "1e-06", "### Test part: 16 images", "![results](./plots/"):
        assert each in told

    copied.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.run("git", "branch", "main", "origin/main")
    shown = clone.run("dvc", "exp", "show", "--csv", "--num", "2").stdout
    assert "1e-06" in shown
    metrics = json.loads(clone.run("dvc", "metrics", "diff", "main", "--json").stdout)
    # Nothing else: it fits on a screen.
    assert set(metrics) == {"metrics/summary.json"}
    assert "accuracy" in json.dumps(metrics["metrics/summary.json"])
    params = json.loads(clone.run("dvc", "params", "diff", "main", "--json").stdout)
    changed = params["params.yaml"]["lr"]
    assert (changed["old"], float(changed["new"])) == (0.01, 1e-6)
    clone.run("dvc", "plots", "diff", "main", "-o", "compared")
    page = (clone.path / "compared/index.html").read_text()
    for title in ("Validation loss", "Out-of-fold score over threshold", "examples.png"):
        assert title in page
    assert "main" in page
    # The chart library is inside.
    assert not re.search(r"(src|href) *= *.?https?:", page)
    assert "window.vegaEmbed=" in page
