"""Training of one member and fold: what it learns from, where it starts, and what comes of it."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foldwise.composing.kept import all_composed
from foldwise.composing.settings import Compose
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.features.kept import FeatureFolder, image_sets
from foldwise.features.shared import shared
from foldwise.images.store import ImageStore
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import images_digest, save_member
from foldwise.model.settings import Compute
from foldwise.training.augment import make_augment
from foldwise.training.checkpoint import checkpoint_folder
from foldwise.training.curves import Curves
from foldwise.training.data_module import few_batches
from foldwise.training.distributed import is_main_process
from foldwise.training.fit import TrainingRun, fit_member
from foldwise.training.keys import run_key
from foldwise.training.learned_rows import LearnedRows, learned_rows
from foldwise.training.precision import training_precision
from foldwise.training.settings import Recipe
from foldwise.training.teacher import Taught, soft_rows, teaching_commit
from foldwise.training.warm_start import starting_commit, starting_member

TRIALS = Path(".trials")

Pair = tuple[ImageDataset, ImageDataset]
"""The images that are trained on, and those that are held out."""


def datasets(recipe: Recipe, fold: int) -> Pair:
    """Of a fold."""
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


def all_rows(recipe: Recipe, train: ImageDataset, classes: list[str]) -> LearnedRows | None:
    """All that is learned from; None where that is the fold's own train images alone."""
    if recipe.train.alone or recipe.train.overfit_batches is not None:
        return None
    test = files.ids_of_test_part(files.read_folds())
    looks = files.read_json(files.LOOKS, "split")
    composed = {
        name: replace(each, settings=Compose.model_validate(looks[name]))
        for name, each in all_composed(files.IMAGES).items()
    }
    single = files.read_dataset()["task"] == "multiclass"
    return learned_rows(recipe, train, files.read_extra(), composed, test, classes, single)


@dataclass(frozen=True)
class Learning:
    """What a fold learns from, and where it starts."""

    train: ImageDataset
    valid: ImageDataset
    learned: LearnedRows | None
    unseen: str
    """Digest of the images whose labels are not learned."""
    start: str | None
    """The commit of the weights that training starts from."""
    teacher: str | None
    """The commit that teaches."""

    def key(self, recipe: Recipe, fold: int, classes: list[str]) -> str:
        """Of the run's checkpoints."""
        told = [classes, self.start, sorted(self.train.store.sha256().items())]
        if self.learned is None:
            return run_key(recipe, fold, told, (self.train, self.valid))
        told += [self.teacher, self.learned.told()]
        return run_key(recipe, fold, told, (self.learned.stored, self.valid))


def learning(recipe: Recipe, fold: int, classes: list[str], train: Pair) -> Learning:
    """Settle what is learned from."""
    own, other = train
    shas = own.store.sha256()
    unseen = images_digest(shas[id] for id in set(files.own_ids()) - set(own.ids))
    rows = all_rows(recipe, own, classes)
    teacher = None if rows is None else teaching_commit(recipe)
    return Learning(own, other, rows, unseen, starting_commit(recipe), teacher)


def fit_fold(
    recipe: Recipe, fold: int, here: Learning, classes: list[str], compute: Compute
) -> None:
    """Train, and write what came of it; an interrupted training goes on."""
    member, train, valid = recipe.member, here.train, here.valid
    key = here.key(recipe, fold, classes)
    # All folds and stages ask for the same sets, so that each is computed once.
    folds = files.read_folds()
    sets = image_sets(folds, files.own_ids())
    groups = folds.set_index("id")["fold"].loc[train.ids].to_numpy()
    if recipe.train.overfit_batches is not None:
        sets = ()
        recipe, train = few_batches(recipe, train)
        valid = train
    features = FeatureFolder(shared(files.FEATURES), sets)
    seed = zlib.crc32(f"{recipe.seed} {member} {fold}".encode())
    curves = Curves(files.CURVES / member / str(fold), f"{member} fold {fold}", recipe)
    folder = files.MODELS / member / str(fold)
    with checkpoint_folder(shared(files.CHECKPOINTS) / f"{member}-{fold}-{key}") as kept:
        start = taught = None
        if here.start is not None:
            start = starting_member(here.start, folder, kept / "start", classes, here.unseen)
        if here.learned is not None and here.teacher is not None:
            teacher = Taught(here.teacher, fold, classes, here.unseen)
            taught = soft_rows(recipe, here.learned, teacher, compute, features, kept)
        precision = training_precision(recipe, len(train), len(classes), compute, kept, TRIALS)
        training = TrainingRun(
            seed, compute, kept, features, curves, start, groups, precision, here.learned, taught
        )
        network, epoch = fit_member(recipe, train, valid, training)
        if not is_main_process():
            return
        with files.replacing(folder) as temporary:
            temporary.mkdir()
            origin = {
                "member": member,
                "fold": fold,
                "epoch": epoch,
                "precision": precision,
                "unseen": here.unseen,
                "warm_start": here.start,
                "teacher": here.teacher,
                # Of all folds the same, as it came: what it makes of an image is computed once.
                "frozen": recipe.frozen and here.start is None,
                "recipe": recipe.model_dump(mode="json", exclude={"model"}),
            }
            save_member(temporary, network, recipe.model, classes, recipe.softmax, origin)
