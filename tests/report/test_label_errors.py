"""Suspected label errors: planted ones in simulated predictions, and cleanlab beside them."""

import numpy as np
import pandas as pd
import pytest
from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class

from benchmarks.planted import SHARE, plant
from foldwise.report.label_errors import COLUMNS, label_quality, looked_at, suspected_errors
from foldwise.scoring.probability import log_softmax, one_vs_rest_log_odds, sigmoid

IMAGES, CLASSES, WRONG = 2000, 6, 120


@pytest.fixture
def several() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of several classes, logits that are calibrated, and which labels are wrong."""
    random = np.random.default_rng(3)
    logits = random.normal(-1, 8, (IMAGES, CLASSES)).astype(np.float32)
    labels = (random.random(logits.shape) < sigmoid(logits)).astype(np.int8)
    wrong = random.permutation(labels.size).reshape(labels.shape) < WRONG
    return np.where(wrong, 1 - labels, labels), logits, wrong


@pytest.fixture
def exclusive() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One label per image, logits of a softmax, and which images have a wrong label."""
    random = np.random.default_rng(4)
    logarithms = log_softmax(random.normal(0, 6, (IMAGES, CLASSES)))
    truth = np.array([random.choice(CLASSES, p=np.exp(each)) for each in logarithms])
    wrong = np.zeros(IMAGES, bool)
    wrong[random.permutation(IMAGES)[:WRONG]] = True
    given = np.where(wrong, (truth + random.integers(1, CLASSES, IMAGES)) % CLASSES, truth)
    labels = np.eye(CLASSES, dtype=np.int8)[given]
    return labels, one_vs_rest_log_odds(logarithms).astype(np.float32), wrong


