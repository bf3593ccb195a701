"""params.yaml: what is read, and what is refused in one line."""

import copy
import json
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml

from foldwise.core import settings
from foldwise.core.errors import UserError
from foldwise.params import Params, read_params
from foldwise.training.augment import make_augment
from tests.conftest import ROOT, TINY, Project


def changed(path: str, value: Any) -> dict[str, Any]:
    """The tiny params with one key set; `path` is dotted."""
    params = copy.deepcopy(TINY)
    *folders, last = path.split(".")
    section = params
    for name in folders:
        section = section.setdefault(name, {})
    section[last] = value
    return params


def read(tmp_path: Path, params: dict[str, Any]) -> Any:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return read_params(path)


def test_default_params_are_valid() -> None:
    assert read_params(ROOT / "params.yaml").members


@pytest.mark.parametrize("text", ["1e-06", "1e-6", "1.0e-6", "0.000001"])
def test_a_number_is_read_however_yaml_spells_it(tmp_path: Path, text: str) -> None:
    params = yaml.safe_dump(TINY).replace("lr: 0.01", f"lr: {text}")
    (tmp_path / "params.yaml").write_text(params)
    assert read_params(tmp_path / "params.yaml").lr == 1e-6


def test_a_member_overrides_its_recipe(tmp_path: Path) -> None:
    params = changed("models.cnn.train", {"batch_size": 3})
    params["models"]["cnn"]["lr"] = "1e-03"
    recipe = read(tmp_path, params).recipe("cnn")
    assert (recipe.lr, recipe.train.batch_size, recipe.epochs) == (1e-3, 3, TINY["epochs"])
    assert recipe.train.augment == tuple(TINY["train"]["augment"])


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("train.batchsize", 3, ["train.batchsize", "unknown key", "batch_size"]),
        ("data.glyphs.compose.canvass", 3, ["data.glyphs.compose.canvass", "canvas"]),
        ("models.cnn.train", {"batchsize": 3}, ["models.cnn.train.batchsize", "batch_size"]),
        ("colour", "red", ["colour", "unknown key"]),
        ("epochs", "ten", ["epochs", "'ten'", "integer"]),
        ("epochs", 2.5, ["epochs", "2.5"]),
        ("epochs", True, ["epochs", "True"]),
        ("epochs", 0, ["epochs", "0", "greater than or equal to 1"]),
        ("lr", "fast", ["lr", "'fast'", "number"]),
        ("lr", -1.0, ["lr", "-1.0", "greater than 0"]),
        ("lr", float("nan"), ["lr", "finite"]),
        ("folds", [0], ["folds", "kfold", "holdout"]),
        ("folds", [1, 2], ["folds", "[1, 2]"]),
        ("folds", 3, ["folds", "3", "list"]),
        ("folds", [], ["folds", "[]", "at least 1"]),
        ("split.method", "holdout", ["folds: [0]"]),
        ("split.method", "random", ["split.method", "'random'", "'kfold', 'holdout' or 'list'"]),
        ("members", ["cnn", "resnet"], ["members", "'resnet'", "cnn"]),
        ("members", ["cnn", "cnn"], ["members", "once"]),
        ("members", [], ["members", "at least 1"]),
        ("models.cnn.backbone", "resnet50", ["models.cnn.backbone", "'resnet50'", "torchvision/"]),
        ("tta.views", ["rot45"], ["tta.views", "'rot45'", "rot90"]),
        ("tta.views", ["rot90", "rot90"], ["tta.views", "once"]),
        ("tta.views", ["shift(1,0)", "shift(1, 0)"], ["tta.views", "once"]),
        ("tta.views", ["identity", "identity * rotate(0.0)"], ["tta.views", "once"]),
        ("tta.views", ["hflip*rot90", "hflip * identity * rot90"], ["tta.views", "once"]),
        ("threshold", {"objective": "accuracy", "decode": "top_k", "fixed": 0.4}, ["top_k"]),
        ("data.glyphs.compose.size", [30, 20], ["size", "low <= high"]),
        ("data.source", "imagenet", ["data.source", "'imagenet'", "'dacon'"]),
        ("compute.accelerator", "gpuu", ["compute.accelerator", "'gpuu'", "'cuda'"]),
        ("compute.precision", "fp16", ["compute.precision", "'fp16'", "'16-mixed'"]),
        ("compute.devices", 0, ["compute.devices", "0"]),
        ("compute.workers", -1, ["compute.workers", "-1"]),
        ("threshold.objective", "luck", ["threshold.objective", "'luck'", "'accuracy'"]),
        (
            "threshold.objective",
            "micro_fbeta",
            ["threshold.objective", "needs `beta`"],
        ),
        ("threshold.objective", {"name": "micro_f1", "beta": 2.0}, ["takes no `beta`"]),
        (
            "threshold.objective",
            {"name": "cost", "false_negative": 2.0},
            ["`false_positive`"],
        ),
        (
            "threshold",
            {
                "objective": {"name": "micro_precision_at_recall", "recall": 0.9},
                "scope": "per_class",
            },
            ["threshold", "macro_precision_at_recall"],
        ),
        (
            "threshold",
            {"objective": "accuracy", "fixed": 0.6, "scope": "shrunk"},
            ["threshold", "scope: global"],
        ),
        ("threshold", {"objective": "accuracy", "k": 3}, ["threshold", "decode: top_k"]),
        ("tta.merge", "power_mean(0)", ["tta.merge", "power_mean(0)", "geometric_mean"]),
        ("tta.views", ["five_crop"], ["tta.views", "crops", "cnn", "shortest_edge"]),
        (
            "ensemble",
            {"weights": "greedy", "folds": "max", "members": "max"},
            ["ensemble", "greedy", "mean_probability or mean_logit"],
        ),
        (
            "ensemble",
            {"weights": "simplex", "folds": "max", "members": "mean_logit"},
            ["ensemble", "simplex", "members: mean_probability"],
        ),
        (
            "ensemble",
            {"folds": "max", "members": "max", "include": ["v1", "v1"]},
            ["ensemble", "include", "once"],
        ),
    ],
)
def test_bad_params_name_key_value_and_remedy(
    tmp_path: Path, path: str, value: Any, said: list[str]
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, changed(path, value))
    message = str(error.value)
    assert message.startswith("params.yaml: ")
    for word in said:
        assert word in message
    # A stage that reads the section alone says the same, unless other sections are concerned.
    alone = told_by_the_section(tmp_path, path.split(".")[0])
    assert alone in (None, message)
    if path.startswith(("lr", "epochs", "data", "threshold", "compute")) or value == []:
        assert alone == message


