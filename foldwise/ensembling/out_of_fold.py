"""Putting the predictions of all folds together, every row by a model that never saw it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from foldwise.core.errors import UserError

ARRAYS = ("oof_id", "oof_logits", "test_id", "test_logits", "views")


@dataclass(frozen=True)
class MemberPredictions:
    """One member's logits."""

    name: str
    views: tuple[str, ...]
    oof: np.ndarray
    """float32 (views, images, classes), each row by the fold's model that never saw it."""
    test: tuple[np.ndarray, ...]
    """Of every fold's model, float32 (views, test images, classes)."""

    @property
    def identity(self) -> int:
        """Which view is the untransformed image; the first where there is none."""
        return self.views.index("identity") if "identity" in self.views else 0

    @classmethod
    def from_arrays(
        cls,
        name: str,
        arrays: Mapping[int, Mapping[str, np.ndarray]],
        oof_id: np.ndarray,
        folds: np.ndarray,
        test_id: np.ndarray,
    ) -> Self:
        """Put together what `predict` wrote for every fold.

        Args:
            name: of the member.
            arrays: of every fold, what its file holds.
            oof_id: ids of all images that some fold holds out.
            folds: (images,): which fold that is.
            test_id: ids of the test part.

        Raises:
            UserError: a fold's predictions are of other images or views than they should be, are
                not complete, or not finite.
        """
        for fold, each in arrays.items():
            missing = [array for array in ARRAYS if array not in each]
            if missing:
                raise UserError(
                    f"{name} fold {fold}: its predictions lack `{missing[0]}`, as those of an "
                    "older version do; run `dvc repro predict` there"
                )
            if not all(np.isfinite(each[f"{part}_logits"]).all() for part in ("oof", "test")):
                raise UserError(
                    f"{name} fold {fold}: some logits are not finite; look at the training curves"
                )
            if not np.array_equal(each["test_id"], test_id):
                raise UserError(
                    f"{name} fold {fold}: was predicted on another test part; run "
                    "`dvc repro predict`"
                )
            if not np.array_equal(each["views"], arrays[0]["views"]):
                raise UserError(
                    f"{name} fold {fold}: was predicted through other views than fold 0; run "
                    "`dvc repro predict`"
                )
        predictions = {fold: (each["oof_id"], each["oof_logits"]) for fold, each in arrays.items()}
        return cls(
            name,
            tuple(arrays[0]["views"].tolist()),
            join_folds(oof_id, folds, predictions, name),
            tuple(each["test_logits"] for each in arrays.values()),
        )


def join_folds(
    ids: np.ndarray,
    folds: np.ndarray,
    predictions: Mapping[int, tuple[np.ndarray, np.ndarray]],
    name: str = "",
) -> np.ndarray:
    """Logits (..., images, classes) in the order of `ids`.

    Args:
        ids: of all images that some fold holds out.
        folds: (images,): which fold that is.
        predictions: of each fold: its ids, and its logits (..., images, classes).
        name: of the member, for messages.

    Raises:
        UserError: a fold's predictions are not of exactly the images that it holds out.

    >>> ids, folds = np.array(["a", "b", "c"]), np.array([0, 1, 0])
    >>> of_first = np.array(["c", "a"]), np.array([[3.0], [1.0]])
    >>> of_second = np.array(["b"]), np.array([[2.0]])
    >>> join_folds(ids, folds, {0: of_first, 1: of_second}).tolist()
    [[1.0], [2.0], [3.0]]
    """
    shape = next(iter(predictions.values()))[1].shape
    joined = np.empty((*shape[:-2], len(ids), shape[-1]), np.float32)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        where = f"{name} fold {fold}".strip()
        if int(fold) not in predictions:
            raise UserError(f"{where}: has no predictions; run `dvc repro predict`")
        predicted_ids, logits = predictions[int(fold)]
        position = {id: index for index, id in enumerate(predicted_ids.tolist())}
        if len(predicted_ids) != len(rows) or set(position) != set(ids[rows].tolist()):
            raise UserError(
                f"{where}: was predicted on other images than data/folds.csv holds out, so its "
                "predictions are not out-of-fold; run `dvc repro`"
            )
        joined[..., rows, :] = logits[..., [position[id] for id in ids[rows].tolist()], :]
    return joined
