"""`apply` on a cluster: the parts of a run without one."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cluster.conftest import Nodes
from tests.cluster.test_stages import on
from tests.conftest import Project

APPLY = (sys.executable, "-m", "foldwise", "apply")


@pytest.fixture
def pictures(copied: Project) -> Path:
    folder = copied.path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(30):
        cv2.imwrite(str(folder / f"{number:02}.png"), rng.integers(0, 255, (24, 24), np.uint8))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def parts(folder: Path) -> dict[str, bytes]:
    """Every file of a folder of parts."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_parts_are_those_of_a_run_without_a_cluster(
    copied: Project, pictures: Path, cluster: Nodes
) -> None:
    here = (*APPLY, "pictures", "--slice", "8", "--out")
    assert on(copied, cluster.environment, *here, "alone/")[0] == 1
    code, said = on(copied, cluster.environment, *here, "shared/", "--cluster", cluster.address)
    assert code == 1, said
    assert "shared/: 30 images" in said
    wanted, found = parts(copied.path / "alone"), parts(copied.path / "shared")
    # Two slices of whole batches, one of them with a bad image, and what they are of.
    assert len(wanted) == 4
    assert found == wanted
    # What is there is not run again.
    again = on(copied, cluster.environment, *here, "shared/", "--cluster", cluster.address)
    assert again[0] == 1
    assert parts(copied.path / "shared") == wanted


def test_a_cluster_writes_parts_alone(copied: Project, pictures: Path, cluster: Nodes) -> None:
    command = (*APPLY, "pictures", "--cluster", cluster.address, "--out")
    code, said = on(copied, cluster.environment, *command, "x.csv")
    assert (code, said.count("\n")) == (1, 1)
    assert "--cluster: runs the ensemble of data/ and writes a folder" in said
