"""Stage 2: divide the train part into folds.

Reads labels, which of them people looked at, data/dataset.json and the images' hashes; writes
data/folds.csv, data/duplicates.csv, metrics/data.json and plots/data.*. What is not in folds.csv is
the test part: the source's own or, where it brings none, `split.test` of its images.

Of extra data it writes which images are left out (data/extra.csv), as what composed ones look
(data/looks.json), and some of all, beside own ones (plots/extra.png).
"""

import hashlib
import sys
from typing import Any

import numpy as np
import pandas as pd

from foldwise.charts.rows import MOST, draw_rows
from foldwise.charts.save import save_chart
from foldwise.checks import check_data, check_params
from foldwise.composing.kept import Composed, all_composed
from foldwise.composing.settings import Compose
from foldwise.core import files
from foldwise.core.corrected import corrected_counts, read_corrected
from foldwise.core.errors import UserError
from foldwise.core.program import run
from foldwise.core.settings import Folds, Members, Seed, read
from foldwise.folds.chart import draw_data
from foldwise.folds.coverage import coverage_warnings, refuse_lost_classes
from foldwise.folds.describe import describe, imbalance, labels_per_image_table, prevalence_table
from foldwise.folds.divide import divide, leaks
from foldwise.folds.duplicates import Duplicates
from foldwise.folds.extra import left_out, left_out_counts, left_out_warnings
from foldwise.folds.settings import Split
from foldwise.images.store import ImageStore

FITTED_ON = 200
"""Own images that the look of composed ones is estimated from."""


def extra_images(
    table: pd.DataFrame, apart: np.ndarray, store: ImageStore, split: Split
) -> pd.DataFrame:
    """`id`, `source` and `left_out` of every stored extra image.

    Args:
        table: the own images.
        apart: (own images,) bool: some fold holds it out, or it is in the test part.
        store: of all images.
        split: how they are divided.
    """
    extra = files.stored_extra()
    told = extra[["id", "source"]]
    if extra.empty:
        return told.assign(left_out="")
    own, other = (
        pd.DataFrame(
            {name: each[name].to_numpy() for name in ("id", "group") if name in each}
            | {name: hashes[name].to_numpy() for name in ("sha256", "phash")}
        )
        for each, hashes in ((table, store.rows(table["id"])), (extra, store.rows(extra["id"])))
    )
    return told.assign(left_out=left_out(own, other, apart, split.near, split.group))


def first_of(ids: pd.Series, count: int) -> list[str]:
    """Some of the images, the same ones in whatever order they come."""
    return sorted(ids, key=lambda each: hashlib.sha256(each.encode()).digest())[:count]


def look_of(
    composed: Composed, ids: list[str], store: ImageStore, dataset: dict[str, Any]
) -> Compose:
    """What images of a composed source look like: as params.yaml says or, fitted, as these do."""
    if not composed.fit:
        return composed.settings
    # Only here, where it is needed.
    from foldwise.looks.look import fit_look

    labels = files.labels_of(ids, dataset["classes"])[composed.glyphs.classes].to_numpy(np.int8)
    images = [store.pixels(id, 1)[:, :, 0] for id in ids]
    look = fit_look(images, labels, composed.settings, composed.glyphs)
    # Of one class per image, own images show none of those that these glyphs lack.
    single = dataset["task"] == "multiclass"
    return look.model_copy(update={"glyphs": (1, 1)}) if single else look


def write_extra(
    told: pd.DataFrame, train: pd.Series, store: ImageStore, dataset: dict[str, Any]
) -> None:
    """Write what becomes of extra data, and a picture of it.

    Args:
        told: `id`, `source` and `left_out` of the stored extra images.
        train: ids of the own images of the train part.
        store: of all images.
        dataset: its facts.
    """
    files.write_csv(files.EXTRA, told)
    composed = all_composed(files.IMAGES)
    seen = first_of(train, FITTED_ON)
    looks = {name: look_of(each, seen, store, dataset) for name, each in composed.items()}
    files.write_json(
        files.LOOKS, {name: each.model_dump(mode="json") for name, each in looks.items()}
    )
    used = told[told["left_out"] == ""]
    shown = {"train part": train} | {str(name): rows["id"] for name, rows in used.groupby("source")}
    drawn = {
        name: [store.pixels(id, 3) for id in first_of(ids, MOST)] for name, ids in shown.items()
    }
    for name, each in composed.items():
        composer = each.composer(looks[name])
        drawn[name] = [composer.paint(index) for index in range(MOST)]
    with files.replacing(files.PLOTS / "extra.png") as temporary:
        draw_rows(drawn).save(temporary, format="png")


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
    store = ImageStore(files.IMAGES)
    images = store.rows(table["id"])
    said = files.labels_of(table["id"].to_numpy(str), classes)
    known = said.to_numpy(np.float64, na_value=np.nan)
    labels = np.nan_to_num(known).astype(np.int8)
    duplicates = Duplicates(images["sha256"].to_numpy(), images["phash"].to_numpy(), split.near)
    count = len(folds)
    single = dataset["task"] == "multiclass"
    check_data(single, len(classes))
    division = divide(table, labels, single, duplicates.pictures, split, count, seed)
    refuse_lost_classes(labels, division, classes)
    extra = extra_images(table, division.test | (division.fold >= 0), store, split)
    told: dict[str, Any] = {"extra": left_out_counts(extra)} if len(extra) else {}
    corrected = read_corrected()
    if len(corrected):
        told["corrections"] = corrected_counts(corrected)
    warnings = leaks(duplicates, division, table, split.group) + left_out_warnings(extra)
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
        }
        | told,
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
    write_extra(extra, table.loc[~division.test, "id"], store, dataset)


if __name__ == "__main__":
    run(main)
