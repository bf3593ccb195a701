"""Mixup and CutMix of labels, known and ignored."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.training.mixup import Mixing


@given(st.integers(2, 9), st.booleans(), st.booleans(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_mixed_labels_are_those_of_the_mixed_pixels(
    count: int, mixup: bool, cutmix: bool, seed: int
) -> None:
    """Images whose every pixel is their label say what was mixed, and how much."""
    torch.manual_seed(seed)
    labels = torch.randint(0, 2, (count, 4)).float()
    images = labels.view(count, 4, 1, 1).expand(count, 4, 8, 8).clone()
    labels[0, 1] = -1
    beside = torch.rand(count, 2)
    mixed, (targets, others) = Mixing(mixup * 0.5, cutmix * 1.0)(images, labels, beside)
    kept = targets >= 0
    assert torch.allclose(mixed.mean((2, 3))[kept], targets[kept], atol=1e-5)
    if not (mixup or cutmix):
        assert torch.equal(targets, labels)
        assert torch.equal(others, beside)
    # What images have beside their labels is mixed by the same shares, and as many times.
    assert torch.allclose(others.mean(0), beside.mean(0), atol=1e-5)
    assert targets[0, 1] == -1
    assert (targets < 0).sum() <= 2
    assert (targets[:, [0, 2, 3]] >= 0).all()
