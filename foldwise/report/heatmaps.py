"""Heat maps of images of this run, by the models that never saw them."""

from collections.abc import Sequence

import numpy as np

from foldwise.core import files
from foldwise.core.progress import track
from foldwise.core.settings import read
from foldwise.images.store import ImageStore
from foldwise.model.geometry import over_whole
from foldwise.model.settings import Compute


def heat_maps_of(
    pairs: Sequence[tuple[str, int]], member: str, first_fold: int
) -> dict[tuple[str, int], np.ndarray]:
    """Where in each image a member sees the class: float32 (height, width), 0 to 1.

    A map is of the whole image, of the shape that it was resized to; what was cut off is 0. It is
    of the model of the fold that holds the image out, or of the first fold for the test part.

    Args:
        pairs: an image's id and a class's index; twice the same counts once.
        member: whose models are looked into.
        first_fold: whose model looks at the test part.

    Raises:
        UserError: the models are missing, or their network has no map of features.
    """
    # They take seconds to import, and a run without heat maps does not need them.
    from foldwise.model.classifier import Normalizer
    from foldwise.model.dataset import ImageDataset
    from foldwise.model.hardware import choose_device, worker_count
    from foldwise.model.loader import plain_loader
    from foldwise.model.saved import load_member
    from foldwise.report.grad_cam import BATCH, heat_maps

    held_out = files.read_folds().set_index("id")["fold"]
    by_fold: dict[int, list[tuple[str, int]]] = {}
    for id, index in dict.fromkeys(pairs):
        fold = int(held_out.get(id, -1))
        by_fold.setdefault(fold if fold >= 0 else first_fold, []).append((id, index))
    store = ImageStore(files.IMAGES)
    shapes = store.table.set_index("id")[["height", "width"]]
    compute = read("compute", Compute, Compute())
    device = choose_device(compute.accelerator)
    found: dict[tuple[str, int], np.ndarray] = {}
    for fold, wanted in sorted(by_fold.items()):
        trained = load_member(files.MODELS / member / str(fold))
        network, model = trained.network.to(device), trained.model
        normalize = Normalizer(*model.mean_and_std())
        ids = [id for id, _ in wanted]
        dataset = ImageDataset(store, ids, np.empty((len(ids), 0)), model)
        loader = plain_loader(dataset, BATCH, worker_count(compute.workers, device))
        done = 0
        for images, _ in track(loader, len(loader), f"{member} fold {fold}: heat maps"):
            some = wanted[done : done + len(images)]
            maps = heat_maps(network, normalize, images, [index for _, index in some])
            for (id, index), square in zip(some, maps, strict=True):
                height, width = (int(each) for each in shapes.loc[id])
                found[id, index] = over_whole(square, height, width, model)
            done += len(images)
    return found
