"""Stage 2: divide the train part into folds.

Reads data/labels.parquet; writes data/folds.csv. What is not in that file is the test part: the
source's own or, where it brings none, `split.test` of its images.
"""

from stages import files
from stages.errors import UserError, run
from stages.folds.assign import assign_folds, hold_test_out
from stages.params import read_params


def main() -> None:
    params = read_params()
    labels = files.read_labels()
    ids = labels.loc[labels["part"] == "train", "id"].to_numpy(str)
    if len(ids) == 0:
        raise UserError(f"{files.LABELS}: has no image in the train part; check the source")
    if not (labels["part"] == "test").any():
        ids = hold_test_out(ids, params.split, params.seed)
    folds = assign_folds(ids, params.split, len(params.folds), params.seed)
    files.write_csv(files.FOLDS, folds)


if __name__ == "__main__":
    run(main)
