"""Which fold holds which image out; what belongs together stays together."""

import numpy as np
from iterstrat.ml_stratifiers import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
)
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from foldwise.core.errors import UserError
from foldwise.folds.settings import Split

ALWAYS_TRAINED = -1


class Assigner:
    """Divides images, or the units that they form, as `split` says."""

    def __init__(
        self, labels: np.ndarray, units: np.ndarray, single: bool, split: Split, seed: int
    ) -> None:
        """
        Args:
            labels: (images, classes): 1, 0 or -1.
            units: (images,) int: of images that stay together, numbered 0, 1, ... in their order.
            single: every image has exactly one class.
            split: how to divide.
            seed: of the shuffling.
        """
        self._units = units
        self._sizes = np.bincount(units)
        self._split = split
        self._seed = seed
        # Of one column, each image has either value of it.
        self._single = single or labels.shape[1] == 1
        self._own = np.maximum(labels, 0)
        # A unit shows what any of its images shows.
        self._labels = np.zeros((units.max(initial=-1) + 1, labels.shape[1]), np.int8)
        np.maximum.at(self._labels, units, self._own)

    def hold_out(self, share: float, shuffle: bool, key: str) -> np.ndarray:
        """(images,) bool: which images are held out, about `share` of them.

        Raises `UserError` naming `key` if that leaves one side empty, or without a class.
        """
        count = round(share * len(self._labels))
        if not self._split.stratify:
            return self._hold_out_plainly(round(share * len(self._units)), shuffle, key)
        if not 0 < count < len(self._labels):
            raise self._leaves_nothing(key, share)
        rows = np.arange(len(self._labels))
        if not self._single:
            halves = MultilabelStratifiedShuffleSplit(
                n_splits=1, test_size=count, random_state=self._seed
            )
            _, held_out = next(halves.split(rows, self._labels))
        else:
            try:
                _, held_out = train_test_split(
                    rows,
                    test_size=count,
                    random_state=self._seed,
                    stratify=self._classes(self._labels),
                )
            except ValueError as error:
                raise UserError(
                    f"params.yaml: split.stratify: {error} Set it to false, or add images"
                ) from None
        return np.isin(self._units, held_out)

    def _hold_out_plainly(self, count: int, shuffle: bool, key: str) -> np.ndarray:
        """As `train_test_split` does, but whole units until there are `count` images."""
        rows = np.arange(len(self._sizes))[::-1]
        if shuffle:
            rows = np.random.RandomState(self._seed).permutation(len(self._sizes))
        chosen, room = [], count
        for row in rows.tolist():
            if self._sizes[row] <= room:
                chosen.append(row)
                room -= self._sizes[row]
        held_out = np.isin(self._units, chosen)
        if not held_out.any() or held_out.all():
            raise self._leaves_nothing(key, count / len(self._units))
        return held_out

    def _leaves_nothing(self, key: str, share: float) -> UserError:
        return UserError(
            f"params.yaml: {key}: {share:g} of {len(self._units)} images, {len(self._labels)} of "
            "which may be apart, leaves one side empty; change it"
        )

    def _classes(self, labels: np.ndarray) -> np.ndarray:
        """(rows,) int: the one class of each row, or the value of the one column."""
        return labels[:, 0] if labels.shape[1] == 1 else labels.argmax(1)

    def kfold(self, folds: int) -> np.ndarray:
        """(images,) int: the fold that holds each image out.

        Raises `UserError` if there are fewer images, or units of them, than folds.
        """
        if folds > len(self._labels):
            raise UserError(
                f"params.yaml: folds: {folds} folds for {len(self._labels)} images that may be "
                "apart; take fewer"
            )
        by_unit = not self._split.group or (self._split.stratify and not self._single)
        labels = self._labels if by_unit else self._own
        rows = np.arange(len(labels))
        fold = np.full(len(rows), ALWAYS_TRAINED)
        splitter = self._splitter(folds, by_unit)
        target = self._classes(labels) if self._single else labels
        if not self._split.stratify:
            target = np.zeros(len(rows), int)
        groups = None if by_unit else self._units
        try:
            for number, (_, held_out) in enumerate(splitter.split(rows, target, groups)):
                fold[held_out] = number
        except ValueError as error:
            raise UserError(
                f"params.yaml: split.stratify: {error} Set it to false, or take fewer folds"
            ) from None
        return fold[self._units] if by_unit else fold

    def _splitter(
        self, folds: int, by_unit: bool
    ) -> KFold | GroupKFold | StratifiedKFold | StratifiedGroupKFold | MultilabelStratifiedKFold:
        shuffle = self._split.shuffle
        how = {"shuffle": shuffle, "random_state": self._seed if shuffle else None}
        if not self._split.stratify and by_unit:
            return KFold(folds, **how)
        if not self._split.stratify:
            # Shuffled, GroupKFold deals groups out whatever their size; stratified over a single
            # class, folds come out alike.
            return StratifiedGroupKFold(folds, **how) if shuffle else GroupKFold(folds)
        if not self._single:
            return MultilabelStratifiedKFold(n_splits=folds, **how)
        return StratifiedKFold(folds, **how) if by_unit else StratifiedGroupKFold(folds, **how)


def listed_folds(folds: np.ndarray, count: int) -> np.ndarray:
    """The source's own folds, after making sure that each of `count` folds holds something out.

    Raises `UserError` for a fold that is empty, or one too many.
    """
    found = sorted(set(folds.tolist()) - {ALWAYS_TRAINED})
    if found != list(range(count)):
        raise UserError(
            f"params.yaml: folds: the source lists folds {found}, and these are folds "
            f"{list(range(count))}; make them agree"
        )
    return folds
