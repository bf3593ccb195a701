"""Stage 3: train one member on all folds but one.

`python -m stages.train --member cnn --fold 0` reads images, labels and folds; writes
data/models/<member>/<fold>/ and the learning curves in plots/train/<member>/<fold>/.
"""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.core import files
from foldwise.core.arguments import member_and_fold
from foldwise.core.errors import UserError, run
from foldwise.images.store import ImageStore
from foldwise.model.classifier import build_network
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import images_digest, save_member
from foldwise.params import read_params
from foldwise.training.augment import build_augment
from foldwise.training.checkpoint import checkpoint_folder, run_key
from foldwise.training.curves import Curves
from foldwise.training.fit import fit_member
from foldwise.training.processes import follows
from foldwise.training.settings import Recipe
from foldwise.training.warm_start import starting_commit, starting_member

# Outside of DVC's outs, which DVC deletes before a stage runs.
CHECKPOINTS = Path(".checkpoints")
FEATURES = Path(".features")


def datasets(recipe: Recipe, fold: int) -> tuple[ImageDataset, ImageDataset]:
    """The images that are trained on, and those that are held out."""
    labels = files.read_labels().set_index("id")
    folds = files.read_folds()
    store = ImageStore(files.IMAGES)
    classes = files.read_dataset()["classes"]

    def part(rows: pd.DataFrame, augmented: bool) -> ImageDataset:
        if rows.empty:
            raise UserError(
                f"{files.FOLDS}: fold {fold} leaves no image to train on or to hold out"
            )
        return ImageDataset(
            store,
            rows["id"].tolist(),
            labels.loc[rows["id"], classes].to_numpy(np.int8),
            recipe.model,
            build_augment(recipe.train.augment) if augmented else None,
            recipe.train.augment_from,
            recipe.seed,
        )

    held_out = folds["fold"] == fold
    return part(folds[~held_out], augmented=True), part(folds[held_out], augmented=False)


def few_batches(train: ImageDataset, recipe: Recipe) -> ImageDataset:
    """The images of `train.overfit_batches` batches, as they are."""
    count = (recipe.train.overfit_batches or 0) * recipe.train.batch_size
    drawn = np.random.default_rng(recipe.seed).permutation(len(train))[:count]
    return train.only(sorted(drawn.tolist()), augmented=False)


def main() -> None:
    member, fold = member_and_fold(__doc__)
    params = read_params(build=True)
    recipe = params.recipe(member)
    train, valid = datasets(recipe, fold)
    classes = files.read_dataset()["classes"]
    for other in set(params.members) - {member}:
        # Refused now, not after this member's training.
        build_network(params.models[other], len(classes), pretrained=False)
    commit = starting_commit(recipe)
    shas = train.store.sha256()
    data = [classes, commit, sorted(shas.items())]
    if isinstance(recipe.model.pretrained, str) and Path(recipe.model.pretrained).is_file():
        data.append(hashlib.sha256(Path(recipe.model.pretrained).read_bytes()).hexdigest())
    data += [(each.ids, each.labels.numpy().tobytes()) for each in (train, valid)]
    key = run_key(recipe, fold, data)
    seed = zlib.crc32(f"{recipe.seed} {member} {fold}".encode())
    unseen = images_digest(shas[id] for id in set(shas) - set(train.ids))
    if recipe.train.overfit_batches is not None:
        train = valid = few_batches(train, recipe)
        unmixed = recipe.train.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
        recipe = recipe.model_copy(update={"train": unmixed})
    curves = Curves(files.CURVES / member / str(fold), f"{member} fold {fold}", recipe)
    with checkpoint_folder(CHECKPOINTS / f"{member}-{fold}-{key}") as checkpoints:
        start = None
        if commit is not None:
            folder = files.MODELS / member / str(fold)
            start = starting_member(commit, folder, checkpoints / "start", classes, unseen)
        network, epoch = fit_member(
            recipe, train, valid, seed, params.compute, checkpoints, FEATURES, curves, start
        )
        if follows():
            return
        with files.replacing(files.MODELS / member / str(fold)) as temporary:
            temporary.mkdir()
            save_member(temporary, network, recipe, fold, classes, epoch, unseen, commit)


if __name__ == "__main__":
    run(main)
