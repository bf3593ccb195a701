"""Stage 4: logits of every view, by one member, for the fold it never saw and the test part.

`python -m stages.predict --member cnn --fold 0` reads data/models/<member>/<fold>/; writes
data/predictions/<member>/<fold>.npz.
"""

import numpy as np

from foldwise.core import files
from foldwise.core.arguments import member_and_fold
from foldwise.core.errors import UserError, run
from foldwise.core.progress import track
from foldwise.images.store import ImageStore
from foldwise.inference.runtime import ready
from foldwise.inference.view_logits import view_logits
from foldwise.model.dataset import ImageDataset
from foldwise.model.loader import choose_device, plain_loader, worker_count
from foldwise.model.normalize import Normalizer
from foldwise.model.saved import images_digest, load_member, read_model
from foldwise.model.views import CENTRE, make_view
from foldwise.params import read_params


def main() -> None:
    member, fold = member_and_fold(__doc__)
    params = read_params()
    folder = files.MODELS / member / str(fold)
    network, recipe, classes = load_member(folder)
    if classes != files.read_dataset()["classes"]:
        raise UserError(f"{folder}: was trained on other classes; run `dvc repro train`")
    labels = files.read_labels()
    folds = files.read_folds()
    store = ImageStore(files.IMAGES)
    shas = store.sha256()
    trained_on = set(folds.loc[folds["fold"] != fold, "id"])
    if read_model(folder)["unseen"] != images_digest(shas[id] for id in set(shas) - trained_on):
        raise UserError(
            f"{folder}: was trained on images that {files.FOLDS} holds out or tests by now, so its "
            "predictions of them would not be out-of-fold; run `dvc repro train`"
        )
    ids = {
        "oof": folds.loc[folds["fold"] == fold, "id"].tolist(),
        "test": labels.loc[~labels["id"].isin(folds["id"]), "id"].tolist(),
    }
    views = [make_view(name) for name in params.tta.views]
    device = choose_device(params.compute.accelerator)
    if params.compute.channels_last:
        network.use_channels_last()
    cut = any(view.crop != CENTRE for view in views)
    # Every image is decoded, resized and cut once, whatever the number of views.
    model = recipe.model.model_copy(update={"views": "five_crop"}) if cut else recipe.model
    normalize = Normalizer(*recipe.model.mean_and_std())
    data = {
        part: ImageDataset(store, part_ids, np.empty((len(part_ids), 0)), model)
        for part, part_ids in ids.items()
    }
    first = normalize(next(each for each in data.values() if len(each)).input(0, 0))
    if params.compute.compile:
        network.compile()
    forward = ready(
        network,
        first[CENTRE] if cut else first,
        device,
        "torch" if params.compute.compile else params.compute.engine,
        passes=len(views) * sum(map(len, data.values())),
    )
    arrays: dict[str, np.ndarray] = {"views": np.array(params.tta.views, dtype=str)}
    for part, dataset in data.items():
        arrays[f"{part}_id"] = np.array(dataset.ids, dtype=str)
        arrays[f"{part}_logits"] = np.empty((len(views), 0, len(classes)), np.float32)
        if not dataset.ids:
            continue
        workers = worker_count(params.compute.workers, device)
        loader = plain_loader(dataset, params.compute.batch_size, workers)
        batches = track(loader, len(loader), f"{member} fold {fold}: {part}")
        arrays[f"{part}_logits"] = view_logits(
            forward,
            normalize,
            batches,
            views,
            device,
            softmax=recipe.train.loss == "cross_entropy",
            cut=cut,
        )
    files.write_arrays(files.PREDICTIONS / member / f"{fold}.npz", **arrays)


if __name__ == "__main__":
    run(main)
