"""A study in a real repository: its trials are DVC experiments, and a kill loses none."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import TINY, Project, environment

SPACE = {
    "lr": {"log": [0.003, 0.1]},
    "threshold.calibration": {"choice": ["none", "temperature"]},
    "tta.views": {"choice": [["identity"], ["identity", "rot90"]]},
}
AFTER = {
    "threshold.calibration": {"choice": ["none", "temperature"]},
    "threshold.scope": {"choice": ["global", "per_class"]},
}


def write_space(project: Project, name: str, content: dict[str, Any]) -> None:
    (project.path / name).write_text(yaml.safe_dump(content, sort_keys=False))


def experiments(project: Project) -> list[str]:
    """Names of all experiments, as DVC knows them."""
    said = project.run("dvc", "exp", "list", "--all-commits", "--name-only").stdout
    return sorted(said.split())


def ref_of(project: Project, experiment: str) -> str:
    """Under which git has an experiment."""
    refs = project.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    (ref,) = [each for each in refs if each.rpartition("/")[2] == experiment]
    return ref


def text_of(project: Project, experiment: str, path: str) -> str:
    """A file of an experiment, as git has it."""
    return project.run("git", "show", f"{ref_of(project, experiment)}:{path}").stdout


def content_of(project: Project, experiment: str, path: str) -> Any:
    """What a YAML or JSON file of an experiment holds."""
    return yaml.safe_load(text_of(project, experiment, path))


def files_of(project: Project, experiment: str) -> list[str]:
    """Paths of all files that git has of an experiment."""
    ref = ref_of(project, experiment)
    return project.run("git", "ls-tree", "-r", "--name-only", ref).stdout.splitlines()


def start(project: Project, *words: str) -> subprocess.Popen[str]:
    """A study that runs beside this process."""
    return subprocess.Popen(
        [sys.executable, "-m", "foldwise", "tune", *words],
        cwd=project.path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def said_until(process: subprocess.Popen[str], words: str) -> str:
    """What it says up to a line with these words."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.slow
def test_a_killed_study_has_each_trial_once_and_touches_nothing(copied: Project) -> None:
    write_space(copied, "space.yaml", SPACE)
    copied.commit("A space")
    before = copied.bytes_of("data", "metrics", "plots", ".dvc/plots")
    words = ["space.yaml", "--trials", "3"]
    # Killed in the midst of the first trial, with nothing of it kept yet, and in the second one.
    for moment in ("trial 1 begins", "trial 2 begins"):
        process = start(copied, *words)
        said_until(process, moment)
        mark = copied.path / ".tune/space/workspaces/0.trial"
        number = moment.split()[1]
        while not mark.exists() or mark.read_text().split()[:1] != [number]:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        # As a power cut leaves it.
        (copied.path / ".tune/space/workspaces/0/.git/index.lock").touch()
    process = start(copied, *words)
    said_until(process, "trial 2 begins")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    result = copied.run(sys.executable, "-m", "foldwise", "tune", *words)
    assert "3 of 3" in result.stderr
    assert "trial 1 begins" not in result.stderr
    found = experiments(copied)
    states = {name: name.endswith("-pruned") for name in found if name != "space-best"}
    numbers = [name.split("-")[1] for name in states]
    assert numbers == ["001", "002", "003"]
    assert "space-best" in found
    for name, pruned in states.items():
        summary = content_of(copied, name, "metrics/summary.json")
        # Nothing of a trial has seen the test part.
        assert set(summary) == ({"pruned"} if pruned else {"oof"})
        assert content_of(copied, name, "params.yaml")["evaluate"]["test"] is False
        # Nor has it anything of the base's run but the data.
        stages = set(content_of(copied, name, "dvc.lock")["stages"])
        assert stages == {"fetch", "split"} if pruned else "present" not in stages
        assert ("plots/threshold.csv" in files_of(copied, name)) == (not pruned)
        assert "plots/data.csv" in files_of(copied, name)
    assert copied.bytes_of("data", "metrics", "plots", ".dvc/plots") == before
    assert not copied.run("git", "status", "--porcelain").stdout

    best = content_of(copied, "space-best", "metrics/tune.json")
    assert best["trials"]["complete"] + best["trials"]["pruned"] == 3
    assert set(content_of(copied, "space-best", "metrics/summary.json")) == {"oof", "test"}
    assert "test" not in content_of(copied, "space-best", "params.yaml")["evaluate"]
    # It is an experiment like any other: applied, nothing of it is out of date.
    copied.run("dvc", "exp", "apply", "space-best")
    assert json.loads((copied.path / "metrics/tune.json").read_text()) == best
    status = copied.run("dvc", "status").stdout
    assert "up to date" in status, status
    assert "space" in (copied.path / "plots/report.html").read_text()


