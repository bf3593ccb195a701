"""Who may know whom."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.imports import closure, imported_names, module_path

ROOMS = ("sources", "images", "folds", "network", "scoring", "report")
SHARED = {"settings", "errors", "progress", "images"}
LATE = {"present"}
"""What needs torch only once heat maps are asked for."""
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "stages").rglob("*.py"))


def room_of(path: Path) -> str:
    return path.parts[1].removesuffix(".py")


@pytest.mark.parametrize("path", [each for each in FILES if room_of(each) in ROOMS], ids=str)
def test_a_room_imports_itself_and_what_is_shared(path: Path) -> None:
    allowed = SHARED | {room_of(path)} | ({"scoring"} if room_of(path) == "report" else set())
    ours = {each for name in imported_names(path) if (each := module_path(name))}
    assert {room_of(each) for each in ours} <= allowed


@pytest.mark.parametrize("path", [each for each in FILES if room_of(each) in ROOMS], ids=str)
def test_a_room_knows_no_paths_of_the_pipeline(path: Path) -> None:
    source = (ROOT / path).read_text()
    assert '"data/' not in source
    assert '"plots' not in source
    assert '"metrics' not in source


@pytest.mark.parametrize("stage", ["split", "ensemble", "threshold", "evaluate", "present"])
def test_light_stages_reach_no_torch(stage: str) -> None:
    late = stage not in LATE
    for path in closure(Path(f"stages/{stage}.py"), late):
        heavy = {"torch", "torchvision", "lightning", "timm", "dvclive", "safetensors"}
        direct = {name.split(".")[0] for name in imported_names(path, late)}
        if path != Path("stages/settings/augment.py"):
            heavy.add("albumentations")
        assert not heavy & direct, path


def test_light_stages_start_without_torch() -> None:
    code = (
        "import sys\n"
        "from stages import split, ensemble, threshold, evaluate, present\n"
        "assert not {'torch', 'albumentations'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_files_stay_short(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= 175
