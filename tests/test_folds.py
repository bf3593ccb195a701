"""Fold assignment."""

import numpy as np
import pytest
from sklearn.model_selection import KFold

from stages.errors import UserError
from stages.folds.assign import assign_folds, hold_test_out
from stages.settings.data import Split

IDS = np.array([f"image-{index}" for index in range(20)])


@pytest.mark.parametrize("shuffle", [True, False])
def test_kfold_is_scikit_learns(shuffle: bool) -> None:
    folds = assign_folds(IDS, Split(method="kfold", shuffle=shuffle), 3, seed=7)
    assert folds["id"].tolist() == IDS.tolist()
    reference = KFold(3, shuffle=shuffle, random_state=7 if shuffle else None)
    for number, (_, held_out) in enumerate(reference.split(IDS)):
        assert folds.loc[folds["fold"] == number, "id"].tolist() == IDS[held_out].tolist()
    if not shuffle:
        assert folds["fold"].is_monotonic_increasing


def test_a_single_holdout_trains_on_all_others() -> None:
    folds = assign_folds(IDS, Split(method="holdout", fraction=0.25), 1, seed=7)
    assert folds["fold"].value_counts().to_dict() == {-1: 15, 0: 5}
    last = assign_folds(IDS, Split(method="holdout", fraction=0.25, shuffle=False), 1, seed=7)
    assert last["fold"].tolist() == [-1] * 15 + [0] * 5


def test_a_test_part_is_held_out_in_order() -> None:
    kept = hold_test_out(IDS, Split(method="kfold", test=0.2), seed=7)
    assert len(kept) == 16
    assert [id for id in IDS if id in set(kept)] == kept.tolist()
    assert kept.tolist() != IDS[:16].tolist()
    assert hold_test_out(IDS, Split(method="kfold", test=0.0), seed=7).tolist() == IDS.tolist()


def test_too_few_images_are_refused() -> None:
    with pytest.raises(UserError, match="take fewer"):
        assign_folds(IDS[:2], Split(method="kfold"), 3, seed=0)
    with pytest.raises(UserError, match=r"split\.fraction"):
        assign_folds(IDS[:2], Split(method="holdout", fraction=0.1), 1, seed=0)
    with pytest.raises(UserError, match=r"split\.test"):
        hold_test_out(IDS[:2], Split(method="kfold", test=0.1), seed=0)
