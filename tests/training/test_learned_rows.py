"""Own rows, extra and composed ones, and a teacher's targets, in training."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch

from foldwise.composing.composer import Composer
from foldwise.composing.kept import Composed
from foldwise.composing.settings import Compose
from foldwise.core.errors import UserError
from foldwise.model.classifier import build_network
from foldwise.sources.glyphs.sets import digits
from foldwise.training.composed import growth
from foldwise.training.curves import Curves
from foldwise.training.learned_rows import LearnedRows, learned_rows
from foldwise.training.lightning_module import MemberModule
from foldwise.training.losses import Loss
from foldwise.training.options import LossName, LossOptions
from foldwise.training.settings import Recipe
from tests.fitting import fit, recipe, same, training_run

CLASSES = ["2", "unknown", "0"]
"""Of the data set: two are digits."""


def twin(**compose: Any) -> Composed:
    glyphs = digits()
    rows = np.isin(glyphs.labels, [0, 2])
    names = ["0", "2"]
    own = type(glyphs)("digits", names, glyphs.images[rows], glyphs.labels[rows] // 2)
    settings = Compose.model_validate({"canvas": 32, "size": (8, 12), "glyphs": (1, 2)} | compose)
    return Composed("twin", own, settings, 0, None, False)


def extra_table(store_ids: list[str], part: str = "extra", source: str = "more") -> pd.DataFrame:
    table = pd.DataFrame({"id": store_ids, "part": part, "source": source})
    for index, name in enumerate(CLASSES):
        values = [None] * len(store_ids) if part == "unlabelled" else [index % 2, *[1, -1] * 9]
        table[name] = pd.array(values[: len(store_ids)], "Int8")
    return table


def nothing() -> pd.DataFrame:
    return extra_table([])


@pytest.fixture
def learn(images: Any) -> Any:
    """Makes what a recipe learns from: 6 own images, 3 extra or unlabelled ones, 2 of the test."""

    def make(
        made: Recipe,
        part: str = "extra",
        composed: bool = True,
        single: bool = False,
        test: int = 2,
        **compose: Any,
    ) -> LearnedRows:
        train, valid = images(made)
        own = train.only(range(6), augmented=True)
        extra = extra_table(train.ids[6:9], "unlabelled" if part == "unlabelled" else "extra")
        if part == "ones":
            extra[CLASSES] = 1
        if part == "both":
            extra.loc[1:, "part"] = "unlabelled"
            extra.loc[1:, CLASSES] = pd.NA
        twins = {"twin": twin(**compose)} if composed else {}
        return learned_rows(made, own, extra, twins, valid.ids[:test], CLASSES, single)

    return make


def sources_of(learned: LearnedRows, epoch: int) -> dict[str, int]:
    """How many images of every source an epoch shows."""
    positions = [position for _, position in learned.mixture.drawn(epoch)]
    return {
        each.name: sum(each.start <= place < each.start + each.count for place in positions)
        for each in learned.mixture.rows
    }


def test_a_schedule_says_who_is_seen_when(learn: Any) -> None:
    made = recipe(
        epochs=10,
        extra={"twin": {"per_epoch": 5, "until": 0.8}, "more": {"per_epoch": 2, "weight": 0.5}},
        own_from=0.5,
        curriculum={0.5: 2},
    )
    learned = learn(made)
    seen = [sources_of(learned, epoch) for epoch in range(10)]
    assert [each["own"] for each in seen] == [0] * 5 + [6] * 5
    assert [each["twin"] for each in seen] == [5] * 8 + [0] * 2
    assert [each["more"] for each in seen] == [0] * 2 + [2] * 8
    data = learned.dataset(learned.stored, None)
    assert len(data) == 6 + 3 + 5
    weights = [float(data[9, place, True].weight) for place in range(len(data))]
    assert weights == [1.0] * 6 + [0.5] * 3 + [1.0] * 5


def test_composed_images_are_those_of_seed_epoch_and_number(learn: Any) -> None:
    made = recipe(epochs=4, extra={"twin": {"per_epoch": 5}}, curriculum={0.5: 1, 0.75: 1})
    data = learn(made, composed=True).dataset
    stored = learn(made).stored
    one, again = data(stored, None), learn(made).dataset(stored, None)
    for epoch in (3, 0, 2):
        for place in (10, 6):
            first, second = one[epoch, place, True], again[epoch, place, True]
            assert torch.equal(first.input, second.input)
            assert torch.equal(first.labels, second.labels)
    pixels = {
        one[epoch, place, True].input.numpy().tobytes()
        for epoch in (2, 3)
        for place in range(6, 11)
    }
    assert len(pixels) == 10
    # It grows to the whole.
    assert [one[epoch, 6, True].input.shape[-1] for epoch in range(4)] == [8, 12, 16, 16]
    assert growth({}, 2) == (1.0, 1.0)
    assert growth({0.5: 1, 0.25: 2}, 5) == (0.25, 0.25, 0.5, 1.0, 1.0)


def test_composed_labels_are_the_classes_shown_and_ignore_the_others(learn: Any) -> None:
    made = recipe(extra={"twin": {"per_epoch": 40}})
    learned = learn(made)
    composed = twin()
    composer = Composer(composed.glyphs, composed.settings, 0, (composed.stream, 1))
    for number in range(40):
        labels = learned.composed[0][1, number, True][1]
        zero, two = composer.labels(number)
        assert labels.tolist() == [two, -1, zero]


def test_unlabelled_rows_and_the_test_part_have_a_teacher_alone(learn: Any) -> None:
    teacher = {"revision": "abc", "rows": ["test", "unlabelled"], "per_epoch": 1}
    learned = learn(recipe(teacher=teacher), part="unlabelled", composed=False)
    assert learned.kinds.tolist() == ["train"] * 6 + ["unlabelled"] * 3 + ["test"] * 2
    assert (learned.stored.labels[6:] == -1).all()
    assert sources_of(learned, 0) == {"own": 6, "more": 3, "test": 1}
    taught = np.where(np.arange(11)[:, None] < 6, -1, 0.25 * np.ones((11, 3)))
    data = learned.dataset(learned.stored, taught)
    assert (data[0, 2, True].taught == -1).all()
    assert (data[0, 7, True].taught == 0.25).all()
    assert (data[0, 7, False].taught == -1).all()


def test_a_source_may_have_rows_with_and_without_labels(learn: Any) -> None:
    """Each goes its own way: labels are learned, the others are for a teacher."""
    teacher = {"revision": "a", "rows": ["train", "unlabelled"]}
    for train, wanted in (
        ({"extra": {"more": {}}}, {"own": 6, "more": 1}),
        ({"teacher": teacher}, {"own": 6, "more": 2}),
    ):
        learned = learn(recipe(**train), part="both", composed=False)
        assert sources_of(learned, 0) == wanted
    learned = learn(recipe(extra={"more": {}}, teacher=teacher), part="both", composed=False)
    assert learned.kinds.tolist() == ["train"] * 6 + ["extra"] + ["unlabelled"] * 2
    assert (learned.stored.labels[6] == torch.tensor([0.0, 1, 0])).all()
    assert (learned.stored.labels[7:] == -1).all()
    rows = {**teacher, "rows": ["extra"]}
    assert learn(recipe(extra={"more": {}}, teacher=rows), part="both", composed=False)


def test_of_one_class_per_image_the_others_are_absent(learn: Any) -> None:
    made = recipe(extra={"twin": {"per_epoch": 9}}, loss="cross_entropy")
    learned = learn(made, single=True, glyphs=(1, 1))
    for number in range(9):
        labels = learned.composed[0][0, number, True][1]
        assert sorted(labels.tolist()) == [0.0, 0.0, 1.0]
    with pytest.raises(UserError, match="cross_entropy learns images of one class each"):
        learn(made, single=True, glyphs=(1, 2))


def test_stored_rows_of_several_classes_are_refused_by_cross_entropy(learn: Any) -> None:
    with pytest.raises(UserError, match="cross_entropy is for images of one class each"):
        learn(recipe(extra={"more": {}}, loss="cross_entropy"), composed=False, part="ones")


def test_composed_images_grow_as_own_ones_do(learn: Any) -> None:
    made = recipe(
        epochs=4, extra={"twin": {"per_epoch": 5}}, resize={16: 2, 24: 2}, model={"image_size": 24}
    )
    learned = learn(made).growing(made.sizes)
    data = learned.dataset(learned.stored, None)
    sides = [[data[epoch, place, True].input.shape[-1] for place in (0, 6)] for epoch in range(4)]
    assert sides == [[16, 16], [16, 16], [24, 24], [24, 24]]


def test_a_teacher_of_a_test_part_that_is_not_there_is_refused(learn: Any) -> None:
    teacher = {"revision": "a", "rows": ["test"], "per_epoch": 2}
    with pytest.raises(UserError, match="there are no test images"):
        learn(recipe(teacher=teacher), composed=False, test=0)


@pytest.mark.parametrize(
    ("train", "part", "said"),
    [
        ({"extra": {"other": {}}}, "extra", "no image of it is left"),
        ({"extra": {"more": {}}}, "unlabelled", "no labels"),
        ({"extra": {"more": {"until": 0.1}}}, "extra", "until"),
        ({"extra": {"more": {"until": 0.5}}, "own_from": 1.0}, "extra", "shows no image"),
        ({"teacher": {"revision": "a", "rows": ["extra"]}}, "extra", "no extra images"),
        (
            {"extra": {"twin": {"per_epoch": 5}}, "curriculum": {0.3: 1}},
            "extra",
            r"train\.curriculum: images of twin cannot be so small",
        ),
        ({"teacher": {"revision": "a", "rows": ["unlabelled"]}}, "extra", "no unlabelled images"),
    ],
)
def test_what_teaches_nothing_is_refused(
    train: dict[str, Any], part: str, said: str, learn: Any
) -> None:
    with pytest.raises(UserError, match=said):
        learn(recipe(**train), part=part, composed="twin" in train.get("extra", {}))


@pytest.mark.parametrize(
    "train",
    [
        {"extra": {"twin": {"per_epoch": 5, "weight": 0.5}, "more": {"until": 0.5}}},
        {
            "extra": {"twin": {"per_epoch": 5}},
            "curriculum": {0.5: 1},
            "own_from": 0.5,
            "scheduler": "onecycle",
            "mixup": 0.4,
            "cutmix": 1.0,
        },
        {
            "teacher": {"revision": "a", "rows": ["train", "test"], "temperature": 2.0},
            "loss": "asymmetric",
            "accumulate": 2,
        },
        {
            "extra": {"more": {"per_epoch": 2, "until": 0.5}},
            "freeze": {"epochs": 2},
            "scheduler": "cosine",
        },
    ],
    ids=["composed", "curriculum", "teacher", "frozen"],
)
def test_an_interrupted_training_of_more_rows_ends_with_the_same_bytes(
    train: dict[str, Any], images: Any, learn: Any, tmp_path: Path
) -> None:
    made = recipe(epochs=4, model={"dropout": 0.2}, **train)
    learned = learn(made, composed="twin" in train.get("extra", {}))
    taught = None
    if "teacher" in train:
        taught = np.random.default_rng(0).random((len(learned.stored), 3))
        taught[2] = -1
    data = (learned.stored.only(range(6), augmented=True), images(made)[1])
    more = {"learned": learned, "taught": taught}
    straight, rows = fit(made, data, tmp_path / "straight", **more)
    resumed, again = fit(made, data, tmp_path / "resumed", until=2, **more)
    assert same(straight, resumed)
    assert again == rows
    # It is not what own rows alone would have made.
    alone, _ = fit(made, data, tmp_path / "alone")
    assert not same(straight, alone)


def test_schedules_span_epochs_of_different_lengths(
    images: Any, learn: Any, tmp_path: Path
) -> None:
    """The rate of a cosine that spans all steps ends at nought, after the very last one."""
    made = recipe(
        epochs=4,
        scheduler="cosine",
        extra={"twin": {"per_epoch": 9}, "more": {"until": 0.5}},
        own_from=0.5,
    )
    learned = learn(made)
    data = (learned.stored.only(range(6), augmented=True), images(made)[1])
    curves = Curves(tmp_path / "curves", "m", made)
    run = training_run(tmp_path, curves, learned=learned)
    from foldwise.training.fit import fit_member

    fit_member(made, *data, run)
    assert curves.rows[-1]["lr"] == pytest.approx(0, abs=1e-9)
    assert all(row["lr"] > 1e-4 for row in curves.rows[:-1])


def test_the_loss_is_that_of_each_row_by_its_weight() -> None:
    """Against a sum by hand: labelled rows, taught ones, and one that is both."""
    made = recipe(teacher={"revision": "a", "weight": 0.25, "temperature": 2.0})
    network = build_network(made.model, 3, pretrained=False)
    member = MemberModule(network, made, torch.zeros(4, 3), 0)
    member.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1.0, 0, 1], [0, 1, 0], [-1, -1, -1]])
    taught = torch.tensor([[-1.0, -1, -1], [0.2, 0.7, 0.1], [0.9, 0.4, 0.5]])
    weights = torch.tensor([[1.0], [0.5], [2.0]])
    found = member._loss_of(logits, labels, weights, taught)
    cross = torch.nn.functional.binary_cross_entropy_with_logits
    hard = [cross(logits[i], labels[i]) for i in range(2)]
    soft = [4 * cross(logits[i] / 2, taught[i]) for i in (1, 2)]
    wanted = 0.75 * (hard[0] + 0.5 * hard[1]) / 3 + 0.25 * (0.5 * soft[0] + 2 * soft[1]) / 3
    assert torch.allclose(found, wanted)


def test_weights_of_a_loss_weigh_images() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 2, (4, 3)).float()
    for name in ("multilabel_soft_margin", "bce", "focal", "asymmetric"):
        loss = Loss(name, LossOptions(), targets)
        weights = torch.tensor([[1.0], [0.5], [0.0], [2.0]])
        each = torch.stack([loss(logits[[i]], targets[[i]]) for i in range(4)])
        assert torch.allclose(loss(logits, targets, weights=weights), (each * weights[:, 0]).mean())
        assert torch.equal(loss(logits, targets, weights=torch.ones(4, 1)), loss(logits, targets))


@pytest.mark.parametrize("name", ["bce", "asymmetric", "focal"])
def test_what_counts_beside_labels_is_in_the_mean_alone(name: LossName) -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.ones(4, 3)
    targets[2:] = -1
    loss = Loss(name, LossOptions(), targets)
    whole = loss(logits, targets, counted=torch.ones(4, 3, dtype=torch.bool))
    assert torch.allclose(whole, loss(logits, targets) / 2)
    assert torch.equal(loss(logits, targets, counted=targets >= 0), loss(logits, targets))
