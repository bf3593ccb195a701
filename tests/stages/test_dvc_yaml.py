"""dvc.yaml against the code: DVC follows neither imports nor params by itself."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldwise.params import Params
from foldwise.report.figures import Tables
from stages import ensemble, evaluate, fetch, predict, present, split, threshold, train
from tests.conftest import ROOT, Project
from tests.imports import closure

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
MODULES: dict[str, Any] = {
    "fetch": fetch,
    "split": split,
    "train": train,
    "predict": predict,
    "ensemble": ensemble,
    "threshold": threshold,
    "evaluate": evaluate,
    "present": present,
}
UNTRACKED = {"compute"}


def test_stages_stand_in_order() -> None:
    assert list(PIPELINE) == list(MODULES)


@pytest.mark.parametrize("stage", MODULES)
def test_code_deps_are_what_the_stage_imports(stage: str) -> None:
    declared = {each for each in PIPELINE[stage]["deps"] if each.endswith(".py")}
    assert declared == {str(path) for path in closure(Path(f"stages/{stage}.py"))}


def test_the_page_depends_on_all_that_it_is_made_of() -> None:
    files = sorted(path for path in (ROOT / "stages/report/page").iterdir())
    declared = set(PIPELINE["present"]["deps"])
    assert {str(path.relative_to(ROOT)) for path in files} <= declared
    assert {f"plots/{table.name}.csv" for table in fields(Tables)} <= declared


def test_the_page_is_made_anew_for_every_param_that_it_shows() -> None:
    assert set(PIPELINE["present"]["params"]) == set(Params.model_fields) - UNTRACKED


@pytest.mark.parametrize("stage", MODULES)
def test_a_missing_key_is_refused_before_dvc_stumbles_over_it(stage: str) -> None:
    for key in PIPELINE[stage]["params"]:
        section: Any = Params
        for name in key.partition(".${")[0].split("."):
            assert section.model_fields[name].is_required(), key
            section = section.model_fields[name].annotation


def leaves(section: Any, prefix: str) -> dict[tuple[int, str], str]:
    """Every (settings object, field) below a section, with its dotted key."""
    found = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        key = f"{prefix}.{name}" if prefix else name
        found[(id(section), name)] = key
        if hasattr(type(value), "model_fields"):
            found |= leaves(value, key)
        elif isinstance(value, dict):
            for inner, each in value.items():
                if hasattr(type(each), "model_fields"):
                    found |= leaves(each, f"{key}.{inner}")
    return found


@pytest.mark.parametrize("stage", MODULES)
def test_params_are_what_the_stage_reads(
    stage: str, copied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the stage and watch which settings it looks at."""
    monkeypatch.chdir(copied.path)
    module = MODULES[stage]
    params = module.read_params()
    keys = leaves(params, "")
    read: set[str] = set()

    def watched(self: Any, name: str) -> Any:
        if not name.startswith("_") and (id(self), name) in keys:
            read.add(keys[(id(self), name)])
        return object.__getattribute__(self, name)

    monkeypatch.setattr(module, "read_params", lambda **_: params)
    arguments = ["--member", "cnn", "--fold", "0"] if "matrix" in PIPELINE[stage] else []
    monkeypatch.setattr(sys, "argv", [stage, *arguments])
    monkeypatch.setattr("foldwise.core.settings.Settings.__getattribute__", watched, raising=False)
    module.main()
    monkeypatch.undo()

    declared = {each.replace("${item.member}", "cnn") for each in PIPELINE[stage]["params"]}
    groups = {key for key in read if any(other.startswith(f"{key}.") for other in keys.values())}
    for key in read - groups - {"members", "models"}:
        if key.split(".")[0] not in UNTRACKED:
            assert any(key == each or key.startswith(f"{each}.") for each in declared), key
    for each in declared:
        assert any(key == each or key.startswith(f"{each}.") for key in read), f"{each} is not read"
    assert isinstance(params, Params)
