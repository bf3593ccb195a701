"""A study on a cluster: its trials' folds are trained there, side by side, to the same scores."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import Nodes
from tests.cluster.test_stages import on
from tests.commands.test_tune import SPACE, content_of, experiments, files_of, text_of, write_space
from tests.conftest import Project


@pytest.mark.slow
def test_trials_are_trained_on_the_nodes(copied: Project, tmp_path: Path, cluster: Nodes) -> None:
    write_space(copied, "space.yaml", SPACE)
    copied.commit("A space")
    plain = Project(tmp_path / "plain")
    shutil.copytree(copied.path, plain.path)
    words = ["-m", "foldwise", "tune", "space.yaml", "--trials", "3", "--jobs", "2"]
    taken = {path.name for path in (cluster.cache / "kept").glob("*")}
    code, said = on(copied, cluster.named(), sys.executable, *words)
    assert code == 0, said
    assert {path.name for path in (cluster.cache / "kept").glob("*")} - taken
    plain.run(sys.executable, *words)
    # Which of two trials is pruned may depend on which is first; what each learned, not.
    for number in ("001", "002", "003"):
        names = [found_by(each, number) for each in (copied, plain)]
        curves = [first_fold(*each) for each in zip((copied, plain), names, strict=True)]
        assert curves[0].keys() == curves[1].keys()
        for name, lines in curves[0].items():
            common = min(len(lines), len(curves[1][name]))
            # A header, and an epoch at least.
            assert common >= 2
            assert lines[:common] == curves[1][name][:common], (number, name)
        if names[0] == names[1] and not names[0].endswith("-pruned"):
            summaries = [content_of(each, names[0], "metrics/summary.json")
                         for each in (copied, plain)]  # fmt: skip
            assert summaries[0] == summaries[1]


def found_by(project: Project, number: str) -> str:
    """The name of the one experiment of a trial."""
    (name,) = [each for each in experiments(project) if each.split("-")[1] == number]
    return name


def first_fold(project: Project, name: str) -> dict[str, list[str]]:
    """The lines of each curve of the first fold that an experiment holds: as far as it came."""
    found = {
        path.rpartition("/")[2]: text_of(project, name, path).splitlines()
        for path in files_of(project, name)
        if path.startswith("plots/train/cnn/0/") and path.endswith(".tsv")
    }
    assert "valid_macro_ap.tsv" in found
    return found
