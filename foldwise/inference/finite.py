"""Logits that are no numbers: seen where they are made, before anything is decided by them."""

import numpy as np

from foldwise.core.errors import UserError


def check_finite(logits: np.ndarray, source: str) -> np.ndarray:
    """Logits of any shape, as they are.

    Args:
        logits: float32.
        source: what made them, for people.

    Raises:
        UserError: some are infinite, or no numbers.
    """
    bad = ~np.isfinite(logits)
    if bad.any():
        raise UserError(
            f"{source}: {bad.sum()} of {bad.size} logits are {logits[bad][0]}, which is no finite "
            "number: its training diverged, or its numbers are too large for their precision; "
            "train it anew with a smaller `lr` or with `gradient_clip`"
        )
    return logits
