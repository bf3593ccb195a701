"""The parts of the data that have labels, read from the files of one run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.core import files
from foldwise.decision.decision import Decision


@dataclass(frozen=True)
class Part:
    """Out-of-fold images, or the test part.

    >>> labels, logits = np.array([[1], [0], [1]]), np.array([[2], [-1], [1]])
    >>> part = Part(np.array(["a", "b", "c"]), labels, logits, logits, (logits > 0).astype(np.int8))
    >>> part.of(np.array([True, False, True])).ids.tolist()
    ['a', 'c']
    >>> folds = pd.DataFrame({"id": ["c", "b", "a"], "fold": [0, 0, 1]})
    >>> [each.ids.tolist() for each in part.by_fold(folds)]
    [['b', 'c'], ['a']]
    """

    ids: np.ndarray
    """(images,)."""
    labels: np.ndarray
    """int8 (images, classes): 1, 0 or -1."""
    logits: np.ndarray
    """float32 (images, classes): of the ensemble; out-of-fold of the one fold that held it out."""
    calibrated: np.ndarray
    """float32 (images, classes): logits after calibration; out-of-fold cross-fitted."""
    predicted: np.ndarray
    """int8 (images, classes): labels; out-of-fold cross-fitted."""

    def of(self, images: np.ndarray | slice) -> "Part":
        """Some of the images, by a mask (images,), indices or a slice."""
        arrays = (self.ids, self.labels, self.logits, self.calibrated, self.predicted)
        return Part(*(each[images] for each in arrays))

    def by_fold(self, folds: pd.DataFrame) -> list["Part"]:
        """The images that each fold holds out; `folds` has `id` and `fold`.

        Raises:
            KeyError: an image is in no fold.
        """
        fold_of = folds.set_index("id")["fold"].loc[self.ids].to_numpy()
        return [self.of(fold_of == fold) for fold in np.unique(fold_of)]

    def predicted_by(self, logits: Sequence[np.ndarray], decision: Decision) -> list["Part"]:
        """The same images as other models predict them, of logits (images, classes) each."""
        return [
            replace(
                self, logits=each, calibrated=decision.calibrator(each), predicted=decision(each)
            )
            for each in logits
        ]


def read_parts(
    dataset: dict[str, Any], ensemble: dict[str, np.ndarray], root: Path = Path(), test: bool = True
) -> dict[str, Part]:
    """`oof`, and `test` where the test part has labels and may be looked at.

    Args:
        dataset: what data/dataset.json holds.
        ensemble: what data/ensemble.npz holds.
        root: the folder that data/ lies in.
        test: whether it may.

    Raises:
        UserError: a file is missing or damaged.
    """
    own = files.read_arrays(root / files.OUT_OF_FOLD, "threshold")
    decision = files.read_json(root / files.DECISION, "threshold", Decision.from_json)
    logits = ensemble["test_logits"]
    said = {"oof": (own["logits"], own["labels"])}
    if len(logits) and test:
        said["test"] = decision.calibrator(logits), decision(logits)
    parts = {}
    for part, (calibrated, predicted) in said.items():
        ids = ensemble[f"{part}_id"]
        rows = files.labels_of(ids, dataset["classes"], root)
        if rows.notna().to_numpy().all():
            labels = rows.to_numpy(np.int8)
            parts[part] = Part(ids, labels, ensemble[f"{part}_logits"], calibrated, predicted)
    return parts


def unlabelled_part(ensemble: dict[str, np.ndarray], decision: Decision) -> Part:
    """The test part as one of which nothing is known: all of its labels are -1.

    Args:
        ensemble: what data/ensemble.npz holds.
        decision: what turns its logits into labels.

    >>> from foldwise.decision.decision import plain_decision
    >>> logits = np.array([[1.0, -1.0]], np.float32)
    >>> ensemble = {"test_id": np.array(["a"]), "test_logits": logits}
    >>> part = unlabelled_part(ensemble, plain_decision(single=False))
    >>> part.labels.tolist(), part.predicted.tolist()
    ([[-1, -1]], [[1, 0]])
    """
    logits = ensemble["test_logits"]
    labels = np.full(logits.shape, -1, np.int8)
    return Part(ensemble["test_id"], labels, logits, decision.calibrator(logits), decision(logits))
