"""Stage 4: logits of every view, by one member, for the fold it never saw and the test part.

`python -m stages.predict --member cnn --fold 0` reads data/models/<member>/<fold>/; writes
data/predictions/<member>/<fold>.npz.
"""

from pathlib import Path

import numpy as np

from foldwise.checks import check_params
from foldwise.core import files
from foldwise.core.arguments import member_and_fold
from foldwise.core.errors import UserError
from foldwise.core.program import run
from foldwise.core.settings import read
from foldwise.features.kept import FeatureFolder, image_sets
from foldwise.features.predicting import member_logits
from foldwise.images.store import ImageStore
from foldwise.inference.view_logits import input_of
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import images_digest, load_member, read_model
from foldwise.model.settings import Compute
from foldwise.model.views import make_view
from foldwise.view_names import Views


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


def main() -> None:
    member, fold = member_and_fold(__doc__)
    names = read("tta.views", Views)
    compute = read("compute", Compute, Compute())
    # What the stages after this one would refuse is refused before long work.
    check_params()
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


if __name__ == "__main__":
    run(main)
