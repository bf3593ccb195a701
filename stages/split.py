"""Stage 2: divide the train part into folds.

Reads labels, data/dataset.json and the images' hashes; writes data/folds.csv, data/duplicates.csv,
metrics/data.json and plots/data.*. What is not in folds.csv is the test part: the source's own or,
where it brings none, `split.test` of its images.
"""

import sys

import numpy as np
import pandas as pd

from foldwise.charts.save import save_chart
from foldwise.core import files
from foldwise.core.errors import UserError, run
from foldwise.folds.chart import draw_data
from foldwise.folds.describe import describe, imbalance, labels_per_image_table, prevalence_table
from foldwise.folds.divide import Division, divide
from foldwise.folds.duplicates import Duplicates, straddling
from foldwise.images.store import ImageStore
from foldwise.params import read_params

SHOWN = 5


def warn_of_leaks(
    duplicates: Duplicates, division: Division, table: pd.DataFrame, grouped: bool
) -> None:
    """Say on stderr what is on both sides, where the source has divided and nobody else could."""
    in_test = pd.Series(division.test)
    leaks = {
        "pictures are in the train and in the test part, so the test score flatters": (
            in_test,
            duplicates.pictures,
        ),
        "pictures are in several folds, so out-of-fold scores flatter": (
            pd.Series(division.fold).mask(division.test),
            duplicates.pictures,
        ),
    }
    if grouped:
        leaks["groups are in the train and in the test part, so the test score flatters"] = (
            in_test,
            table["group"].mask(table["group"] == "").to_numpy(),
        )
    for what, (side, unit) in leaks.items():
        shared = straddling(side, unit)
        if shared:
            examples = [" = ".join(table["id"].iloc[rows[:3]]) for rows in shared[:SHOWN]]
            more = ["..."] if len(shared) > SHOWN else []
            print(f"warning: {len(shared)} {what}: {'; '.join(examples + more)}", file=sys.stderr)


def main() -> None:
    params = read_params()
    dataset = files.read_dataset()
    table, classes = files.read_labels(), dataset["classes"]
    if not (table["part"] == "train").any():
        raise UserError(f"{files.LABELS}: has no image in the train part; check the source")
    images = ImageStore(files.IMAGES).table.set_index("id").loc[table["id"]]
    known = table[classes].to_numpy(np.float64, na_value=np.nan)
    labels = np.nan_to_num(known).astype(np.int8)
    duplicates = Duplicates(
        images["sha256"].to_numpy(), images["phash"].to_numpy(), params.split.near
    )
    count = len(params.folds)
    single = dataset["task"] == "multiclass"
    division = divide(table, labels, single, duplicates.pictures, params.split, count, params.seed)
    warn_of_leaks(duplicates, division, table, params.split.group)

    sets = division.sets(count)
    complete = ~np.isnan(known).any(axis=1)
    labelled = {name: labels[rows] for name, rows in sets.items() if complete[rows].all()}
    # A single hold-out is compared with the whole that it was taken from.
    compared = division.folds(count) if count > 1 else ("fold 0", "train")
    prevalences = prevalence_table(labelled, classes)
    files.write_json(
        files.METRICS / "data.json",
        {
            name: describe(labelled.get(name), images[rows], duplicates.repeated[rows])
            for name, rows in sets.items()
        }
        | {
            "duplicates": duplicates.counts(known, division.fold, division.test),
            "imbalance": imbalance({name: labelled[name] for name in compared}, classes),
        },
    )
    files.write_csv(files.PLOTS / "data.csv", prevalences)
    with files.replacing(files.PLOTS / "data.png") as temporary:
        chart = draw_data(prevalences, labels_per_image_table(labelled))
        save_chart(chart, temporary)
    files.write_csv(files.DUPLICATES, duplicates.table(table["id"], division.test))
    files.write_csv(
        files.FOLDS,
        pd.DataFrame({"id": table["id"], "fold": division.fold})[~division.test],
    )


if __name__ == "__main__":
    run(main)
