"""Metrics of each epoch, against scikit-learn."""

import numpy as np
import pytest
import torch

from foldwise.training.losses import Loss
from foldwise.training.metrics import EpochMetrics
from foldwise.training.options import LossOptions


# One class has no positive label on purpose, of which torchmetrics warns.
@pytest.mark.filterwarnings("ignore:No positive samples found:UserWarning")
def test_epoch_scores_leave_absent_classes_out() -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (20, 4))
    labels[:, 2] = 0
    labels[3, 0] = -1
    logits = rng.normal(size=labels.shape).astype(np.float32)
    given = torch.from_numpy(labels)
    loss = Loss("bce", LossOptions(), given)
    scores = EpochMetrics(4, loss)
    for rows in (slice(0, 7), slice(7, 20)):
        scores.update(torch.from_numpy(labels[rows]).float(), torch.from_numpy(logits[rows]))
    found = scores.compute_and_reset()
    # Of all images at once, whatever the batches were.
    assert torch.equal(found["valid_loss"], loss(torch.from_numpy(logits), given.float()))
    used = [labels[:, each] >= 0 for each in range(4)]
    each = [average_precision_score(labels[used[c], c], logits[used[c], c]) for c in (0, 1, 3)]
    assert float(found["valid_macro_ap"]) == pytest.approx(np.mean(each), abs=1e-6)
    right = ((logits >= 0) == labels)[labels >= 0]
    assert float(found["valid_accuracy"]) == pytest.approx(right.mean())
    one = np.eye(4, dtype=np.float32)[rng.integers(0, 4, 20)]
    single = EpochMetrics(4, Loss("cross_entropy", LossOptions(), torch.from_numpy(one)))
    single.update(torch.from_numpy(one), torch.from_numpy(logits))
    share = (logits.argmax(1) == one.argmax(1)).mean()
    assert float(single.compute_and_reset()["valid_accuracy"]) == pytest.approx(share)


def test_one_class_alone_is_scored_as_any_other() -> None:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(1)
    labels = rng.integers(-1, 2, (30, 1)).astype(np.float32)
    logits = rng.normal(size=labels.shape).astype(np.float32)
    scores = EpochMetrics(1, Loss("bce", LossOptions(), torch.from_numpy(labels)))
    scores.update(torch.from_numpy(labels), torch.from_numpy(logits))
    found = scores.compute_and_reset()
    used = labels >= 0
    precision = average_precision_score(labels[used], logits[used])
    assert float(found["valid_macro_ap"]) == pytest.approx(precision)
    right = ((logits >= 0) == labels)[used].mean()
    assert float(found["valid_accuracy"]) == pytest.approx(right)
