"""Files of ours that are cut off, emptied or changed: one line that names the file and a remedy."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from foldwise.core import files
from foldwise.core.damage import damaged, recorded_sums, refuse_changed
from foldwise.core.errors import UserError
from tests.conftest import Project

# Of every file a stage that reads it, and whether it tells every damaged byte by itself.
READERS: dict[str, tuple[str, ...]] = {
    "data/dataset.json": ("split",),
    "data/labels.parquet": ("split",),
    "data/folds.csv": ("ensemble",),
    "data/models/cnn/0/model.json": ("predict", "--member", "cnn", "--fold", "0"),
    "data/models/cnn/0/weights.safetensors": ("predict", "--member", "cnn", "--fold", "0"),
    "data/predictions/cnn/1.npz": ("ensemble",),
    "data/features/cnn/1.npz": ("present",),
    "data/ensemble.npz": ("threshold",),
    "data/outoffold.npz": ("evaluate",),
    "data/decision.json": ("evaluate",),
    "plots/ladder.csv": ("evaluate",),
    "metrics/evaluation.json": ("present",),
}
SUMMED = {"data/models/cnn/0/model.json", "data/models/cnn/0/weights.safetensors"}
"""Files that carry a sum of their own: no changed byte goes unnoticed, whoever reads them."""
REMEDY = re.compile(r"`dvc (checkout|repro) ")


@pytest.fixture(scope="module")
def shared(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy for all damage of this module, each mended by the test that did it."""
    path = tmp_path_factory.mktemp("damage") / "copy"
    shutil.copytree(reproduced.path, path, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    return Project(path)


@pytest.fixture
def path(shared: Project, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file to damage, whole again afterwards."""
    path = shared.path / request.param
    content = path.read_bytes()
    yield path
    path.unlink()
    path.write_bytes(content)


def damage(path: Path, made: Callable[[bytes], bytes]) -> None:
    content = path.read_bytes()
    # DVC's cache may share the file.
    path.unlink()
    path.write_bytes(made(content))


def unchanging(content: bytes, _: bytes) -> bytes:
    return content


def errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("path", READERS, indirect=True)
@pytest.mark.parametrize("part", [0.0, 0.6])
def test_a_file_cut_off_is_one_line(shared: Project, path: Path, part: float) -> None:
    damage(path, lambda content: content[: int(len(content) * part)])
    name = path.relative_to(shared.path).as_posix()
    stage, *arguments = READERS[name]
    if name.endswith(".csv") and part:
        # A table that ends in the midst of a row may have none that is wrong.
        shared.stage(stage, *arguments, code=None)
        return
    said = errors(shared.stage(stage, *arguments, code=1))
    assert len(said) == 1
    assert name in said[0]
    assert REMEDY.search(said[0])


@pytest.mark.slow
@pytest.mark.parametrize("path", READERS, indirect=True)
def test_changed_bytes_are_no_traceback(shared: Project, path: Path) -> None:
    """Whatever it is that one byte makes of the file: what reads it refuses it, or reads it."""
    name = path.relative_to(shared.path).as_posix()
    stage, *arguments = READERS[name]
    whole = path.read_bytes()
    rng = np.random.default_rng(sum(name.encode()))
    for place in rng.integers(0, len(whole), 2).tolist():
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(0, 8))
        damage(path, partial(unchanging, bytes(changed)))
        shared.stage(stage, *arguments, code=1 if name in SUMMED else None)


@pytest.mark.parametrize("path", ["data/decision.json", "data/folds.csv"], indirect=True)
def test_under_dvc_and_for_commands_every_changed_byte_counts(
    shared: Project, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digit that became another one reads as if nothing were wrong; dvc.lock knows."""
    name = path.relative_to(shared.path).as_posix()
    digits = [match.start() for match in re.finditer(rb"[1-8]", path.read_bytes())]

    def another(content: bytes) -> bytes:
        return content[: digits[-1]] + b"9" + content[digits[-1] + 1 :]

    damage(path, another)
    monkeypatch.setenv("DVC_STAGE", "evaluate")
    (said,) = errors(shared.stage("evaluate", code=1))
    assert said.startswith(f"error: {name}: is not what dvc.lock has on record")
    monkeypatch.delenv("DVC_STAGE")
    if name == "data/decision.json":
        said = shared.command("apply", "data/incoming", code=1)
        assert said.startswith(f"error: {name}: is not what dvc.lock has on record")
        said = shared.command("export", code=1)
        assert said.startswith(f"error: {name}: is not what dvc.lock has on record")


def test_sums_are_those_of_dvc_lock(shared: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared.path)
    sums = recorded_sums()
    assert sums["data/folds.csv"][0] == "split"
    assert sums["data/predictions/cnn/1.npz"][0] == "predict@cnn-1"
    later = {"evaluate", "present", "threshold"}  # which other tests run by hand
    refuse_changed(Path(name) for name, (stage, _) in sums.items() if stage not in later)
    assert recorded_sums(Path("nowhere")) == {}


def test_the_remedy_is_one_that_works(tmp_path: Path) -> None:
    """What DVC leaves to git, `dvc checkout` does not bring back."""
    found = {"data/folds.csv": True, "data/decision.json": False, "plots/views.csv": False}
    for name, cached in found.items():
        said = str(damaged(Path(name), "cut off", "x"))
        assert ("dvc checkout --force" in said) == cached
        assert "`dvc repro --force --single-item x` brings it back" in said


@pytest.mark.parametrize("content", ["", "stages: [", "- 1", "stages: {fetch: 3}", "\x00"])
def test_a_lock_that_cannot_be_read_accuses_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "dvc.lock").write_text(content)
    (tmp_path / "a").write_text("b")
    refuse_changed([Path("a")], tmp_path)


def test_what_is_not_there_is_told_by_name(
    shared: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An array, an image or a class that a file lacks."""
    monkeypatch.chdir(shared.path)
    arrays = files.read_arrays(files.ENSEMBLE, "ensemble")
    with pytest.raises(UserError, match=r"data/ensemble.npz: is damaged \(it lacks `other`\)"):
        arrays["other"]
    classes = json.loads(files.DATASET.read_text())["classes"]
    with pytest.raises(UserError, match=r"labels.parquet: is damaged \(it has no image 'x'\)"):
        files.labels_of(["x"], classes)
    with pytest.raises(UserError, match=r"labels.parquet: is damaged \(it has no class 'x'\)"):
        files.labels_of(arrays["oof_id"], ["x"])
    with pytest.raises(UserError, match=r"folds.csv: is damaged \(it has no image 'x'\)"):
        files.folds_of(["x"])
