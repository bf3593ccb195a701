"""Stage 3: train one member on all folds but one.

`python -m stages.train --member cnn --fold 0` reads images, labels and folds; writes
data/models/<member>/<fold>/ and the learning curves in plots/train/<member>/<fold>/.
"""

import zlib
from pathlib import Path

import numpy as np

from foldwise.checks import check_data, check_networks, check_params
from foldwise.core import files
from foldwise.core.arguments import member_and_fold
from foldwise.core.errors import UserError
from foldwise.core.program import run
from foldwise.core.settings import Count, Positive, Seed, read
from foldwise.features.kept import FeatureFolder, image_sets
from foldwise.images.store import ImageStore
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import images_digest, save_member
from foldwise.model.settings import Compute, Model
from foldwise.training.augment import make_augment
from foldwise.training.checkpoint import checkpoint_folder
from foldwise.training.curves import Curves
from foldwise.training.data_module import few_batches
from foldwise.training.distributed import is_main_process
from foldwise.training.fit import TrainingRun, fit_member
from foldwise.training.keys import run_key
from foldwise.training.precision import training_precision
from foldwise.training.settings import Recipe, Train, make_recipe
from foldwise.training.warm_start import starting_commit, starting_member

# Outside of DVC's outs, which DVC deletes before a stage runs.
CHECKPOINTS = Path(".checkpoints")
TRIALS = Path(".trials")


def datasets(recipe: Recipe, fold: int) -> tuple[ImageDataset, ImageDataset]:
    """The images that are trained on, and those that are held out."""
    folds = files.read_folds()
    store = ImageStore(files.IMAGES)
    classes = files.read_dataset()["classes"]
    labels = files.labels_of(folds["id"].to_numpy(str), classes).to_numpy(np.int8)

    def part(rows: np.ndarray, augmented: bool) -> ImageDataset:
        if not rows.any():
            raise UserError(
                f"{files.FOLDS}: fold {fold} leaves no image to train on or to hold out"
            )
        return ImageDataset(
            store,
            folds.loc[rows, "id"].tolist(),
            labels[rows],
            recipe.model,
            make_augment(recipe.train.augment) if augmented else None,
            recipe.train.augment_from,
            recipe.seed,
        )

    held_out = (folds["fold"] == fold).to_numpy()
    return part(~held_out, augmented=True), part(held_out, augmented=False)


def main() -> None:
    member, fold = member_and_fold(__doc__)
    recipe = make_recipe(
        member,
        read(f"models.{member}", Model),
        read("train", Train),
        read("lr", Positive),
        read("epochs", Count),
        read("seed", Seed),
    )
    compute = read("compute", Compute, Compute())
    # What a later stage, or another member, would refuse is refused before long work.
    check_params(augment=True)
    train, valid = datasets(recipe, fold)
    dataset = files.read_dataset()
    classes = dataset["classes"]
    check_data(dataset["task"] == "multiclass", len(classes))
    # Other members' steps are tried once per run: every member's own is before its training.
    check_networks(len(classes), built=member, images=len(train) if fold == 0 else None)
    commit = starting_commit(recipe)
    shas = train.store.sha256()
    key = run_key(recipe, fold, [classes, commit, sorted(shas.items())], (train, valid))
    seed = zlib.crc32(f"{recipe.seed} {member} {fold}".encode())
    unseen = images_digest(shas[id] for id in set(shas) - set(train.ids))
    # All folds and stages ask for the same sets, so that each is computed once.
    folds = files.read_folds()
    sets = image_sets(folds, shas)
    groups = folds.set_index("id")["fold"].loc[train.ids].to_numpy()
    if recipe.train.overfit_batches is not None:
        sets = ()
        recipe, train = few_batches(recipe, train)
        valid = train
    curves = Curves(files.CURVES / member / str(fold), f"{member} fold {fold}", recipe)
    with checkpoint_folder(CHECKPOINTS / f"{member}-{fold}-{key}") as checkpoints:
        start = None
        if commit is not None:
            folder = files.MODELS / member / str(fold)
            start = starting_member(commit, folder, checkpoints / "start", classes, unseen)
        features = FeatureFolder(files.FEATURES, sets)
        precision = training_precision(
            recipe, len(train), len(classes), compute, checkpoints, TRIALS
        )
        here = TrainingRun(seed, compute, checkpoints, features, curves, start, groups, precision)
        network, epoch = fit_member(recipe, train, valid, here)
        if not is_main_process():
            return
        with files.replacing(files.MODELS / member / str(fold)) as temporary:
            temporary.mkdir()
            origin = {
                "member": member,
                "fold": fold,
                "epoch": epoch,
                "precision": precision,
                "unseen": unseen,
                "warm_start": commit,
                # Of all folds the same, as it came: what it makes of an image is computed once.
                "frozen": recipe.frozen and commit is None,
                "recipe": recipe.model_dump(mode="json", exclude={"model"}),
            }
            save_member(temporary, network, recipe.model, classes, recipe.softmax, origin)


if __name__ == "__main__":
    run(main)
