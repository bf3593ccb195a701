"""Fold assignment: every way to divide, and what stays together."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from foldwise.core.errors import UserError
from foldwise.folds.describe import describe, imbalance, prevalence
from foldwise.folds.divide import Division, divide
from foldwise.folds.duplicates import Duplicates, equal_pairs, joined, near_pairs, straddling
from foldwise.folds.settings import Split

N = 40


def run(
    labels: np.ndarray | None = None,
    pictures: np.ndarray | None = None,
    folds: int = 3,
    single: bool = False,
    columns: dict[str, list[object]] | None = None,
    **split: object,
) -> Division:
    """Divide N images, all of the train part and all different unless told otherwise."""
    given = {"method": "kfold", "test": 0.0} | split
    return divide(
        pd.DataFrame({"part": ["train"] * N} | (columns or {})),
        np.zeros((N, 2), np.int8) if labels is None else labels,
        single,
        np.arange(N) if pictures is None else pictures,
        Split.model_validate(given),
        folds,
        seed=7,
    )


@pytest.mark.parametrize("shuffle", [True, False])
def test_kfold_is_scikit_learns(shuffle: bool) -> None:
    fold = run(shuffle=shuffle).fold
    reference = KFold(3, shuffle=shuffle, random_state=7 if shuffle else None)
    for number, (_, held_out) in enumerate(reference.split(np.arange(N))):
        assert np.flatnonzero(fold == number).tolist() == held_out.tolist()
    if not shuffle:
        assert (np.diff(fold) >= 0).all()


def test_a_single_holdout_trains_on_all_others() -> None:
    assert np.bincount(run(method="holdout", fraction=0.25, folds=1).fold + 1).tolist() == [30, 10]
    last = run(method="holdout", fraction=0.25, shuffle=False, folds=1)
    assert last.fold.tolist() == [-1] * 30 + [0] * 10


def test_a_test_part_is_held_out_unless_there_is_one() -> None:
    division = run(test=0.2)
    assert division.test.sum() == 8
    assert (division.fold[division.test] == -1).all()
    assert (division.fold[~division.test] >= 0).all()
    assert division.sets(3).keys() == {"train", "test", "fold 0", "fold 1", "fold 2"}
    assert not run(test=0.0).test.any()
    own = run(test=0.2, columns={"part": [*["test"] * 3, *["train"] * (N - 3)]})
    assert own.test.tolist() == [True] * 3 + [False] * (N - 3)


def test_stratified_single_label_is_scikit_learns() -> None:
    classes = np.array([0] * 24 + [1] * 10 + [2] * 6)
    fold = run(np.eye(3, dtype=np.int8)[classes], single=True, stratify=True).fold
    reference = StratifiedKFold(3, shuffle=True, random_state=7)
    for number, (_, held_out) in enumerate(reference.split(classes, classes)):
        assert np.flatnonzero(fold == number).tolist() == held_out.tolist()
    out = run(np.eye(3, dtype=np.int8)[classes], single=True, stratify=True, test=0.25, folds=2)
    assert np.bincount(classes[out.test]).tolist() in ([6, 2, 2], [6, 3, 1])


def test_iterative_stratification_balances_rare_labels() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((N, 6)) < [0.08, 0.1, 0.12, 0.15, 0.2, 0.3]).astype(np.int8)
    labels[0, 3] = -1

    def worst(stratify: bool) -> int:
        fold = run(labels, stratify=stratify).fold
        assert sorted(set(fold)) == [0, 1, 2]
        counts = np.stack([(labels[fold == each] == 1).sum(0) for each in range(3)])
        return int(np.ptp(counts, axis=0).max())

    assert worst(True) <= 2 < worst(False)
    test = run(labels, stratify=True, test=0.25, folds=2).test
    assert np.abs((labels[test] == 1).sum(0) - (labels == 1).sum(0) / 4).max() <= 2


def test_groups_stay_together_in_folds_of_similar_size() -> None:
    groups = np.array([0] * 15 + [1] * 5 + list(range(2, 12)) * 2)
    columns: dict[str, list[object]] = {"group": [f"g{each}" for each in groups]}
    fold = run(columns=columns, group=True).fold
    assert all(len(set(fold[groups == each])) == 1 for each in set(groups))
    assert np.bincount(fold).max() <= 17
    fold = run(columns=columns, group=True, shuffle=False).fold
    reference = GroupKFold(3)
    for number, (_, held_out) in enumerate(reference.split(groups, groups=groups)):
        assert np.flatnonzero(fold == number).tolist() == held_out.tolist()
    test = run(columns=columns, group=True, test=0.3).test
    assert all(len(set(test[groups == each])) == 1 for each in set(groups))
    # Images without a group are on their own.
    loose = run(columns={"group": [""] * N}, group=True).fold
    assert np.ptp(np.bincount(loose)) <= 1


@pytest.mark.parametrize("single", [True, False])
def test_groups_stay_together_when_stratified(single: bool) -> None:
    classes = np.arange(N) % 2
    groups = np.arange(N) // 4
    columns: dict[str, list[object]] = {"group": [str(each) for each in groups]}
    fold = run(
        np.eye(2, dtype=np.int8)[classes], single=single, columns=columns, group=True, stratify=True
    ).fold
    assert all(len(set(fold[groups == each])) == 1 for each in set(groups))
    assert sorted(set(fold)) == [0, 1, 2]


def test_grouped_stratification_goes_by_the_images_own_classes() -> None:
    rng = np.random.default_rng(1)
    groups = np.arange(N) // 2
    classes = (rng.random(N) < 0.3).astype(int)
    fold = run(
        np.eye(2, dtype=np.int8)[classes],
        single=True,
        columns={"group": [str(each) for each in groups]},
        group=True,
        stratify=True,
    ).fold
    reference = StratifiedGroupKFold(3, shuffle=True, random_state=7)
    for number, (_, held_out) in enumerate(reference.split(classes, classes, groups)):
        assert np.flatnonzero(fold == number).tolist() == held_out.tolist()


def test_one_column_is_stratified_by_its_values() -> None:
    labels = (np.arange(N)[:, None] % 4 == 0).astype(np.int8)
    division = run(labels, stratify=True, test=0.25)
    assert labels[division.test].sum() in (2, 3)
    assert np.ptp([labels[division.fold == each].sum() for each in range(3)]) <= 1


def test_a_share_is_one_of_images_not_of_groups() -> None:
    pictures = np.array([0] * 20 + list(range(1, 21)))
    for seed in range(5):
        found = divide(
            pd.DataFrame({"part": ["train"] * N}),
            np.zeros((N, 1), np.int8),
            False,
            pictures,
            Split(method="kfold", test=0.25),
            2,
            seed,
        )
        assert found.test.sum() == 10


@given(st.lists(st.integers(0, 25), min_size=N, max_size=N), st.integers(0, 99), st.booleans())
@settings(max_examples=40, deadline=None)
def test_duplicates_never_straddle(pictures: list[int], seed: int, stratify: bool) -> None:
    units = pd.factorize(np.array(pictures))[0]
    if len(set(pictures)) < 8:
        return
    labels = np.random.default_rng(seed).integers(0, 2, (N, 3)).astype(np.int8)
    division = run(labels, units, stratify=stratify, test=0.25)
    place = np.where(division.test, -2, division.fold)
    assert (pd.Series(place).groupby(units).nunique() == 1).all()
    loose = run(labels, units, duplicates="ignore")
    assert np.ptp(np.bincount(loose.fold)) <= 1


def test_the_sources_own_lists_are_kept() -> None:
    own = [0] * 10 + [-1] * 30
    division = run(method="list", folds=1, columns={"fold": list(own)})
    assert division.fold.tolist() == own
    with pytest.raises(UserError, match=r"folds: the source lists folds \[0\], and these"):
        run(method="list", folds=2, columns={"fold": list(own)})
    with pytest.raises(UserError, match="lists no folds"):
        run(method="list", folds=1)


def test_what_cannot_be_divided_is_refused() -> None:
    few = np.zeros(N, int)
    with pytest.raises(UserError, match="take fewer"):
        run(pictures=few)
    with pytest.raises(UserError, match=r"split\.fraction"):
        run(pictures=few, method="holdout", folds=1)
    with pytest.raises(UserError, match=r"split\.test"):
        run(pictures=few, test=0.1)
    with pytest.raises(UserError, match=r"split\.group.*no groups"):
        run(group=True)
    lonely = np.eye(2, dtype=np.int8)[[1] + [0] * (N - 1)]
    with pytest.raises(UserError, match=r"split\.stratify.*Set it to false"):
        run(lonely, single=True, stratify=True, test=0.2)


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.sets(st.integers(0, 63), max_size=6)), max_size=30),
    st.integers(-1, 5),
)
@settings(max_examples=200, deadline=None)
def test_near_pairs_join_as_brute_force_does(
    base: list[int], changed: list[tuple[int, set[int]]], bits: int
) -> None:
    """Hashes with some bits turned over: all pairs within the distance, and no others."""
    hashes = list(base)
    for index, flips in changed:
        value = base[index % len(base)]
        for bit in flips:
            value ^= 1 << bit
        hashes.append(value)
    array = np.array(hashes, np.uint64)
    close = [
        (i, j)
        for i in range(len(hashes))
        for j in range(i)
        if (hashes[i] ^ hashes[j]).bit_count() <= bits
    ]
    brute = joined(len(hashes), np.array(close, int).reshape(-1, 2))
    found = near_pairs(array, bits)
    assert joined(len(hashes), found).tolist() == brute.tolist()
    assert all((hashes[i] ^ hashes[j]).bit_count() <= bits for i, j in found.tolist())


def test_units_are_numbered_in_order() -> None:
    assert joined(5, np.array([[4, 1], [3, 3]])).tolist() == [0, 1, 2, 3, 1]
    assert equal_pairs(np.array([5, 2, 5, 5])).tolist() == [[0, 2], [2, 3]]


def test_duplicates_are_counted_and_listed() -> None:
    sha256 = np.array(list("aabcd"))
    hashes = np.array([0, 0, 1, 2**40 - 1, 3 * 2**62], np.uint64)
    found = Duplicates(sha256, hashes, bits=1)
    labels = np.array([[0], [1], [1], [0], [np.nan]])
    test = np.array([False, False, True, False, True])
    assert found.counts(labels, np.array([0, 1, -1, 0, -1]), test) == {
        "exact": 1,
        "near": 1,
        "across_train_and_test": 1,
        "across_folds": 1,
        "exact_with_other_labels": 1,
    }
    assert found.repeated.tolist() == [True, True, True, False, False]
    table = found.table(pd.Series(list("vwxyz")), test)
    assert table.to_dict("list") == {
        "picture": [0, 0, 0],
        "id": ["v", "w", "x"],
        "part": ["train", "train", "test"],
        "bytes": [0, 0, 1],
    }
    assert [rows.tolist() for rows in straddling(pd.Series(test), found.pictures)] == [[0, 1, 2]]
    only_exact = Duplicates(sha256, hashes, bits=-1)
    assert only_exact.counts(labels, np.zeros(5), test)["near"] == 0


def test_numbers_of_a_part() -> None:
    labels = np.array([[1, 0, -1], [1, 1, -1], [0, 0, -1]], np.int8)
    assert prevalence(labels)[:2].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert np.isnan(prevalence(labels)[2])
    sizes = pd.DataFrame({"height": [3, 4, 5], "width": [7, 7, 7]})
    told = describe(labels, sizes, np.array([True, False, True]))
    assert told["duplicates"] == 2
    assert told["images"] == 3
    assert told["labels_per_image"] == {"min": 0, "mean": 1.0, "max": 2}
    assert told["height"] == {"min": 3, "mean": 4.0, "max": 5}
    assert "prevalence" not in describe(None, sizes, np.zeros(3, bool))
    folds = {"a": labels, "b": np.zeros((2, 3), np.int8)}
    assert imbalance(folds, list("xyz")) == {"largest": pytest.approx(2 / 3), "class": "x"}
