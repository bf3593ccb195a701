"""Putting the predictions of all folds together, every row by a model that never saw it."""

import numpy as np

from stages.errors import UserError
from stages.scoring.merge import merge_logits
from stages.settings.scoring import Merge


def join_folds(
    ids: np.ndarray, folds: np.ndarray, predictions: dict[int, tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Logits (images, classes) in the order of `ids`.

    Args:
        ids: of all images that some fold holds out.
        folds: (images,): which fold that is.
        predictions: of each fold: its ids, and its logits (images, classes).

    Raises:
        UserError: a fold's predictions are not of exactly the images that it holds out.
    """
    classes = next(iter(predictions.values()))[1].shape[1]
    joined = np.empty((len(ids), classes), np.float32)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        if int(fold) not in predictions:
            raise UserError(f"fold {fold}: has no predictions; run `dvc repro predict`")
        predicted_ids, logits = predictions[int(fold)]
        position = {id: index for index, id in enumerate(predicted_ids.tolist())}
        if len(predicted_ids) != len(rows) or set(position) != set(ids[rows].tolist()):
            raise UserError(
                f"fold {fold}: was predicted on other images than data/folds.csv holds out, so its "
                "predictions are not out-of-fold; run `dvc repro`"
            )
        joined[rows] = logits[[position[id] for id in ids[rows].tolist()]]
    return joined


def merge_folds(
    ids: np.ndarray, predictions: dict[int, tuple[np.ndarray, np.ndarray]], how: Merge
) -> np.ndarray:
    """Logits (images, classes) of the test part, which every fold predicts.

    Raises `UserError` if the folds' images differ.
    """
    for fold, (predicted_ids, _) in predictions.items():
        if not np.array_equal(predicted_ids, ids):
            raise UserError(
                f"fold {fold}: was predicted on another test part; run `dvc repro predict`"
            )
    return merge_logits(np.stack([logits for _, logits in predictions.values()]), how)
