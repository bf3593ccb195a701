"""Rare labels more often, and logits as if they were not."""

from typing import Any

import numpy as np
import pytest
import torch

from foldwise.model.classifier import build_network
from foldwise.model.loader import Batches
from foldwise.training.lightning_module import MemberModule
from foldwise.training.sampling import image_weights, logit_shifts
from tests.fitting import recipe


def rare(images: int = 400, seed: int = 0) -> torch.Tensor:
    """Labels of three classes: of half the images, of a tenth, of 2 %; some are ignored."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((images, 3)) < (0.5, 0.1, 0.02)).astype(float)
    labels[rng.random((images, 3)) < 0.05] = -1
    return torch.tensor(labels)


def test_weights_are_repeat_factors() -> None:
    labels = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, -1], [1, -1, 0], [0, 0, 0], [-1, -1, -1]])
    # 3 of 5 images show the first class, 2 of 4 the second, none the third.
    one, two = (5 / 3) ** 0.5, 2**0.5
    assert image_weights(labels).tolist() == pytest.approx([one, two, two, one, 1, 1])


@pytest.mark.parametrize("softmax", [False, True])
def test_shifts_are_what_the_drawn_share_has_more_of(softmax: bool) -> None:
    """Counted over 200 drawn epochs."""
    labels = rare()
    if softmax:
        labels = torch.eye(3)[torch.arange(400).remainder(20).clamp(max=3).sub(1).clamp(min=0)]
    weights = image_weights(labels)
    counts = torch.zeros(400)
    sampler = Batches(400, 16, seed=5, weights=weights)
    for epoch in range(200):
        sampler.set_epoch(epoch)
        drawn = torch.tensor([position for batch in sampler for _, position, _ in batch])
        assert len(drawn) == 400
        counts += drawn.bincount(minlength=400)

    def log_odds(times: torch.Tensor) -> torch.Tensor:
        inside = ((labels == 1) * times[:, None]).sum(0)
        return (
            (inside / ((labels == 0) * times[:, None]).sum(0)).log()
            if not softmax
            else inside.log() - inside.log().mean()
        )

    found = logit_shifts(labels, weights, softmax)
    if softmax:
        found = found - found.mean()
    wanted = log_odds(counts) - log_odds(torch.ones(400))
    assert torch.allclose(found, wanted.float(), atol=0.01)
    assert found.max() - found.min() > 0.5


def test_an_epoch_shows_each_image_about_as_often_as_its_weight_says() -> None:
    weights = image_weights(rare())
    expected = weights / weights.sum() * 400
    sampler = Batches(400, 16, seed=5, weights=weights)
    found = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        found.append([key for batch in sampler for key in batch])
        counts = torch.tensor([key[1] for key in found[-1]]).bincount(minlength=400)
        assert (counts >= expected.floor()).all()
        assert (counts <= expected.ceil()).all()
        # What is drawn for an image that comes again is something else.
        assert len({key[:2] for key in found[-1]}) == 400
    assert found[0] == found[2] != found[1]
    shares = [Batches(400, 16, 5, rank, 2, weights=weights) for rank in range(2)]
    together = [[*one, *two] for one, two in zip(*shares, strict=True)]
    assert [sorted(each) for each in together] == [
        sorted(found[0][start : start + 16]) for start in range(0, 400, 16)
    ]


@pytest.mark.parametrize("loss", ["multilabel_soft_margin", "cross_entropy"])
def test_probabilities_are_the_true_prevalence_where_images_tell_nothing(
    loss: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All images are alike, so the best that a network can learn is how often a class comes."""
    labels = rare()
    if loss == "cross_entropy":
        labels = torch.eye(3)[torch.arange(400).remainder(20).clamp(max=3).sub(1).clamp(min=0)]
    made = recipe(loss=loss, sampler="balanced")
    member = MemberModule(build_network(made.model, 3), made, labels, 0)
    monkeypatch.setattr(member, "log", lambda *_, **__: None)
    member._trainer = type("One", (), {"world_size": 1})()
    fc = member.network.fc
    optimizer: Any = torch.optim.LBFGS([fc.bias], max_iter=200, line_search_fn="strong_wolfe")
    weights = image_weights(labels)
    sampler = Batches(400, 400, seed=5, weights=weights)
    drawn = []
    for epoch in range(30):
        sampler.set_epoch(epoch)
        drawn += [position for batch in sampler for _, position, _ in batch]
    features = torch.zeros(len(drawn), fc.in_features)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        found = member.training_step((features, labels[drawn]), 0)
        torch.autograd.backward(found)
        return found

    optimizer.step(closure)
    with torch.inference_mode():
        logits = member(features[:1])[0]
    softmax = loss == "cross_entropy"
    found = logits.softmax(0) if softmax else logits.sigmoid()
    true = (labels == 1).sum(0) / (labels >= 0).sum(0)
    assert torch.allclose(found, true.float(), rtol=0.06)
    seen = (labels[drawn] == 1).sum(0) / (labels[drawn] >= 0).sum(0)
    assert (seen / true).max() > 1.5
