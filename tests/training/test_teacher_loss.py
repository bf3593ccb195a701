"""The loss against a teacher, and its targets, against the paper's formulas."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from foldwise.scoring.probability import one_vs_rest_log_odds
from foldwise.training.beside import Teacher
from foldwise.training.teacher_loss import TeacherLoss, soft_targets


def settings(temperature: float) -> Teacher:
    return Teacher(revision="abc", temperature=temperature)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_several_labels_each_have_a_teacher(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, theirs = torch.randn(2, 5, 4, generator=generator)
    taught = torch.from_numpy(soft_targets(theirs.numpy(), temperature, single=False))
    assert torch.allclose(taught, (theirs / temperature).sigmoid())
    found = TeacherLoss("bce", settings(temperature))(logits, taught)
    wanted = torch.nn.BCEWithLogitsLoss()(logits / temperature, (theirs / temperature).sigmoid())
    assert torch.allclose(found, temperature**2 * wanted)
    summed = TeacherLoss("asymmetric", settings(temperature))(logits, taught)
    assert torch.allclose(summed, 4 * found)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_classes_that_exclude_each_other_share_one_teacher(temperature: float) -> None:
    raw = np.random.default_rng(0).normal(size=(5, 4)) * 3
    odds = one_vs_rest_log_odds(log_softmax(raw, 1))
    taught = soft_targets(odds, temperature, single=True)
    assert np.allclose(taught, softmax(raw / temperature, 1), atol=1e-6)
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    found = TeacherLoss("cross_entropy", settings(temperature))(logits, torch.from_numpy(taught))
    wanted = torch.nn.functional.cross_entropy(
        logits / temperature, torch.from_numpy(softmax(raw / temperature, 1)).float()
    )
    assert torch.allclose(found, temperature**2 * wanted)


def test_who_has_no_teacher_takes_no_part() -> None:
    logits, theirs = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(2))
    taught = theirs.sigmoid()
    loss = TeacherLoss("multilabel_soft_margin", settings(2.0))
    some = taught.clone()
    some[2:] = -1
    assert torch.allclose(loss(logits, some), loss(logits[:2], taught[:2]))
    assert loss(logits, torch.full_like(taught, -1)) == 0


def test_a_perfect_student_has_no_gradient() -> None:
    theirs = torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    logits = theirs.clone().requires_grad_()
    taught = torch.from_numpy(soft_targets(theirs.numpy(), 2.0, single=False))
    TeacherLoss("bce", settings(2.0))(logits, taught).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_weights_weigh_images() -> None:
    logits, theirs = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(4))
    taught, loss = theirs.sigmoid(), TeacherLoss("bce", settings(1.0))
    weights = torch.tensor([[1.0], [0.5], [0.0], [2.0]])
    each = torch.stack([loss(logits[[i]], taught[[i]]) for i in range(4)])
    assert torch.allclose(loss(logits, taught, weights=weights), (each * weights[:, 0]).mean())
