"""Soft targets: what a committed run's models of one fold say of images."""

import fcntl
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from foldwise import revisions
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.settings import Folds, Members
from foldwise.ensembling.merge import merge_logits
from foldwise.ensembling.settings import Ensemble, Tta
from foldwise.features.kept import FeatureFolder
from foldwise.features.predicting import member_logits
from foldwise.inference.view_logits import input_of
from foldwise.model.dataset import ImageDataset
from foldwise.model.saved import load_member, read_model
from foldwise.model.settings import Compute
from foldwise.model.views import make_view
from foldwise.training.learned_rows import LearnedRows
from foldwise.training.settings import Recipe
from foldwise.training.teacher_loss import soft_targets
from foldwise.training.warm_start import fetched_member, named_commit

KEY = "train.teacher.revision"
WHERE = f"params.yaml: {KEY}"
TAUGHT = "taught.npz"


class Taught:
    """The models of one fold of a committed run, and of commits that its ensemble includes.

    Views and members are merged as that run's params say, members alike: weights that it may have
    fitted, its calibrator and its thresholds came of all folds' labels, those of this fold too.
    """

    def __init__(self, commit: str, fold: int, classes: list[str], unseen: str) -> None:
        """
        Args:
            commit: its hash.
            fold: whose models teach.
            classes: of this data set, in order.
            unseen: digest of the images whose labels this fold must not learn.

        Raises:
            UserError: that run lacks the fold, or has params that this version does not know.
        """
        self._fold, self._classes, self._unseen = fold, classes, unseen
        self.ensemble = _params_of(commit, "ensemble", Ensemble)
        included = [revisions.resolve(each, WHERE) for each in self.ensemble.include]
        self.commits = (commit, *included)
        for each in self.commits:
            if fold not in _params_of(each, "folds", Folds):
                raise UserError(
                    f"{WHERE}: commit {each[:10]} has no fold {fold}, so nothing of it is sure not "
                    "to know this fold's held-out images; name a run with the same folds"
                )

    def logits(
        self, images: ImageDataset, compute: Compute, kept: FeatureFolder, folder: Path
    ) -> np.ndarray:
        """What all members together say, as log-odds: float32 (images, classes).

        Args:
            images: not augmented.
            compute: where it runs.
            kept: where features of frozen backbones are kept.
            folder: of this very run, for models that are brought.

        Raises:
            UserError: a model cannot be had, has other classes, or was trained on images that
                this fold holds out or tests.
        """
        found = list(self._of_members(images, compute, kept, folder))
        return merge_logits(found, self.ensemble.members)

    def _of_members(
        self, images: ImageDataset, compute: Compute, kept: FeatureFolder, folder: Path
    ) -> Iterator[np.ndarray]:
        for commit, path in self.models():
            tta = _params_of(commit, "tta", Tta)
            name = path.parent.name
            target = folder / f"{commit[:10]}-{name}-{self._fold}"
            fetched_member(commit, path, target, KEY)
            self._check(target, f"{path} of commit {commit[:10]}")
            trained = load_member(target)
            views = [make_view(each) for each in tta.views]
            model = input_of(trained.model, views)
            seen = ImageDataset(images.store, images.ids, np.empty((len(images), 0)), model)
            title = f"teacher {name} fold {self._fold}"
            predicted = member_logits(
                trained, {"rows": seen}, tta.views, compute, kept, str(path), title
            )
            yield merge_logits(predicted("rows"), tta.merge)

    def models(self) -> Iterator[tuple[str, Path]]:
        """Commits, and where in them the models of this fold lie."""
        for commit in self.commits:
            for name in _params_of(commit, "members", Members):
                yield commit, files.MODELS / name / str(self._fold)

    def _check(self, folder: Path, where: str) -> None:
        content = read_model(folder)
        if content["classes"] != self._classes:
            raise UserError(f"{where}: has other classes; name another revision in {KEY}")
        if content.get("unseen") != self._unseen:
            raise UserError(
                f"{where}: its folds differ: it was trained on other images than this fold leaves "
                f"out, so what it teaches may tell of them; drop {KEY}, or split as that "
                "commit does"
            )


def _params_of(commit: str, name: str, kind: Any) -> Any:
    """A section of a commit's params.yaml."""
    content = revisions.committed_params(commit)
    if not content:
        raise UserError(
            f"{WHERE}: commit {commit[:10]} has no params.yaml, so it is no run that could teach; "
            "name another one"
        )
    try:
        return TypeAdapter(kind).validate_python(content.get(name))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, (name, *first["loc"])))
        raise UserError(
            f"{WHERE}: params.yaml of commit {commit[:10]}: {key}: {first['msg']}; this version "
            "cannot repeat that run, name another one"
        ) from None


def teaching_commit(recipe: Recipe) -> str | None:
    """The commit that teaches a member, or None; raises as `named_commit`."""
    teacher = recipe.train.teacher
    return None if teacher is None else named_commit(teacher.revision, recipe, "teacher.revision")


def soft_rows(
    recipe: Recipe,
    learned: LearnedRows,
    teacher: Taught,
    compute: Compute,
    kept: FeatureFolder,
    folder: Path,
) -> np.ndarray:
    """The soft targets of all stored rows, -1 where no teacher teaches: float32 (rows, classes).

    Args:
        recipe: of the student.
        learned: its rows.
        teacher: of the fold.
        compute: where it runs.
        kept: where features of frozen backbones are kept.
        folder: that belongs to this very run.
    """
    settings = recipe.train.teacher
    assert settings is not None
    rows = np.flatnonzero(np.isin(learned.kinds.astype(str), settings.rows))
    images = learned.stored.only(rows.tolist(), augmented=False)
    logits = taught_logits(teacher, images, compute, kept, folder)
    found = np.full((len(learned.stored), logits.shape[1]), -1, np.float32)
    found[rows] = soft_targets(logits, settings.temperature, recipe.softmax)
    return found


def taught_logits(
    teacher: Taught, images: ImageDataset, compute: Compute, kept: FeatureFolder, folder: Path
) -> np.ndarray:
    """As `Taught.logits`; what an interrupted run computed is taken from its folder.

    Args:
        teacher: of the fold.
        images: that are taught.
        compute: where it runs.
        kept: where features of frozen backbones are kept.
        folder: that belongs to this very run.
    """
    path = folder / TAUGHT
    # Of several processes that train together, one computes them.
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    found: np.ndarray = arrays["logits"]
                return found
            except (zipfile.BadZipFile, ValueError, LookupError, EOFError, OSError):
                print(f"{path}: is damaged; computed anew", file=sys.stderr)
        logits = teacher.logits(images, compute, kept, folder)
        files.write_arrays(path, logits=logits)
        return logits
