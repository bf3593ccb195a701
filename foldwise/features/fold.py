"""Logits of every view of one member and fold, for the images that it never saw."""

from pathlib import Path

import numpy as np

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.features.kept import FeatureFolder, image_sets
from foldwise.features.predicting import member_logits
from foldwise.images.store import ImageStore
from foldwise.inference.view_logits import input_of
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import images_digest, load_member, read_model
from foldwise.model.settings import Compute
from foldwise.model.views import make_view


def images_of_fold(folder: Path, fold: int, store: ImageStore) -> dict[str, list[str]]:
    """Ids of the images that a fold holds out (`oof`), and of the test part (`test`).

    Raises:
        UserError: the model in the folder was trained on some of them.
    """
    folds = files.read_folds()
    shas, own = store.sha256(), files.own_ids()
    trained_on = set(folds.loc[folds["fold"] != fold, "id"])
    if read_model(folder)["unseen"] != images_digest(shas[id] for id in set(own) - trained_on):
        raise UserError(
            f"{folder}: was trained on images that {files.FOLDS} holds out or tests by now, so its "
            "predictions of them would not be out-of-fold; run `dvc repro train`"
        )
    return {
        "oof": folds.loc[folds["fold"] == fold, "id"].tolist(),
        "test": files.ids_of_test_part(folds),
    }


def predict_fold(member: str, fold: int, names: tuple[str, ...], compute: Compute) -> None:
    """Predict, and write what the model of a fold says of every view.

    Args:
        member: whose.
        fold: that it never saw.
        names: of the views.
        compute: where it runs.

    Raises:
        UserError: the model knows other classes, or saw images of this fold.
    """
    folder = files.MODELS / member / str(fold)
    trained = load_member(folder)
    if trained.classes != files.read_dataset()["classes"]:
        raise UserError(f"{folder}: was trained on other classes; run `dvc repro train`")
    store = ImageStore(files.IMAGES)
    # Every image is decoded, resized and cut once, whatever the number of views.
    model = input_of(trained.model, [make_view(name) for name in names])
    data = {
        part: ImageDataset(store, ids, np.empty((len(ids), 0)), model)
        for part, ids in images_of_fold(folder, fold, store).items()
    }
    kept = FeatureFolder(files.FEATURES, image_sets(files.read_folds(), files.own_ids()))
    title = f"{member} fold {fold}"
    predicted = member_logits(trained, data, names, compute, kept, str(folder), title)
    nothing = np.empty((len(names), 0, len(trained.classes)), np.float32)
    arrays = {"views": np.array(names, dtype=str)}
    for part, dataset in data.items():
        arrays[f"{part}_id"] = np.array(dataset.ids, dtype=str)
        arrays[f"{part}_logits"] = predicted(part) if dataset.ids else nothing
    files.write_arrays(files.PREDICTIONS / member / f"{fold}.npz", **arrays)
