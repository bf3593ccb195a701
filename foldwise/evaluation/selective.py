"""What it would cost to leave the least sure images to a person."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from foldwise.evaluation.predictions import Part
from foldwise.evaluation.tables import thinned
from foldwise.scoring.probability import sigmoid


def risk_coverage_table(parts: Mapping[str, Part], single: bool) -> pd.DataFrame:
    """`coverage`, `risk` and `series` (the part): of the surest images, which labels are wrong.

    The risk-coverage curve of selective classification (El-Yaniv and Wiener 2010). Images are
    taken by how few of their labels are expected to be wrong: 1 - p of the likeliest class, or the
    mean of min(p, 1 - p). The risk is the mean share of an image's labels that is wrong.

    Args:
        parts: by name; images of which nothing is labelled take no part.
        single: whether every image has one label: it is right or wrong.

    >>> labels, logits = np.array([[1], [0]]), np.array([[2.0], [1.0]])
    >>> part = Part(np.array(["a", "b"]), labels, logits, logits, np.array([[1], [1]]))
    >>> risk_coverage_table({"oof": part}, single=False)[["coverage", "risk"]].to_numpy().tolist()
    [[0.5, 0.0], [1.0, 0.5]]
    """
    tables = []
    for name, part in parts.items():
        kept = part.of(np.flatnonzero((part.labels >= 0).any(1)))
        used = kept.labels >= 0
        p = sigmoid(kept.calibrated)
        wrong = (kept.predicted != kept.labels) & used
        if single:
            expected = 1 - p.max(1)
            lost = wrong.any(1).astype(float)
        else:
            counts = used.sum(1)
            expected = (np.minimum(p, 1 - p) * used).sum(1) / counts
            lost = wrong.sum(1) / counts
        # Of equal ones the order of ids would decide: they share what they lose.
        values, place = np.unique(expected, return_inverse=True)
        images = np.bincount(place, minlength=len(values))
        table = pd.DataFrame(
            {
                "coverage": np.cumsum(images) / max(len(place), 1),
                "risk": np.cumsum(np.bincount(place, lost, len(values))) / np.cumsum(images),
            }
        )
        tables.append(thinned(table).assign(series=name))
    return pd.concat(tables)