def told_by_the_section(folder: Path, name: str) -> str | None:
    """What is refused in a section of params.yaml that is read by itself."""
    field = Params.model_fields.get(name)
    if field is None:
        return None
    kind: Any = field.annotation
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        try:
            settings.read(name, Annotated[kind, *field.metadata] if field.metadata else kind)
        except UserError as error:
            return str(error)
    return None


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    params = copy.deepcopy(TINY)
    del params["lr"]
    with pytest.raises(UserError, match=r"lr: is missing"):
        read(tmp_path, params)


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\x00"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        read_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("augment", "said"),
    [
        (["Rotates"], "no transform 'Rotates'"),
        (["Compose"], "Compose"),
        (["cv2"], "no transform 'cv2'"),
        ([{"Rotate": {"limits": 10}}], "limits"),
        ([{"Rotate": {"p": 2}}], "p"),
        ([{"Rotate": {}, "HorizontalFlip": {}}], "one transform per list item"),
        ([{"OneOf": {"transforms": ["Spin"]}}], "no transform 'Spin'"),
    ],
)
def test_bad_augmentation_is_refused(augment: list[Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        make_augment(tuple(augment))
    assert str(error.value).startswith("params.yaml: train.augment: ")


def test_fetch_refuses_bad_params_of_later_stages_at_once(project: Project) -> None:
    project.write_params(changed("train.augment", ["Rotates"]))
    error = project.stage("fetch", code=1)
    assert error.count("\n") == 1
    assert "Rotates" in error
    assert not (project.path / "data/images").exists()


def test_a_decision_that_does_not_suit_the_data_is_refused_before_training(copied: Project) -> None:
    copied.write_params(changed("threshold", {"objective": "accuracy", "decode": "count_prior"}))
    path = copied.path / "data/dataset.json"
    dataset = json.loads(path.read_text())
    path.write_text(json.dumps(dataset | {"task": "multiclass"}))
    before = copied.bytes_of("data/folds.csv", "metrics")
    assert "threshold.decode: count_prior" in copied.stage("split", code=1)
    assert copied.bytes_of("data/folds.csv", "metrics") == before


def test_a_member_that_cannot_be_built_is_refused_before_another_is_trained(
    copied: Project,
) -> None:
    params = copy.deepcopy(TINY)
    params["models"]["other"] = TINY["models"]["cnn"] | {"backbone": "timm/no_such_net"}
    params["models"]["other"].pop("options")
    params["members"] = ["cnn", "other"]
    copied.write_params(params)
    before = copied.bytes_of("data/models", "plots/train")
    said = copied.stage("train", "--member", "cnn", "--fold", "0", code=1)
    assert "timm/no_such_net: timm has no such network" in said
    assert "epoch" not in said
    assert copied.bytes_of("data/models", "plots/train") == before


def test_a_member_named_twice_is_refused_by_the_stage_that_would_merge_it(copied: Project) -> None:
    copied.write_params(changed("members", ["cnn", "cnn"]))
    before = copied.bytes_of("data/ensemble.npz", "metrics")
    assert "every member may be named once" in copied.stage("ensemble", code=1)
    assert copied.bytes_of("data/ensemble.npz", "metrics") == before