def test_planted_errors_come_first(several: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    labels, logits, wrong = several
    found = suspected_errors(labels, logits, single=False, most=50)
    assert list(found) == COLUMNS
    assert len(found) == 50
    # By chance it would be half of one.
    assert wrong[found["row"], found["class_index"]].sum() >= 45
    assert (found["given"] == labels[found["row"], found["class_index"]]).all()
    p = sigmoid(logits)[found["row"], found["class_index"]]
    assert found["probability"].to_numpy() == pytest.approx(p)
    assert found["quality"].to_numpy() == pytest.approx(np.where(found["given"] == 1, p, 1 - p))
    assert found["quality"].is_monotonic_increasing
    assert (found["suggested"] == found["class_index"]).all()
    assert set(found["given"]) == {0, 1}


def test_only_what_predictions_contradict_is_suspected(
    several: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, _ = several
    found = suspected_errors(labels, logits, single=False, most=labels.size)
    assert len(found) == ((logits > 0) != (labels == 1)).sum()
    assert suspected_errors((logits > 0).astype(np.int8), logits, False, 10).empty


def test_quality_is_cleanlabs_of_several_labels(
    several: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, _ = several
    lists = [np.flatnonzero(row).tolist() for row in labels]
    theirs = get_label_quality_scores_per_class(lists, sigmoid(logits), method="self_confidence")
    assert label_quality(labels, logits, single=False) == pytest.approx(theirs)


def test_unknown_labels_are_not_suspected_and_change_nothing_else(
    several: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, _ = several
    first = suspected_errors(labels, logits, single=False, most=40)
    worst = first.iloc[0]
    hidden = labels.copy()
    hidden[int(worst["row"]), int(worst["class_index"])] = -1
    hidden[:, 5] = -1
    found = suspected_errors(hidden, logits, single=False, most=1000)
    assert (hidden[found["row"], found["class_index"]] >= 0).all()
    kept = first.iloc[1:].query("class_index != 5").reset_index(drop=True)
    pd.testing.assert_frame_equal(found.head(len(kept)), kept)
    assert suspected_errors(np.full_like(labels, -1), logits, False, 10).empty


def test_one_suspicion_per_image_of_one_label(
    exclusive: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, wrong = exclusive
    found = suspected_errors(labels, logits, single=True, most=50)
    # By chance it would be three.
    assert wrong[found["row"]].sum() >= 40
    assert (found["given"] == 1).all()
    assert (found["class_index"] == labels.argmax(1)[found["row"]]).all()
    assert (found["suggested"] == logits.argmax(1)[found["row"]]).all()
    assert (found["suggested"] != found["class_index"]).all()
    assert found["quality"].is_monotonic_increasing
    p = sigmoid(logits)[found["row"], found["class_index"]]
    assert found["probability"].to_numpy() == pytest.approx(p, abs=1e-5)
    every = suspected_errors(labels, logits, single=True, most=IMAGES)
    assert len(every) == every["row"].nunique() == (labels.argmax(1) != logits.argmax(1)).sum()


def test_unknown_classes_of_images_of_one_label() -> None:
    labels = np.array([[-1, -1, -1], [1, 0, -1], [0, -1, 0], [1, -1, 0]], np.int8)
    logits = np.array([[0, 1, 2], [-2, -1, 3], [1, 2, 3], [-2, 3, -2.5]], np.float32)
    found = suspected_errors(labels, logits, single=True, most=10)
    assert found[["row", "class_index", "suggested"]].to_numpy().tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("single", [False, True])
def test_what_was_looked_at_makes_room_for_the_next(
    single: bool,
    several: tuple[np.ndarray, np.ndarray, np.ndarray],
    exclusive: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, _ = exclusive if single else several
    every = suspected_errors(labels, logits, single, most=30)
    ids, names = [f"i{row}" for row in range(IMAGES)], list("abcdef")
    told = pd.DataFrame(
        {
            "id": [ids[row] for row in every["row"]],
            "class": [names[index] for index in every["class_index"]],
            "why": ["right", "wrong", "unsure"] * 10,
        }
    )
    order = np.random.default_rng(0).permutation(30)
    settled = looked_at(told.iloc[order], ids, names)
    assert settled.sum() == 20
    found = suspected_errors(labels, logits, single, 10, settled)
    pd.testing.assert_frame_equal(found, every[2::3].reset_index(drop=True))
    assert len(suspected_errors(labels, logits, single, 30, settled)) == 30
    # Images that are not among these, of the test part say, are no matter.
    others = looked_at(told.assign(id="other"), ids, names)
    assert not others.any()
    assert not looked_at(told.head(0), ids, names).any()


@pytest.mark.parametrize("single", [False, True])
def test_order_of_images_does_not_matter(
    single: bool,
    several: tuple[np.ndarray, np.ndarray, np.ndarray],
    exclusive: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    labels, logits, _ = exclusive if single else several
    order = np.random.default_rng(0).permutation(IMAGES)
    found = suspected_errors(labels, logits, single, most=200)
    turned = suspected_errors(labels[order], logits[order], single, most=200)
    turned["row"] = order[turned["row"]]
    pd.testing.assert_frame_equal(found, turned)


def test_equal_ones_stand_in_order_of_class_and_image() -> None:
    logits = np.full((3, 2), 2, np.float32)
    logits[1, 1] = 3
    found = suspected_errors(np.zeros((3, 2), np.int8), logits, single=False, most=4)
    assert found[["class_index", "row"]].to_numpy().tolist() == [[1, 1], [0, 0], [0, 1], [0, 2]]


@pytest.mark.parametrize("present", [0, 1, IMAGES])
def test_a_class_that_is_never_once_or_always_there(
    present: int, several: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    labels, logits, _ = several
    before = suspected_errors(labels[:, 1:], logits[:, 1:], single=False, most=labels.size)
    labels[:, 0] = np.arange(IMAGES) < present
    found = suspected_errors(labels, logits, single=False, most=labels.size)
    others = found[found["class_index"] > 0].reset_index(drop=True)
    assert others["row"].tolist() == before["row"].tolist()
    contradicted = (logits[:, 0] > 0) != (np.arange(IMAGES) < present)
    assert (found["class_index"] == 0).sum() == contradicted.sum() > 0


def test_confident_ones_are_told_apart() -> None:
    logits = np.array([[40.0], [60.0], [50.0], [-60.0]], np.float32)
    found = suspected_errors(np.array([[0], [0], [0], [1]], np.int8), logits, False, 10)
    assert found["row"].tolist() == [1, 3, 2, 0]


def test_planted_errors_are_in_the_train_part_alone() -> None:
    values = np.random.default_rng(0).integers(0, 2, (100, 3)).astype(np.int8)
    values[:10, 0] = -1
    labels = pd.DataFrame(values, columns=["a", "b", "c"])
    labels.insert(0, "id", [f"{row}.png" for row in range(100)])
    labels.insert(1, "part", ["train"] * 80 + ["test"] * 20)
    wrong, planted = plant(labels, ["a", "b", "c"])
    assert len(planted) == round(SHARE * 230)
    changed = wrong[["a", "b", "c"]].to_numpy() != values
    assert changed.sum() == len(planted)
    assert not changed[:10, 0].any()
    assert not changed[80:].any()
    assert (wrong.dtypes == labels.dtypes).all()
    for id, name, right in planted.to_numpy():
        row = int(id.removesuffix(".png"))
        assert labels.loc[row, name] == right == 1 - wrong.loc[row, name]


MIDST = pd.DataFrame(
    {
        "row": [3, 8],
        "class_index": [1, 0],
        "agree": [0.1, 0.2],
        "share": [0.9, 0.8],
        "other": [2, 5],
    }
)


def test_images_around_and_models_are_one_list() -> None:
    labels = np.zeros((10, 6), np.int8)
    labels[4] = -1
    logits = np.full((10, 6), -2.0, np.float32)
    logits[7, 2], logits[3, 1], logits[8, 0] = 3.0, -1.0, 4.0
    plain = suspected_errors(labels, logits, False, 100)
    assert list(zip(plain["row"], plain["class_index"], strict=True)) == [(8, 0), (7, 2)]
    assert plain["around"].isna().all()
    found = suspected_errors(labels, logits, False, 100, midst=MIDST)
    quality = {pair: float(sigmoid(-logits[pair])) for pair in ((3, 1), (7, 2), (8, 0))}
    # Where the models are surer than those around, their word alone counts.
    expected = {(8, 0): quality[8, 0], (7, 2): quality[7, 2], (3, 1): (quality[3, 1] + 0.1) / 2}
    assert list(zip(found["row"], found["class_index"], strict=True)) == list(expected)
    assert found["quality"].to_numpy() == pytest.approx(list(expected.values()))
    assert found["around"].fillna(-1).tolist() == [0.8, -1, 0.9]
    p = sigmoid(logits[found["row"], found["class_index"]])
    assert found["probability"].to_numpy() == pytest.approx(p)
    settled = np.zeros(labels.shape, bool)
    settled[3, 1] = True
    assert 3 not in suspected_errors(labels, logits, False, 100, settled, MIDST)["row"].tolist()


def test_images_around_say_what_one_label_is_where_the_models_do_not() -> None:
    labels = np.eye(6, dtype=np.int8)[[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]]
    logits = np.full((10, 6), -2.0, np.float32)
    logits[np.arange(10), labels.argmax(1)] = 2.0
    logits[8, 4] = 5.0
    found = suspected_errors(labels, logits, True, 100, midst=MIDST)
    # Of row 8 the models say which class it is; of row 3 they agree with the label.
    assert found[["row", "class_index", "suggested"]].to_numpy().tolist() == [[8, 0, 4], [3, 1, 2]]
    assert suspected_errors(labels, logits, True, 100)["row"].tolist() == [8]


def test_what_is_unknown_is_not_suspected_by_those_around() -> None:
    labels = np.full((10, 6), -1, np.int8)
    assert suspected_errors(labels, np.zeros((10, 6)), False, 100, midst=MIDST).empty
