"""The loss of a student against its teacher's soft targets."""

import numpy as np
import torch
from scipy.special import expit, softmax
from torch import nn

from foldwise.scoring.probability import log_sigmoid
from foldwise.training.beside import Teacher
from foldwise.training.losses import Loss
from foldwise.training.options import LossName, LossOptions


class TeacherLoss(nn.Module):
    """Cross-entropy of both at one temperature T, times T^2.

    Hinton et al. 2015, "Distilling the Knowledge in a Neural Network": gradients of softened
    targets shrink by T^2. Of classes that exclude each other it is a softmax's; else the mean of
    each class's own. It is averaged as the loss against labels is: summed over classes beside
    `asymmetric`, else averaged over them.
    """

    def __init__(self, loss: LossName, teacher: Teacher) -> None:
        """
        Args:
            loss: against labels.
            teacher: says what temperature.
        """
        super().__init__()
        single = loss == "cross_entropy"
        self._loss = Loss(
            "cross_entropy" if single else "multilabel_soft_margin",
            LossOptions(),
            # It asks labels nothing.
            torch.ones(1, 1),
        )
        self._summed = loss == "asymmetric"
        self._temperature = teacher.temperature

    def forward(
        self,
        logits: torch.Tensor,
        taught: torch.Tensor,
        shared: bool = False,
        weights: torch.Tensor | None = None,
        counted: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """A scalar.

        Args:
            logits: (images, classes).
            taught: (images, classes): what `soft_targets` gives; -1 where no teacher teaches.
            shared: the other processes have the rest of the batch.
            weights: (images, 1), by which each image's loss is multiplied; None: 1.
            counted: (images, classes) bool: what the mean is over, beside what is taught.
        """
        # A blend of images keeps only what the teacher says of both.
        loss = self._loss(logits.float() / self._temperature, taught, shared, weights, counted)
        scale = logits.shape[1] if self._summed else 1
        return self._temperature**2 * scale * loss


def soft_targets(logits: np.ndarray, temperature: float, single: bool) -> np.ndarray:
    """Probabilities at a temperature.

    softmax(log p / T) where classes exclude each other, p being the classes' probabilities; else
    1 / (1 + exp(-z / T)).

    Args:
        logits: (images, classes) log-odds z of every class.
        temperature: T.
        single: whether classes exclude each other.

    Returns:
        float32, alike in shape.

    >>> soft_targets(np.log([[4.0, 1 / 4]]), 2.0, single=False).round(3).tolist()  # p = .8, .2
    [[0.667, 0.333]]
    """
    if single:
        return softmax(log_sigmoid(logits) / temperature, axis=1).astype(np.float32)
    return expit(np.asarray(logits, np.float64) / temperature).astype(np.float32)
