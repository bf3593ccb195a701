"""From a softmax's outputs to one logit per class, as of classes that do not exclude each other."""

import torch


def softmax_log_odds(logits: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)) of the softmax p of logits (..., classes), same shape.

    From here on nothing need know that one class excludes the others: the sigmoid of what this
    returns is p, and the largest is the largest.
    """
    exact = logits.double()
    best = exact.argmax(-1, keepdim=True)
    is_best = torch.zeros_like(exact).scatter(-1, best, 1.0) > 0
    # Only the likeliest class's p may be near 1: it is held against the sum of the others.
    others = exact.masked_fill(is_best, -torch.inf).logsumexp(-1, keepdim=True)
    logarithm = exact.log_softmax(-1)
    odds = torch.where(is_best, exact - others, logarithm - (1 - logarithm.exp()).log())
    return odds.to(logits.dtype)
