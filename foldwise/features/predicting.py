"""Logits of a trained member, through views: by its whole network, or on features that are kept.

And of a fold, for the images that its models never saw.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.progress import track
from foldwise.features.kept import FeatureFolder, frozen_features, image_sets
from foldwise.features.shared import shared
from foldwise.images.store import ImageStore
from foldwise.inference.last_features import LastFeatures
from foldwise.inference.runtime import ready
from foldwise.inference.view_logits import (
    ThroughViews,
    cut_to_crops,
    head_logits,
    input_of,
    view_logits,
)
from foldwise.model.classifier import Normalizer
from foldwise.model.dataset import ImageDataset
from foldwise.model.hardware import choose_device, worker_count
from foldwise.model.loader import plain_loader
from foldwise.model.saved import TrainedMember, images_digest, load_member, read_model
from foldwise.model.settings import Compute
from foldwise.model.views import CENTRE, make_view
from foldwise.view_names import Views

Predicted = Callable[[str], np.ndarray]
"""The name of a part to its logits, float32 (views, images, classes)."""


def member_logits(
    trained: TrainedMember,
    data: Mapping[str, ImageDataset],
    names: Views,
    compute: Compute,
    kept: FeatureFolder,
    source: str,
    title: str,
    last: LastFeatures | None = None,
) -> Predicted:
    """What gives the logits of every part.

    Args:
        trained: the member.
        data: images by the name of their part, cut to what the views need; some are not empty.
        names: of the views.
        compute: where it runs.
        kept: where features of frozen backbones are kept.
        source: of the network, where its logits are no numbers.
        title: of the network, while it works.
        last: keeps the last features of the images whose logits were given, seen through the first
            view.
    """
    if trained.frozen:
        return _by_features(trained, data, names, compute, kept, source, last)
    return _by_network(trained, data, names, compute, source, title, last)


def _by_network(
    trained: TrainedMember,
    data: Mapping[str, ImageDataset],
    names: Views,
    compute: Compute,
    source: str,
    title: str,
    last: LastFeatures | None,
) -> Predicted:
    """Every image is seen by the whole network."""
    network, views = trained.network, [make_view(name) for name in names]
    device = choose_device(compute.accelerator)
    if compute.channels_last:
        network.use_channels_last()
    first = next(each for each in data.values() if len(each))
    normalized = Normalizer(*first.model.mean_and_std())(first.input(0, 0))
    if compute.compile:
        if last is not None:
            # What comes after would not be compiled.
            last.watch(network)
        network.compile()
    forward = ready(
        network,
        normalized[CENTRE] if cut_to_crops(views) else normalized,
        device,
        "torch" if compute.compile else compute.engine,
        passes=len(views) * sum(map(len, data.values())),
        last=last,
    )
    seen = ThroughViews(forward, first.model, views, trained.softmax, last=last)
    workers = worker_count(compute.workers, device)

    def predicted(part: str) -> np.ndarray:
        loader = plain_loader(data[part], compute.batch_size, workers)
        batches = track(loader, len(loader), f"{title}: {part}")
        return view_logits(seen, batches, device, source)

    return predicted


def _by_features(
    trained: TrainedMember,
    data: Mapping[str, ImageDataset],
    names: Views,
    compute: Compute,
    kept: FeatureFolder,
    source: str,
    last: LastFeatures | None,
) -> Predicted:
    """The same by a head of this fold's own, on features that all folds share."""
    network = trained.network
    if last is not None:
        last.watch(network)

    def predicted(part: str) -> np.ndarray:
        features = frozen_features(kept, network, data[part], names, compute)
        ids = data[part].ids
        return head_logits(
            network, features.through, len(names), ids, trained.softmax, source, last
        )

    return predicted


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


def predict_fold(
    member: str, fold: int, names: tuple[str, ...], compute: Compute, features: bool
) -> None:
    """Predict, and write what the model of a fold says of every view.

    Args:
        member: whose.
        fold: that it never saw.
        names: of the views.
        compute: where it runs.
        features: whether the last features are kept; else their file is empty.

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
    sets = image_sets(files.read_folds(), files.own_ids())
    kept = FeatureFolder(shared(files.FEATURES), sets)
    title = f"{member} fold {fold}"
    last = LastFeatures() if features else None
    predicted = member_logits(trained, data, names, compute, kept, str(folder), title, last)
    nothing = np.empty((len(names), 0, len(trained.classes)), np.float32)
    arrays = {"views": np.array(names, dtype=str)}
    seen = {}
    for part, dataset in data.items():
        ids = np.array(dataset.ids, dtype=str)
        arrays[f"{part}_id"] = ids
        arrays[f"{part}_logits"] = predicted(part) if dataset.ids else nothing
        some = last is not None and bool(dataset.ids)
        seen[f"{part}_id"] = ids if some else ids[:0]
        seen[f"{part}_features"] = last.taken() if last and some else np.empty((0, 0), np.float16)
    files.write_arrays(files.LAST_FEATURES / member / f"{fold}.npz", **seen)
    files.write_arrays(files.PREDICTIONS / member / f"{fold}.npz", **arrays)
