"""Who is asked about, by a slower look at the same labels and logits."""

import numpy as np
import pandas as pd
import pytest

from foldwise.evaluation.predictions import Part
from foldwise.review.suspects import LIKELY, ordered_suspects
from foldwise.scoring.probability import sigmoid


def random_part(single: bool, images: int = 60, classes: int = 4, seed: int = 0) -> Part:
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, (images, classes)).astype(np.int8)
    if single:
        labels = np.eye(classes, dtype=np.int8)[rng.integers(0, classes, images)]
    logits = rng.normal(0, 2, (images, classes)).astype(np.float32)
    predicted = (logits > 0.4).astype(np.int8)
    if single:
        predicted = np.eye(classes, dtype=np.int8)[logits.argmax(1)]
    ids = np.array([f"i{each}" for each in range(images)])
    return Part(ids, labels, logits, logits, predicted)


def no_pictures() -> pd.DataFrame:
    return pd.DataFrame({"picture": pd.Series(dtype=int), "id": pd.Series(dtype=str)})


def test_several_labels_every_doubt_is_asked_about_once() -> None:
    part = random_part(single=False)
    found = ordered_suspects({"oof": part}, no_pictures(), False, 1000)
    expected: dict[str, dict[int, float]] = {}
    p = sigmoid(part.logits.astype(float))
    for row, id in enumerate(part.ids):
        doubts = {}
        for index in range(4):
            label = part.labels[row, index]
            if label >= 0:
                quality = p[row, index] if label else 1 - p[row, index]
                if quality < 0.5:
                    doubts[index] = quality
        # Its most confident error of either kind is one, though it may not be below one half.
        for kind in (0, 1):
            wrong = [
                index for index in range(4)
                if part.labels[row, index] == 1 - kind and part.predicted[row, index] == kind
            ]  # fmt: skip
            if wrong:
                index = max(wrong, key=lambda each: (2 * kind - 1) * part.logits[row, each])
                doubts[index] = p[row, index] if not kind else 1 - p[row, index]
        if doubts:
            expected[str(id)] = doubts
    assert {each.id: set(each.asked) for each in found} == {
        id: set(doubts) for id, doubts in expected.items()
    }
    for each in found:
        doubts = expected[each.id]
        assert list(each.asked) == sorted(doubts, key=doubts.__getitem__)
        assert each.quality == pytest.approx(min(doubts.values()))
        assert part.ids[each.row] == each.id
    qualities = [each.quality for each in found]
    assert qualities == sorted(qualities)
    fewer = ordered_suspects({"oof": part}, no_pictures(), False, 10)
    assert [each.id for each in fewer] == [each.id for each in found[:10]]


def test_one_label_its_class_is_asked_about() -> None:
    part = random_part(single=True)
    found = ordered_suspects({"oof": part}, no_pictures(), True, 1000)
    wrong = part.logits.argmax(1) != part.labels.argmax(1)
    assert {each.row for each in found} == set(np.flatnonzero(wrong).tolist())
    for each in found:
        assert list(each.asked) == [int(part.labels[each.row].argmax())]


@pytest.mark.parametrize("single", [False, True])
def test_images_that_look_the_same_with_other_labels(single: bool) -> None:
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]], np.int8)
    # The models agree with every label.
    logits = (8.0 * labels - 4).astype(np.float32)
    part = Part(np.array(list("abcd")), labels, logits, logits, labels)
    pictures = pd.DataFrame({"picture": [0, 0, 1, 1, 2], "id": ["a", "b", "c", "d", "extra"]})
    found = ordered_suspects({"oof": part}, pictures, single, 10)
    assert [each.id for each in found] == ["a", "b"]
    assert [set(each.asked) for each in found] == ([{0}, {1}] if single else [{0, 1}, {0, 1}])
    assert [each.alike for each in found] == [("b",), ("a",)]
    assert {each.quality for each in found} == {LIKELY}


def test_an_unknown_label_differs_from_none() -> None:
    labels = np.array([[1, -1], [1, 1]], np.int8)
    logits = np.full((2, 2), 4, np.float32)
    part = Part(np.array(["a", "b"]), labels, logits, logits, np.ones((2, 2), np.int8))
    pictures = pd.DataFrame({"picture": [0, 0], "id": ["a", "b"]})
    assert ordered_suspects({"oof": part}, pictures, False, 10) == []


def test_the_test_part_comes_where_it_is_given() -> None:
    parts = {"oof": random_part(False), "test": random_part(False, 20, seed=1)}
    parts["test"].ids[:] = [f"t{each}" for each in range(20)]
    found = ordered_suspects(parts, no_pictures(), False, 1000)
    assert {each.part for each in found} == {"oof", "test"}
    assert all(each.id.startswith("t") == (each.part == "test") for each in found)
    assert [each.quality for each in found] == sorted(each.quality for each in found)


def test_who_lies_among_others_is_asked_about() -> None:
    labels = np.zeros((6, 4), np.int8)
    labels[:, 0] = 1
    logits = np.where(labels == 1, 4.0, -4.0).astype(np.float32)
    part = Part(np.array(list("abcdef")), labels, logits, logits, labels)
    assert ordered_suspects({"oof": part}, no_pictures(), False, 10) == []
    row = {"row": [2], "class_index": [3], "agree": [0.1], "share": [0.9], "other": [3]}
    midst = {"oof": pd.DataFrame(row)}
    (found,) = ordered_suspects({"oof": part}, no_pictures(), False, 10, midst)
    assert (found.id, list(found.asked)) == ("c", [3])
    assert found.asked[3][1] == "90 % of the images around say otherwise"
    assert found.quality == pytest.approx((sigmoid(np.array(4.0)) + 0.1) / 2)
