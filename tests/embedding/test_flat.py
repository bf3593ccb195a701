"""Two dimensions that keep what is near together, to the byte whoever computes them."""

import subprocess
import sys
from typing import Literal

import numpy as np
import pytest

from foldwise.embedding.flat import flattened
from tests.conftest import ROOT, environment

CODE = """
import numpy as np
from foldwise.embedding.flat import flattened
rng = np.random.default_rng(0)
points = rng.normal(size=(400, 60)).astype(np.float32)
import sys
sys.stdout.write(flattened(points, "tsne", 3).tobytes().hex())
"""


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_clusters_stay_together(method: Literal["tsne", "pca"]) -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(3), 40)
    points = (rng.normal(size=(3, 20)) * 5)[classes] + rng.normal(size=(120, 20))
    found = flattened(points, method, 0)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.ptp(found, axis=0).max() == pytest.approx(1)
    far = np.linalg.norm(found[:, None] - found, axis=2)
    np.fill_diagonal(far, np.inf)
    assert (classes[far.argmin(1)] == classes).mean() > 0.95


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (4, 1), (6, 1), (5, 2), (40, 3)], ids=str)
@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_few_images_and_few_dimensions_are_drawn(
    shape: tuple[int, int], method: Literal["tsne", "pca"]
) -> None:
    points = np.random.default_rng(0).normal(size=shape)
    found = flattened(points, method, 0)
    assert found.shape == (shape[0], 2)
    assert np.isfinite(found).all()


def test_equal_images_are_drawn() -> None:
    assert np.isfinite(flattened(np.ones((30, 4)), "tsne", 0)).all()


def test_the_seed_decides() -> None:
    points = np.random.default_rng(0).normal(size=(60, 5))
    assert np.array_equal(flattened(points, "tsne", 1), flattened(points, "tsne", 1))


@pytest.mark.slow
def test_the_number_of_threads_changes_no_byte() -> None:
    said = []
    for threads in ("1", "3"):
        own = environment() | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, env=own, check=True,
                              capture_output=True, text=True)  # fmt: skip
        said.append(done.stdout)
    assert said[0] == said[1]
    assert len(said[0]) == 400 * 2 * 4 * 2
