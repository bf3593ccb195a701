"""Heat maps of images of this run, by the models that never saw them."""

from collections.abc import Sequence

import numpy as np

from foldwise.core import files
from foldwise.core.progress import track
from foldwise.images.store import ImageStore
from foldwise.model.geometry import over_whole
from foldwise.params import Params


def heat_maps_of(
    pairs: Sequence[tuple[str, int]], params: Params
) -> dict[tuple[str, int], np.ndarray]:
    """Where in each image the first member sees the class: float32 (height, width), 0 to 1.

    A map is of the whole image, of the shape that it was resized to; what was cut off is 0. It is
    of the model of the fold that holds the image out, or of the first fold for the test part.

    Args:
        pairs: an image's id and a class's index; twice the same counts once.
        params: name members, folds and where to compute.

    Raises:
        UserError: the models are missing, or their network has no map of features.
    """
    # They take seconds to import, and a run without heat maps does not need them.
    from foldwise.model.dataset import ImageDataset
    from foldwise.model.loader import choose_device, plain_loader, worker_count
    from foldwise.model.normalize import Normalizer
    from foldwise.model.saved import load_member
    from foldwise.report.grad_cam import BATCH, heat_maps

    held_out = files.read_folds().set_index("id")["fold"]
    by_fold: dict[int, list[tuple[str, int]]] = {}
    for id, index in dict.fromkeys(pairs):
        fold = int(held_out.get(id, -1))
        by_fold.setdefault(fold if fold >= 0 else params.folds[0], []).append((id, index))
    store = ImageStore(files.IMAGES)
    shapes = store.table.set_index("id")[["height", "width"]]
    device = choose_device(params.compute.accelerator)
    member = params.members[0]
    found: dict[tuple[str, int], np.ndarray] = {}
    for fold, wanted in sorted(by_fold.items()):
        network, recipe, _ = load_member(files.MODELS / member / str(fold))
        network.to(device)
        normalize = Normalizer(*recipe.model.mean_and_std())
        ids = [id for id, _ in wanted]
        dataset = ImageDataset(store, ids, np.empty((len(ids), 0)), recipe.model)
        loader = plain_loader(dataset, BATCH, worker_count(params.compute.workers, device))
        done = 0
        for images, _ in track(loader, len(loader), f"{member} fold {fold}: heat maps"):
            some = wanted[done : done + len(images)]
            maps = heat_maps(network, normalize, images, [index for _, index in some])
            for (id, index), square in zip(some, maps, strict=True):
                height, width = (int(each) for each in shapes.loc[id])
                found[id, index] = over_whole(square, height, width, recipe.model)
            done += len(images)
    return found
