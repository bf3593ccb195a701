"""Losses against torch's own and the papers' formulas."""

from typing import Any, get_args

import pytest
import torch

from foldwise.core.errors import UserError
from foldwise.training.losses import Loss
from foldwise.training.options import LossName, LossOptions
from foldwise.training.settings import Train


def loss(name: LossName, labels: torch.Tensor | None = None, **options: Any) -> Loss:
    given = torch.zeros(1, 4) if labels is None else labels
    return Loss(name, LossOptions.model_validate(options), given)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and targets of 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, requires_grad=True)
    return logits, torch.randint(0, 2, (6, 4), generator=generator).float()


def test_losses_are_what_their_names_say(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Against torch's own, and the formulas of the papers."""
    logits, targets = batch
    assert torch.allclose(
        loss("multilabel_soft_margin")(logits, targets),
        torch.nn.MultiLabelSoftMarginLoss()(logits, targets),
    )
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert torch.allclose(
        loss("bce", pos_weight=[1.0, 2.0, 3.0, 4.0])(logits, targets),
        torch.nn.BCEWithLogitsLoss(pos_weight=weight)(logits, targets),
    )
    p = logits.sigmoid()
    plain = torch.where(targets == 1, -p.log(), -(1 - p).log())
    of_truth = torch.where(targets == 1, p, 1 - p)
    share = torch.where(targets == 1, 0.25, 0.75)
    for alpha, by in ((0.25, share), (None, torch.ones(()))):
        assert torch.allclose(
            loss("focal", gamma=1.5, alpha=alpha)(logits, targets),
            (by * (1 - of_truth) ** 1.5 * plain).mean(),
        )
    shifted = (p - 0.1).clamp(min=0)
    wanted = torch.where(
        targets == 1, -((1 - p) ** 2) * p.log(), -(shifted**3) * (1 - shifted).log()
    )
    given = loss("asymmetric", gamma_negative=3.0, gamma_positive=2.0, clip=0.1)
    assert torch.allclose(given(logits, targets), wanted.sum() / 6, atol=1e-5)


@pytest.mark.parametrize("name", [each for each in get_args(LossName) if each != "cross_entropy"])
def test_ignored_targets_take_no_part(
    batch: tuple[torch.Tensor, torch.Tensor], name: LossName
) -> None:
    logits, targets = batch
    targets[0, 1] = -1
    loss(name)(logits, targets).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert (logits.grad != 0).sum() > 12
    assert loss(name)(logits, torch.full((6, 4), -1.0)) == 0
    halves = torch.where(targets == 1, 0.9, torch.where(targets == 0, 0.1, -1.0))
    smoothed = loss(name, label_smoothing=0.2)(logits, targets)
    assert torch.allclose(smoothed, loss(name)(logits, halves))


def test_cross_entropy_is_torchs_and_for_single_labels(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, _ = batch
    classes = torch.tensor([0, 1, 2, 3, 0, 1])
    targets = torch.nn.functional.one_hot(classes, 4).float()
    for smoothing in (0.0, 0.3):
        torchs = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)
        made = loss("cross_entropy", targets, label_smoothing=smoothing)
        assert torch.allclose(made(logits, targets), torchs(logits, classes))
        assert torch.allclose(
            made(logits, targets * 0.7 + 0.075), torchs(logits, targets * 0.7 + 0.075)
        )
        unknown = torch.cat([targets[:5], torch.full((1, 4), -1.0)])
        assert torch.allclose(made(logits, unknown), torchs(logits[:5], classes[:5]))
    with pytest.raises(UserError, match="one class each"):
        loss("cross_entropy", torch.tensor([[1, 1, 0], [0, 1, 0]]))


def test_a_class_that_is_often_ignored_counts_as_much(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, targets = batch
    targets[1:, 0] = -1
    targets[:, 1] = -1
    each = torch.nn.BCEWithLogitsLoss(reduction="none")(logits, targets)
    wanted = (each[0, 0] + each[:, 2].mean() + each[:, 3].mean()) / 3
    assert torch.allclose(loss("bce")(logits, targets), wanted)


def test_positive_weights_come_from_prevalence_or_are_given() -> None:
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, -1, 0], [1, 0, 0]]).float()
    made = loss("bce", labels, pos_weight="prevalence")
    assert made.pos_weight is not None
    assert made.pos_weight.tolist() == pytest.approx([1 / 3, 2, 4])
    with pytest.raises(UserError, match="pos_weight: has 2 values for 3 classes"):
        loss("bce", labels, pos_weight=[1.0, 2.0])


def test_options_of_another_loss_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma: belongs to loss focal, not to bce"):
        Train.model_validate({"loss": "bce", "loss_options": {"gamma": 3.0}})
