"""dvc.yaml against the code: DVC follows neither imports nor params by itself."""

import ast
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldwise import checks
from foldwise.features.kept import CODE
from foldwise.params import Params
from foldwise.report.figures import Tables
from foldwise.report.study_record import TRIAL_COLUMNS, read_study_record
from foldwise.training.keys import TRAINING
from stages import ensemble, evaluate, fetch, predict, present, split, threshold, train
from tests.conftest import ROOT, Project
from tests.imports import closure, parsed
from tests.studies import IMPORTANCES, RUNGS

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
UNTRACKED_CODE = frozenset({Path("foldwise/checks.py"), Path("foldwise/cluster/stage.py")})
"""What decides no result: one can only refuse, the other says where a stage runs."""
"""It can stop a stage, and not change what it writes."""

# Modules of a room in deps that decide nothing in this stage: how arguments and progress are shown,
# and what a room has for others.
IDLE = {
    stage: {f"foldwise/{each}.py" for each in names}
    for stage, names in {
        "fetch": ["core/arguments"],
        "split": ["core/arguments", "core/progress"],
        "train": ["core/corrected"],
        "predict": ["core/corrected"],
        "ensemble": ["core/arguments", "core/corrected"],
        "threshold": ["core/arguments", "core/corrected", "core/progress"],
        "evaluate": ["charts/rows", "charts/study", "core/arguments", "core/corrected"],
        "present": [
            "charts/examples",
            "charts/overview",
            "charts/rows",
            "charts/save",
            "core/arguments",
            "decision/betting",
            "decision/cost_control",
            "decision/evidence",
            "decision/guarantee",
            "decision/ladder",
            "decision/risk_control",
            "decision/simplest",
            "evaluation/base",
            "evaluation/runs",
            "evaluation/selective",
            "evaluation/submission",
            "report/plots_page",
        ],
    }.items()
}


def code_deps(stage: str) -> list[str]:
    return [each for each in PIPELINE[stage]["deps"] if each.startswith(("foldwise/", "stages/"))]


def expanded(deps: list[str]) -> set[str]:
    """Modules of deps, of folders all below them."""
    found = set()
    for each in deps:
        path = ROOT / each
        files = path.rglob("*.py") if path.is_dir() else [path]
        found |= {str(file.relative_to(ROOT)) for file in files}
    return found


def test_stages_stand_in_order() -> None:
    assert list(PIPELINE) == list(MODULES)


@pytest.mark.parametrize("stage", MODULES)
def test_code_deps_are_what_the_stage_imports(stage: str) -> None:
    paths = closure(Path(f"stages/{stage}.py"), without=UNTRACKED_CODE)
    imported = {str(path) for path in paths}
    declared = expanded(code_deps(stage))
    assert declared - IDLE[stage] == imported
    assert declared >= IDLE[stage]
    assert not imported & IDLE[stage]


def test_a_checkpoint_is_known_by_the_code_that_dvc_knows_train_by() -> None:
    assert sorted(TRAINING) == sorted(code_deps("train"))


def test_the_page_depends_on_all_that_it_is_made_of() -> None:
    declared = set(PIPELINE["present"]["deps"])
    assert "foldwise/report" in declared
    assert {path.name for path in (ROOT / "foldwise/report/template").iterdir()} >= {"page.html"}
    assert {f"plots/{table.name}.csv" for table in fields(Tables)} <= declared
    assert {path.as_posix() for path in present.STUDY} <= declared


def test_what_a_study_leaves_is_there_without_one(reproduced: Project) -> None:
    """No stage puts it out, and git has it: a page can be made where nobody searched."""
    outs = yaml.safe_dump([stage["outs"] for stage in PIPELINE.values()])
    for path in present.STUDY:
        assert path.as_posix() not in outs
        assert reproduced.run("git", "ls-files", str(path)).stdout.strip() == path.as_posix()
        assert (ROOT / path).exists()
    assert read_study_record(*(reproduced.path / each for each in present.STUDY)) is None
    for path, columns in zip(present.STUDY[1:], (TRIAL_COLUMNS, RUNGS, IMPORTANCES), strict=True):
        assert (ROOT / path).read_text().startswith(",".join(columns))


