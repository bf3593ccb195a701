"""Neighbours against loops, and who lies in another class's midst against a planted one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.embedding import neighbours
from foldwise.embedding.neighbours import in_the_midst, nearest_rows, neighbours_of
from foldwise.embedding.space import FeatureSpace


def space_of(points: np.ndarray) -> FeatureSpace:
    ids = np.array([f"i{each}" for each in range(len(points))])
    return FeatureSpace(ids, np.zeros(len(points), int), points.astype(np.float32), True)


def by_loops(points: np.ndarray, row: int, count: int, among: list[int]) -> list[int]:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        size = float(np.linalg.norm(a) * np.linalg.norm(b))
        return round(float(a @ b) / size, neighbours.DIGITS) if size else 0.0

    others = [each for each in among if each != row]
    others.sort(key=lambda each: (-cosine(points[row], points[each]), among.index(each)))
    found = others[:count]
    return found + [-1] * (count - len(found))


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 8), st.booleans())
@settings(max_examples=80, deadline=None)
def test_neighbours_are_those_that_loops_find(
    seed: int, images: int, count: int, few: bool
) -> None:
    rng = np.random.default_rng(seed)
    # Small whole numbers: many are equally near, some are nowhere.
    points = rng.integers(-2, 3, (images, 3)).astype(float)
    among = rng.permutation(images)[: max(1, images // 2)] if few else np.arange(images)
    rows = rng.permutation(images)[:10]
    found = nearest_rows(points, rows, count, among)
    expected = [by_loops(points, int(row), count, among.tolist()) for row in rows]
    assert found.tolist() == expected


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(50, 4))
    whole = nearest_rows(points, np.arange(50), 5, np.arange(50))
    monkeypatch.setattr(neighbours, "AT_ONCE", 7)
    assert np.array_equal(nearest_rows(points, np.arange(50), 5, np.arange(50)), whole)


def test_an_images_nearest_ones_by_id() -> None:
    points = np.random.default_rng(1).normal(size=(20, 4))
    nearest = neighbours_of(space_of(points), 3)
    assert nearest("i7") == [f"i{each}" for each in by_loops(points, 7, 3, list(range(20)))]
    assert nearest("elsewhere") == []


def clusters(seed: int = 0, each: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Points and classes of three far clusters."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(3), each)
    return np.eye(3)[classes] * 10 + rng.normal(0, 0.3, (3 * each, 3)), classes


def test_an_image_of_one_class_in_anothers_midst_is_found() -> None:
    points, classes = clusters()
    given = classes.copy()
    given[[4, 40]] = [2, 0]
    labels = np.eye(3, dtype=np.int8)[given]
    found = in_the_midst(space_of(points), labels, space_of(points).ids, True, 10, 0)
    assert found["row"].tolist() == [4, 40]
    assert found["class_index"].tolist() == [2, 0]
    assert found["other"].tolist() == [0, 1]
    assert found["agree"].tolist() == [0, 0]
    assert (found["share"] >= 0.9).all()


def test_the_border_between_two_classes_is_no_midst() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3)) + 5
    labels = np.eye(2, dtype=np.int8)[rng.integers(0, 2, 200)]
    found = in_the_midst(space_of(points), labels, space_of(points).ids, True, 10, 0)
    # Of ten fair coins eight or more fall alike, the other way, about once in twenty.
    assert len(found) < 30
    assert (found["share"] >= neighbours.MIDST).all()


def test_several_labels_only_what_is_missing_is_doubted() -> None:
    points, classes = clusters()
    labels = np.eye(3, dtype=np.int8)[classes]
    labels[4, 0] = 0  # missing
    labels[10, 1] = 1  # wrongly there, which nothing near can tell
    labels[5:8, 0] = -1  # unknown, and nobody's witness
    labels = np.column_stack([labels, np.ones(len(labels), np.int8)])
    labels[60, 3] = 0  # a class that nearly all have
    space = space_of(points)
    found = in_the_midst(space, labels, space.ids, False, 10, 0)
    assert found[["row", "class_index", "other"]].to_numpy().tolist() == [[4, 0, 0]]
    assert found["share"].tolist() == [1.0]


def test_unknown_and_undrawn_images_are_left_out() -> None:
    points, classes = clusters()
    labels = np.eye(3, dtype=np.int8)[classes]
    labels[70] = -1  # in the midst of the last class, and not of the first one
    space = space_of(points)
    ids = np.concatenate([space.ids, ["nowhere"]])
    more = np.concatenate([labels, [[1, 0, 0]]]).astype(np.int8)
    assert in_the_midst(space, more, ids, True, 10, 0).empty
    assert in_the_midst(space, labels[:0], ids[:0], True, 10, 0).empty


@pytest.mark.parametrize("single", [True, False])
def test_the_order_of_images_changes_nothing(single: bool) -> None:
    points, classes = clusters(each=12)
    labels = np.eye(3, dtype=np.int8)[classes]
    labels[[4, 20]] = labels[[20, 4]]
    space = space_of(points)
    order = np.random.default_rng(0).permutation(len(classes))

    def said(rows: np.ndarray) -> set[tuple[str, int]]:
        found = in_the_midst(space.of(order), labels[rows], space.ids[rows], single, 5, 0)
        pairs = found[["row", "class_index"]].to_numpy(int).tolist()
        return {(str(space.ids[rows][row]), index) for row, index in pairs}

    assert said(order) == said(np.arange(len(order)))
    assert said(order)


def test_of_too_many_images_neighbours_are_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    points, classes = clusters()
    given = classes.copy()
    given[4] = 2
    labels = np.eye(3, dtype=np.int8)[given]
    monkeypatch.setattr(neighbours, "MOST_SOUGHT", 45)
    space = space_of(points)
    found = in_the_midst(space, labels, space.ids, True, 5, 0)
    assert found["row"].tolist() == [4]
    assert found.equals(in_the_midst(space, labels, space.ids, True, 5, 0))
