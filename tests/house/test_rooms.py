"""The house: who may know whom, one name for one thing, and files that can be read in one go."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.imports import MODULES, closure, imported_names, our_imports, parsed

# Imports run down only: every room may know itself and those named here.
GROUND = {"core"}
MAY_IMPORT = {
    "core": set(),
    "images": GROUND,
    "revisions": GROUND,
    "view_names": GROUND,
    "scoring": GROUND,
    "composing": GROUND,
    "looks": GROUND | {"composing"},
    "sources": GROUND | {"images", "composing"},
    "folds": GROUND | {"images"},
    "model": GROUND | {"images", "view_names"},
    "ensembling": GROUND | {"scoring", "revisions", "view_names"},
    "decision": GROUND | {"scoring"},
    "inference": GROUND | {"images", "model"},
    "features": GROUND | {"images", "model", "inference", "view_names"},
    "training": GROUND
    | {
        "composing",
        "ensembling",
        "features",
        "images",
        "inference",
        "model",
        "revisions",
        "scoring",
        "view_names",
    },
    "cluster": GROUND | {"deploy", "model", "revisions", "training"},
    "embedding": GROUND,
    "evaluation": GROUND | {"scoring", "decision", "revisions"},
    "charts": GROUND | {"scoring", "evaluation"},
    "deploy": GROUND
    | {"images", "scoring", "sources", "model", "inference", "ensembling", "decision", "revisions"},
}
MAY_IMPORT["params"] = {*MAY_IMPORT} - {"charts", "cluster", "deploy", "inference"}
MAY_IMPORT["checks"] = MAY_IMPORT["params"] | {"params"}
MAY_IMPORT["report"] = {*MAY_IMPORT} - {"checks", "cluster"}
MAY_IMPORT["tuning"] = GROUND | {"scoring", "decision", "params", "report"}
MAY_IMPORT["review"] = GROUND | {"images", "sources", "scoring", "evaluation", "report"}
MAY_IMPORT["starting"] = GROUND | {
    "decision",
    "ensembling",
    "features",
    "images",
    "inference",
    "model",
    "params",
    "sources",
    "training",
}
MAY_IMPORT["commands"] = {*MAY_IMPORT}
MAY_IMPORT["__main__"] = GROUND
MAY_IMPORT["stages"] = {*MAY_IMPORT} - {"commands", "deploy", "review", "starting", "tuning"}

DOORS = {
    Path("foldwise/cluster/apply_cluster.py"),
    Path("foldwise/cluster/client.py"),
    Path("foldwise/cluster/history.py"),
    Path("foldwise/cluster/job.py"),
    Path("foldwise/cluster/stage.py"),
    Path("foldwise/deploy/ensemble.py"),
    Path("foldwise/embedding/kept.py"),
    Path("foldwise/ensembling/included.py"),
    Path("foldwise/evaluation/predictions.py"),
    Path("foldwise/evaluation/runs.py"),
    Path("foldwise/features/predicting.py"),
    Path("foldwise/report/heatmaps.py"),
    Path("foldwise/training/fold.py"),
    Path("foldwise/training/teacher.py"),
    Path("foldwise/tuning/conclusion.py"),
    Path("foldwise/tuning/trial.py"),
    Path("foldwise/tuning/workspace.py"),
}
"""Modules of rooms that know where the pipeline's files lie."""
FRONT = {"core", "commands", "stages"}
"""What is made to know it."""
HEAVY = {"torch", "torchvision", "lightning", "timm", "dvclive", "safetensors", "albumentations"}
LATE = {"present"}
"""What needs torch only once heat maps are asked for."""
ROOMS = sorted({path.parent for path in MODULES if path.parent.name not in ("stages", "foldwise")})


def room_of(path: Path) -> str:
    """The room of a module: a folder of foldwise/, one of its files, or stages."""
    return "stages" if path.parts[0] == "stages" else path.parts[1].removesuffix(".py")


def test_stages_are_the_pipelines_and_nothing_else() -> None:
    stages = [path.stem for path in MODULES if room_of(path) == "stages"]
    wanted = re.findall(r"cmd: python -m stages\.(\w+)", (ROOT / "dvc.yaml").read_text())
    assert sorted(stages) == sorted(wanted)
    assert len(stages) == 8


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_run_down_only(path: Path) -> None:
    allowed = MAY_IMPORT[room_of(path)] | {room_of(path)}
    assert {room_of(each) for each in our_imports(path)} <= allowed


def test_the_rules_themselves_and_the_modules_go_in_no_circle() -> None:
    list(TopologicalSorter(MAY_IMPORT).static_order())
    list(TopologicalSorter({path: our_imports(path) for path in MODULES}).static_order())


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_room_knows_no_paths_of_the_pipeline(path: Path) -> None:
    if room_of(path) in FRONT or path in DOORS:
        return
    source = (ROOT / path).read_text()
    assert not re.search(r"""["'](data|plots|metrics)/""", source)
    assert not re.search(r"\bfiles\.[A-Z]", source)


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_settings_need_no_torch(room: Path) -> None:
    path = room / "settings.py"
    if path in MODULES:
        for each in closure(path):
            assert not HEAVY & {name.split(".")[0] for name in imported_names(each)}, each


@pytest.mark.parametrize("stage", ["split", "ensemble", "threshold", "evaluate", "present"])
def test_light_stages_reach_no_torch(stage: str) -> None:
    late = stage not in LATE
    for path in closure(Path(f"stages/{stage}.py"), late, frozenset({Path("foldwise/checks.py")})):
        assert not HEAVY & {name.split(".")[0] for name in imported_names(path, late)}, path


def test_light_stages_start_without_torch() -> None:
    code = (
        "import sys\n"
        "from stages import split, ensemble, threshold, evaluate, present\n"
        "from foldwise.checks import check_params\n"
        "check_params()\n"
        "assert not {'torch', 'albumentations'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_no_name_comes_twice() -> None:
    """Neither functions nor classes; every stage and command has a `main`."""
    found = defaultdict(set)
    for path in MODULES:
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name != "main":
                found[node.name].add(str(path))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_files_and_functions_can_be_read_in_one_go(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= 300
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 62, node.name


@pytest.mark.parametrize("room", ["scoring", "ensembling", "decision", "evaluation"])
def test_labels_come_before_logits(room: str) -> None:
    for path in MODULES:
        if room_of(path) == room:
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.FunctionDef | ast.Lambda):
                    names = [each.arg for each in node.args.args]
                    if {"labels", "logits"} <= set(names):
                        assert names.index("labels") < names.index("logits"), (path, names)