def test_the_page_is_made_anew_for_every_param_that_it_shows() -> None:
    assert set(PIPELINE["present"]["params"]) == set(Params.model_fields) - UNTRACKED


@pytest.mark.parametrize("stage", MODULES)
def test_a_missing_key_is_refused_before_dvc_stumbles_over_it(stage: str) -> None:
    for key in PIPELINE[stage]["params"]:
        section: Any = Params
        for name in key.partition(".${")[0].split("."):
            assert section.model_fields[name].is_required(), key
            section = section.model_fields[name].annotation


def keys_read(path: Path) -> set[str]:
    """The keys that a module asks `read` for, as dvc.yaml writes them."""
    found = set()
    for node in ast.walk(parsed(path)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "read"
        ):
            found.add(as_written(node.args[0]))
    return found


def as_written(key: ast.expr) -> str:
    """A key, or an f-string whose places dvc.yaml fills from the matrix."""
    if isinstance(key, ast.FormattedValue):
        return f"${{item.{ast.unparse(key.value)}}}"
    if isinstance(key, ast.JoinedStr):
        return "".join(map(as_written, key.values))
    assert isinstance(key, ast.Constant)
    return str(key.value)


@pytest.mark.parametrize("stage", [each for each in MODULES if each != "present"])
def test_params_are_the_sections_that_the_stage_reads(stage: str) -> None:
    path = Path(f"stages/{stage}.py")
    read = keys_read(path) - UNTRACKED
    # What a library reads behind the stage's back would escape; arguments are only checked.
    for each in closure(path, without=UNTRACKED_CODE) - {path}:
        assert not keys_read(each) - UNTRACKED or each == Path("foldwise/core/arguments.py"), each
    assert read == set(PIPELINE[stage]["params"])


def test_one_reader_opens_params_yaml() -> None:
    """No stage but `present` sees more of it than its own sections."""
    for stage in MODULES:
        for path in closure(Path(f"stages/{stage}.py"), without=UNTRACKED_CODE):
            source = (ROOT / path).read_text()
            if "read_file(" in source or "PARAMS" in source or "read_params(" in source:
                allowed = {"foldwise/core/settings.py"}
                if stage == "present":
                    allowed |= {"foldwise/params.py", "foldwise/report/run_facts.py"}
                    allowed |= {"stages/present.py"}
                assert str(path) in allowed, (stage, path)


@pytest.mark.parametrize("stage", ["fetch", "split", "train", "predict", "ensemble"])
def test_checking_the_whole_file_decides_no_result(
    stage: str, copied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage writes the same where nobody checks: all that the check can do is refuse."""
    outs = [each if isinstance(each, str) else next(iter(each)) for each in PIPELINE[stage]["outs"]]
    outs = [each.replace("${item.member}/${item.fold}", "cnn/0") for each in outs]
    outs = [each for each in outs if (copied.path / each).exists()]
    before = [copied.bytes_of(each) or (copied.path / each).read_bytes() for each in outs]
    monkeypatch.chdir(copied.path)
    called = []
    for name in ("check_params", "check_data", "check_networks"):
        if hasattr(MODULES[stage], name):
            monkeypatch.setattr(MODULES[stage], name, lambda *_, **__: called.append(1))
            assert getattr(checks, name).__annotations__["return"] is None
    arguments = ["--member", "cnn", "--fold", "0"] if "matrix" in PIPELINE[stage] else []
    monkeypatch.setattr(sys, "argv", [stage, *arguments])
    MODULES[stage].main()
    assert called
    after = [copied.bytes_of(each) or (copied.path / each).read_bytes() for each in outs]
    assert before == after


def test_features_are_known_by_the_code_that_computes_them() -> None:
    """Not by how a head is trained on them, whose edits would throw them away."""
    computing = {str(path) for path in closure(Path("foldwise/features/kept.py"))}
    assert computing <= expanded(list(CODE))
    assert not any(each.startswith(("foldwise/training", "stages")) for each in CODE)
