"""The parts of the data that have labels, read from the files of one run."""

from pathlib import Path
from typing import Any

import numpy as np

from foldwise.core import files
from foldwise.decision.decision import Decision
from foldwise.evaluation.part import Part


def read_parts(
    dataset: dict[str, Any], ensemble: dict[str, np.ndarray], root: Path = Path()
) -> dict[str, Part]:
    """`oof`, and `test` where the test part has labels.

    Args:
        dataset: what data/dataset.json holds.
        ensemble: what data/ensemble.npz holds.
        root: the folder that data/ lies in.

    Raises:
        UserError: a file is missing.
    """
    table = files.read_labels(root).set_index("id")[dataset["classes"]]
    own = files.read_arrays(root / files.OUT_OF_FOLD, "threshold")
    decision = Decision.from_json(files.read_json(root / files.DECISION, "threshold"))
    logits = ensemble["test_logits"]
    said = {"oof": (own["logits"], own["labels"])}
    if len(logits):
        said["test"] = decision.calibrator(logits), decision(logits)
    parts = {}
    for part, (calibrated, predicted) in said.items():
        ids = ensemble[f"{part}_id"]
        rows = table.loc[ids]
        if rows.notna().to_numpy().all():
            labels = rows.to_numpy(np.int8)
            parts[part] = Part(ids, labels, ensemble[f"{part}_logits"], calibrated, predicted)
    return parts