@pytest.mark.slow
def test_what_comes_after_training_needs_none(copied: Project) -> None:
    write_space(copied, "after.yaml", AFTER)
    copied.commit("A space")
    models = set((copied.path / ".dvc/cache").rglob("*"))
    result = copied.run(
        sys.executable, "-m", "foldwise", "tune", "after.yaml", "--trials", "4", "--jobs", "2"
    )
    assert "4 trials: 4 complete" in result.stdout
    names = [name for name in experiments(copied) if name != "after-best"]
    assert names == ["after-001", "after-002", "after-003", "after-004"]
    lock = yaml.safe_load((copied.path / "dvc.lock").read_text())["stages"]
    for name in names:
        theirs = content_of(copied, name, "dvc.lock")["stages"]
        own = content_of(copied, name, "params.yaml")
        assert own["lr"] == TINY["lr"]
        for stage in lock:
            if stage.startswith(("train", "predict")):
                assert theirs[stage] == lock[stage]
    # Four trials of four draws: what is drawn again is not run again.
    assert len({yaml.safe_dump(content_of(copied, name, "params.yaml")) for name in names}) >= 2
    assert models <= set((copied.path / ".dvc/cache").rglob("*"))
    # Asked for again, there is nothing to run.
    again = copied.run(sys.executable, "-m", "foldwise", "tune", "after.yaml", "--trials", "4")
    assert "begins" not in again.stderr
    assert again.stdout.splitlines()[:4] == result.stdout.splitlines()[:4]
    # Begun anew, numbers would be there twice.
    shutil.rmtree(copied.path / ".tune")
    said = copied.command("tune", "after.yaml", code=1)
    assert "is an experiment of a former study of this name" in said


@pytest.mark.slow
def test_a_trial_that_fails_says_why_and_the_rest_go_on(copied: Project) -> None:
    # Albumentations has no such transform: only the stage finds out.
    wrong = [{"NoSuchTransform": {"p": 1.0}}]
    write_space(copied, "wrong.yaml", {"train.augment": {"choice": [wrong, [*wrong, *wrong]]}})
    copied.commit("A space")
    result = copied.run(sys.executable, "-m", "foldwise", "tune", "wrong.yaml", "--trials", "2")
    assert "trial 1: failed, " in result.stderr
    assert "NoSuchTransform" in result.stderr
    assert "2 trials: 0 complete, 0 pruned, 2 failed" in result.stdout
    assert "the base" in result.stdout
    assert experiments(copied) == ["wrong-best"]


def test_what_is_not_committed_is_refused(copied: Project) -> None:
    write_space(copied, "space.yaml", SPACE)
    params = yaml.safe_load((copied.path / "params.yaml").read_text()) | {"lr": 0.5}
    copied.write_params(params)
    said = copied.command("tune", "space.yaml", code=1)
    assert said.startswith("error: params.yaml: differs from the last commit")
    assert not (copied.path / ".tune/space/study.sqlite").exists()


def test_a_base_whose_data_is_out_of_date_is_refused(copied: Project) -> None:
    write_space(copied, "space.yaml", SPACE)
    params = yaml.safe_load((copied.path / "params.yaml").read_text())
    copied.write_params(params | {"split": {"method": "kfold", "shuffle": False}})
    copied.commit("Other folds, not run")
    said = copied.command("tune", "space.yaml", code=1)
    assert said.startswith("error: dvc.lock: split is out of date")


@pytest.mark.slow
def test_a_project_may_lie_in_a_folder_of_its_repository(copied: Project, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    shutil.copytree(copied.path, outer / "sub", ignore=shutil.ignore_patterns(".git"))
    project = Project(outer / "sub")
    write_space(project, "after.yaml", AFTER)
    Project(outer).run("git", "init", "-q", "-b", "main")
    project.commit("Start")
    result = project.run(sys.executable, "-m", "foldwise", "tune", "after.yaml", "--trials", "1")
    assert "1 trials: 1 complete" in result.stdout
    assert experiments(project) == ["after-001", "after-best"]
    assert content_of(project, "after-best", "sub/metrics/tune.json")["trials"]["complete"] == 1
    assert not Project(outer).run("git", "status", "--porcelain").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["space.yaml", "--trials", "0"], "--trials: got 0"),
        (["space.yaml", "--jobs", "-1"], "--jobs: got -1"),
        (["space.yaml", "--name", "A b"], "--name: got 'A b'"),
        (["none.yaml"], "none.yaml: no such file"),
    ],
)
def test_wrong_words_are_refused(copied: Project, words: list[str], said: str) -> None:
    write_space(copied, "space.yaml", SPACE)
    assert said in copied.command("tune", *words, code=1)


@pytest.mark.slow
def test_two_drivers_of_one_study_do_not_meet(copied: Project) -> None:
    write_space(copied, "space.yaml", SPACE)
    copied.commit("A space")
    process = start(copied, "space.yaml", "--trials", "1")
    try:
        said_until(process, "trial 0")
        said = copied.command("tune", "space.yaml", code=1)
        assert "another process runs this study" in said
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
