"""Stage 5: one logit per image and class, of all views, folds and members.

Reads data/predictions/ and data/folds.csv; writes data/ensemble.npz. An out-of-fold row is made of
the fold's models that never saw it; a test row of all folds'.
"""

import numpy as np

from stages import files
from stages.errors import run
from stages.params import read_params
from stages.scoring.merge import merge_logits
from stages.scoring.outoffold import join_folds, merge_folds


def main() -> None:
    params = read_params()
    folds = files.read_folds()
    labels = files.read_labels()
    held_out = folds[folds["fold"] >= 0]
    oof_id = held_out["id"].to_numpy(str)
    test_id = labels.loc[~labels["id"].isin(folds["id"]), "id"].to_numpy(str)
    oof, test = [], []
    for member in params.members:
        predicted = {
            fold: files.read_arrays(files.PREDICTIONS / member / f"{fold}.npz", "predict")
            for fold in params.folds
        }
        merged = {
            part: {
                fold: (
                    arrays[f"{part}_id"],
                    merge_logits(arrays[f"{part}_logits"], params.tta.merge),
                )
                for fold, arrays in predicted.items()
            }
            for part in ("oof", "test")
        }
        oof.append(join_folds(oof_id, held_out["fold"].to_numpy(), merged["oof"]))
        test.append(merge_folds(test_id, merged["test"], params.ensemble.folds))
    files.write_arrays(
        files.ENSEMBLE,
        oof_id=oof_id,
        oof_logits=merge_logits(np.stack(oof), params.ensemble.members),
        test_id=test_id,
        test_logits=merge_logits(np.stack(test), params.ensemble.members),
    )


if __name__ == "__main__":
    run(main)
