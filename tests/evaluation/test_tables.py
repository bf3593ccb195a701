"""Tables of single classes, and confusion."""

import numpy as np
import pytest
from sklearn import metrics as reference

from foldwise.evaluation.average_precision import (
    average_precision,
)
from foldwise.evaluation.headline import headline
from foldwise.evaluation.predictions import Part
from foldwise.evaluation.tables import (
    MEAN,
    MOST_CLASSES,
    class_precision_recall_table,
    class_table,
    confusion_table,
    label_counts_table,
    shown_classes,
    tail_table,
)
from tests.scored import part_of


@pytest.fixture
def part() -> Part:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 4)).astype(np.float32)
    labels = (logits + rng.normal(size=logits.shape) > 0.3).astype(np.int8)
    labels[:20, 1] = -1
    return part_of((labels, logits))


CLASSES = ["a", "b", "c", "d"]


def test_tables_of_classes(part: Part) -> None:
    ap = headline(part, False).classes["ap"]
    table = class_table(part, ap, CLASSES)
    assert table["class"].tolist() == CLASSES
    assert (table["ap_low"] < table["ap"]).all()
    assert (table["ap"] < table["ap_high"]).all()
    curves = class_precision_recall_table(part, CLASSES, [1, 3])
    assert list(curves["class"].unique()) == ["b", "d"]
    for _, each in curves.groupby("class"):
        assert each["recall"].is_monotonic_increasing
        assert each["recall"].iloc[-1] == 1
        assert len(each) <= 40
    tails = tail_table(part, CLASSES, [2])
    assert list(tails["class"].unique()) == [MEAN, "c"]
    assert (tails["threshold"] >= 0.5).all()
    counts = label_counts_table(part)
    shares = counts.groupby("kind")["share"].sum()
    assert shares.to_dict() == pytest.approx({"true": 1.0, "predicted": 1.0})
    own = counts[counts["kind"] == "true"].set_index("labels")["images"]
    assert own[2] == ((part.labels == 1).sum(1) == 2).sum()
    row = part.predicted.astype(int)
    row[part.labels < 0] = 0
    own = counts[counts["kind"] == "predicted"].set_index("labels")["images"]
    assert own[1] == (row.sum(1) == 1).sum()


def test_confusion_counts_errors_that_go_together(part: Part) -> None:
    table = confusion_table(part, CLASSES, single=False).set_index(["actual", "predicted"])
    missed, added = (
        (part.labels == 1) & (part.predicted == 0),
        (part.labels == 0) & (part.predicted == 1),
    )
    for i, actual in enumerate(CLASSES):
        for j, predicted in enumerate(CLASSES):
            wanted = (missed[:, i] & added[:, j]).sum()
            if wanted:
                assert table["images"][(actual, predicted)] == wanted
                share = table["share"][(actual, predicted)]
                assert share == pytest.approx(wanted / missed[:, i].sum())
            else:
                assert (actual, predicted) not in table.index


def test_confusion_of_single_labels_is_scikit_learns(part: Part) -> None:
    truth, guess = part.labels.argmax(1), part.logits.argmax(1)
    eye = np.eye(4, dtype=np.int8)
    table = confusion_table(
        Part(part.ids, eye[truth], part.logits, part.logits, eye[guess]), CLASSES, single=True
    )
    found = table.pivot_table(index="actual", columns="predicted", values="images").fillna(0)
    assert np.array_equal(found.to_numpy(), reference.confusion_matrix(truth, guess))
    assert table.groupby("actual")["share"].sum().to_numpy() == pytest.approx(1.0)


def test_of_many_classes_those_that_need_it_are_shown() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, MOST_CLASSES + 20)).astype(np.float32)
    labels = logits + rng.normal(size=logits.shape) * np.linspace(0, 3, logits.shape[1]) > 1
    many = part_of((labels.astype(np.int8), logits))
    shown = shown_classes(many.labels, many.logits)
    ap = average_precision(many.labels, many.logits)
    assert shown == sorted(shown)
    assert len(shown) == MOST_CLASSES
    assert max(ap[shown]) <= min(np.delete(ap, shown))
    names = [str(i) for i in range(logits.shape[1])]
    table = confusion_table(many, names, False)
    assert table["actual"].nunique() <= MOST_CLASSES
    assert table["images"].min() > 0
