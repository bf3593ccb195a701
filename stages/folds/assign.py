"""Which fold holds which image out."""

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, train_test_split

from stages.errors import UserError
from stages.settings.data import Split

ALWAYS_TRAINED = -1


def hold_test_out(ids: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """`ids` without the share `split.test`, in their order: the rest becomes the test part."""
    if split.test == 0:
        return ids
    count = round(split.test * len(ids))
    if not 0 < count < len(ids):
        raise UserError(
            f"params.yaml: split.test: {split.test} of {len(ids)} images leaves the train or the "
            "test part empty"
        )
    kept, _ = train_test_split(np.arange(len(ids)), test_size=count, random_state=seed)
    return ids[np.sort(kept)]


def assign_folds(ids: np.ndarray, split: Split, folds: int, seed: int) -> pd.DataFrame:
    """`id` and `fold` (the fold that holds the image out), in the order of `ids`.

    With `holdout`, images that are never held out have fold -1.
    """
    rows = np.arange(len(ids))
    fold = np.full(len(ids), ALWAYS_TRAINED)
    random_state = seed if split.shuffle else None
    if split.method == "holdout":
        count = round(split.fraction * len(ids))
        if not 0 < count < len(ids):
            raise UserError(
                f"params.yaml: split.fraction: {split.fraction} of {len(ids)} images leaves one "
                "side empty"
            )
        _, held_out = train_test_split(
            rows, test_size=count, shuffle=split.shuffle, random_state=random_state
        )
        fold[held_out] = 0
    else:
        if folds > len(ids):
            raise UserError(f"params.yaml: folds: {folds} folds for {len(ids)} images; take fewer")
        divided = KFold(folds, shuffle=split.shuffle, random_state=random_state)
        for number, (_, held_out) in enumerate(divided.split(rows)):
            fold[held_out] = number
    return pd.DataFrame({"id": ids, "fold": fold})
