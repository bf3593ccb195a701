"""A study on a cluster: its trials' folds are trained there, side by side, to the same scores."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.cluster.conftest import Nodes
from tests.cluster.test_stages import on
from tests.commands.test_tune import SPACE, content_of, experiments, write_space
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
    # Which of two trials is pruned may depend on which is first.
    whole = [set(experiments(each)) - {"space-best"} for each in (copied, plain)]
    assert len(whole[0]) == 3
    both = [name for name in whole[0] & whole[1] if not name.endswith("pruned")]
    assert both
    for name in both:
        summaries = [content_of(each, name, "metrics/summary.json") for each in (copied, plain)]
        assert summaries[0] == summaries[1]
