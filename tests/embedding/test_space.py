"""Folds' spaces turned onto the first one's, against turns that were made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from foldwise.embedding.space import (
    IMAGES_PER_DIMENSION,
    LEAST_SHARED,
    MOST_DIMENSIONS,
    FoldFeatures,
    common_space,
    turned_onto,
)

TESTS = 120


def drawn(seed: int, images: int, width: int) -> np.ndarray:
    """Points whose spread differs from axis to axis."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(images, width)) * np.linspace(3, 1, width) + rng.normal(size=width)


def orthogonal(seed: int, width: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed + 1000).normal(size=(width, width)))[0]


def fold_of(own: np.ndarray, shared: np.ndarray, name: str) -> FoldFeatures:
    ids = np.array([f"{name}{row}" for row in range(len(own))])
    return FoldFeatures(ids, own, np.array([f"t{row}" for row in range(len(shared))]), shared)


@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(0.1, 10), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_turned_mirrored_scaled_and_moved_copy_is_turned_back(
    seed: int, width: int, size: float, mirrored: bool
) -> None:
    shared, own = drawn(seed, TESTS, width), drawn(seed + 1, 30, width)
    turn = orthogonal(seed, width)
    if mirrored:
        turn[:, 0] *= -1
    first = fold_of(own, shared, "a")
    copy = fold_of(size * own @ turn + 3, size * shared @ turn + 3, "b")
    found = common_space({0: first, 1: copy})
    assert found is not None
    assert found.turned
    assert found.folds.tolist() == [0] * 30 + [1] * 30 + [-1] * TESTS
    np.testing.assert_allclose(found.points[:30], found.points[30:60], atol=1e-4)
    # Distances are those of the features, to one scale.
    between = np.linalg.norm(own[0] - own[1:], axis=1)
    seen = np.linalg.norm(found.points[0] - found.points[1:30], axis=1)
    np.testing.assert_allclose(seen / seen[0], between / between[0], rtol=1e-3)


@given(st.integers(0, 10_000), st.integers(2, 8))
@settings(max_examples=30, deadline=None)
def test_no_other_turn_brings_points_nearer(seed: int, width: int) -> None:
    points, target = drawn(seed, 40, width), drawn(seed + 7, 40, width)
    best = turned_onto(points, target)
    np.testing.assert_allclose(best @ best.T, np.eye(width), atol=1e-9)
    least = np.linalg.norm(points @ best - target)
    for number in range(20):
        assert least <= np.linalg.norm(points @ orthogonal(number, width) - target) + 1e-9


def test_test_images_lie_at_the_mean_of_all_folds() -> None:
    shared = drawn(0, TESTS, 4)
    noisy = shared + np.random.default_rng(9).normal(0, 0.5, shared.shape)
    alone = common_space({0: fold_of(drawn(1, 5, 4), shared, "a")})
    other = common_space({0: fold_of(drawn(1, 5, 4), noisy, "a")})
    both = common_space({0: fold_of(drawn(1, 5, 4), shared, "a"),
                         1: fold_of(drawn(2, 5, 4), noisy, "b")})  # fmt: skip
    assert alone is not None
    assert other is not None
    assert both is not None
    at, by, mean = alone.points[5:], other.points[5:], both.points[10:]
    turned = by @ turned_onto(by, at)
    np.testing.assert_allclose(mean, (at + turned) / 2, atol=1e-5)


@pytest.mark.parametrize(("tests", "width"), [(24, 60), (4000, 300), (400, 60)])
def test_there_are_images_enough_for_every_dimension(tests: int, width: int) -> None:
    """Turned back from shared images alone, what no fold shares lies right as well."""
    rng = np.random.default_rng(0)
    # Of more features than there are images to tell them by, few that matter.
    axes = rng.normal(size=(3, width))
    shared, own = rng.normal(size=(tests, 3)) @ axes, rng.normal(size=(40, 3)) @ axes
    turn = orthogonal(0, width)

    def noise(points: np.ndarray) -> np.ndarray:
        return points + rng.normal(0, 0.02, points.shape)

    first = fold_of(noise(own), noise(shared), "a")
    found = common_space({0: first, 1: fold_of(noise(own) @ turn, noise(shared) @ turn, "b")})
    assert found is not None
    expected = min(width, tests // IMAGES_PER_DIMENSION, MOST_DIMENSIONS)
    assert found.points.shape == (80 + tests, expected)
    apart = np.linalg.norm(found.points[:40] - found.points[40:80], axis=1)
    assert np.median(apart) < 0.15 * np.linalg.norm(found.points[:40], axis=1).mean()


@pytest.mark.parametrize("tests", [0, LEAST_SHARED - 1])
def test_with_too_few_test_images_the_first_fold_is_alone(tests: int) -> None:
    folds = {each: fold_of(drawn(each, 10, 3), drawn(5, tests, 3), "ab"[each]) for each in (0, 1)}
    found = common_space(folds)
    assert found is not None
    assert not found.turned
    assert found.ids.tolist() == folds[0].held_out.tolist()
    assert found.folds.tolist() == [0] * 10


@pytest.mark.parametrize(("tests", "width"), [(40, 9), (40, 300), (600, 200)])
def test_axes_are_those_of_principal_component_analysis(tests: int, width: int) -> None:
    shared = drawn(3, tests, width)
    found = common_space({0: fold_of(drawn(4, 2, width), shared, "a")})
    assert found is not None
    points = found.points[2:]
    expected = PCA(points.shape[1], svd_solver="full").fit_transform(shared)
    expected *= np.sqrt((points**2).sum() / (expected**2).sum())
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-3)


@pytest.mark.parametrize("images", [1, 2, 10])
def test_more_features_than_images_of_one_fold(images: int) -> None:
    own = drawn(0, images, 30)
    found = common_space({0: fold_of(own, own[:0], "a")})
    assert found is not None
    np.testing.assert_allclose(
        pdist(found.points) * np.sqrt(((own - own.mean(0)) ** 2).sum(1).mean()),
        pdist(own), atol=1e-3,
    )  # fmt: skip


def test_nothing_was_kept() -> None:
    empty = np.empty((0, 0), np.float16)
    assert common_space({0: FoldFeatures(np.array([]), empty, np.array([]), empty)}) is None


def test_folds_of_other_test_images_are_refused() -> None:
    first, second = (fold_of(drawn(0, 4, 3), drawn(each, 40, 3), "a") for each in (0, 1))
    second.shared[0] = "x"
    with pytest.raises(ValueError, match="fold 1 has features of other test images"):
        common_space({0: first, 1: second})


@pytest.mark.parametrize("width", [4, 40])
def test_all_features_alike_are_one_point(width: int) -> None:
    same = np.ones((30, width), np.float16)
    found = common_space({0: fold_of(same, same, "a"), 1: fold_of(same, same, "b")})
    assert found is not None
    assert not found.points.any()
