"""Rare labels more often: how often an epoch shows each image, and what that does to logits."""

import torch

from foldwise.training.settings import Recipe


def image_weights(labels: torch.Tensor) -> torch.Tensor:
    """How often each image is to be seen, in times of an image without a label.

    The largest over the image's classes of 1 / sqrt(f), f being the share of images that show the
    class: the repeat factor max(1, sqrt(t / f)) of Mahajan et al., "Exploring the Limits of Weakly
    Supervised Pretraining", 2018, and Gupta et al., "LVIS", 2019, with t = 1. Where images have one
    class each, it is square-root sampling (Kang et al., "Decoupling Representation and
    Classifier", 2020).

    Args:
        labels: (images, classes); -1 takes no part.

    Returns:
        float64 (images,), at least 1.
    """
    positive = (labels == 1).double()
    share = positive.sum(0) / (labels >= 0).sum(0).clamp(min=1)
    factors = positive * share.clamp(min=1 / max(1, len(labels))).rsqrt()
    return factors.amax(1).clamp(min=1)


def logit_shifts(labels: torch.Tensor, weights: torch.Tensor, softmax: bool) -> torch.Tensor:
    """What sampling adds to each class's logit.

    With w an image's weight, the log-odds of a class among drawn images are those among all images
    plus log(E[w | class] / E[w | not the class]): exactly so where w depends on an image through
    that label alone, else on average (prior correction: King and Zeng, "Logistic Regression in Rare
    Events Data", 2001). Of a softmax each class's logit grows by log E[w | class].

    Args:
        labels: (images, classes) that are drawn from; -1 takes no part.
        weights: (images,), as `image_weights` gives them.
        softmax: whether classes exclude each other.

    Returns:
        float32 (classes,); 0 for a class that no image shows, or every image.
    """
    positive, negative = labels == 1, labels == 0
    inside = _mean_where(positive, weights)
    outside = torch.ones_like(inside) if softmax else _mean_where(negative, weights)
    known = positive.any(0) if softmax else positive.any(0) & negative.any(0)
    return torch.where(known, (inside / outside).log(), 0.0).float()


def _mean_where(which: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(classes,): the mean weight of the images of a mask (images, classes); 1 of none."""
    total = (which * weights[:, None]).sum(0)
    count = which.sum(0)
    return torch.where(count > 0, total / count.clamp(min=1), 1.0)


def shifts_of(recipe: Recipe, labels: torch.Tensor) -> torch.Tensor | None:
    """(classes,): what the recipe's sampler adds to logits of networks that learn what they see.

    The loss sees logits with it added, as in Menon et al., "Long-tail learning via logit
    adjustment", 2021, so that the network's own are those of images as often as they come.
    """
    if recipe.train.sampler != "balanced":
        return None
    return logit_shifts(labels, image_weights(labels), recipe.softmax)
