"""Stage 2: divide the train part into folds.

Reads labels, data/dataset.json and the images' hashes; writes data/folds.csv, data/duplicates.csv,
metrics/data.json and plots/data.*. What is not in folds.csv is the test part: the source's own or,
where it brings none, `split.test` of its images.
"""

import sys

import numpy as np
import pandas as pd

from foldwise.charts.save import save_chart
from foldwise.checks import check_data, check_params
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.program import run
from foldwise.core.settings import Folds, Members, Seed, read
from foldwise.folds.chart import draw_data
from foldwise.folds.coverage import coverage_warnings, refuse_lost_classes
from foldwise.folds.describe import describe, imbalance, labels_per_image_table, prevalence_table
from foldwise.folds.divide import divide, leaks
from foldwise.folds.duplicates import Duplicates
from foldwise.folds.settings import Split
from foldwise.images.store import ImageStore


def main() -> None:
    split, folds, seed = read("split", Split), read("folds", Folds), read("seed", Seed)
    # Of members' names DVC makes paths that it empties: none but a name may come that far. With
    # this param of it, the stage runs first whenever they change.
    read("members", Members)
    check_params()
    dataset = files.read_dataset()
    table, classes = files.read_labels(), dataset["classes"]
    if not (table["part"] == "train").any():
        raise UserError(f"{files.LABELS}: has no image in the train part; check the source")
    images = ImageStore(files.IMAGES).rows(table["id"])
    said = files.labels_of(table["id"].to_numpy(str), classes)
    known = said.to_numpy(np.float64, na_value=np.nan)
    labels = np.nan_to_num(known).astype(np.int8)
    duplicates = Duplicates(images["sha256"].to_numpy(), images["phash"].to_numpy(), split.near)
    count = len(folds)
    single = dataset["task"] == "multiclass"
    check_data(single, len(classes))
    division = divide(table, labels, single, duplicates.pictures, split, count, seed)
    refuse_lost_classes(labels, division, classes)
    warnings = leaks(duplicates, division, table, split.group)
    for warning in warnings + coverage_warnings(labels, division, classes, count):
        print(f"warning: {warning}", file=sys.stderr)

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
    files.write_plot(files.PLOTS / "data.csv", prevalences)
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
