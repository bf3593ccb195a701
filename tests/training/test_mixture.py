"""Which images every epoch shows, as a property over all mixtures."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.model.dataset import MANY_EPOCHS
from foldwise.model.loader import Batches
from foldwise.training.mixture import Mixture, SourceRows


@given(
    st.integers(1, 12), st.integers(1, 30), st.integers(0, 3), st.integers(1, 6), st.integers(0, 9)
)
@settings(deadline=None)
def test_all_were_shown_once_before_one_comes_again(
    count: int, shown: int, first: int, epochs: int, seed: int
) -> None:
    rows = SourceRows("twin", 5, count, shown, first, first + epochs)
    seen: Counter[int] = Counter(dict.fromkeys(range(5, 5 + count), 0))
    for epoch in range(first + epochs + 1):
        keys = Mixture([rows], seed).drawn(epoch) if rows.positions(epoch, seed).size else []
        assert len(keys) == (shown if first <= epoch < first + epochs else 0)
        # A loader, and what is drawn for an image, tell its times apart.
        assert len(set(keys)) == len(keys)
        assert {each % MANY_EPOCHS for each, _ in keys} <= {epoch}
        seen.update(position for _, position in keys)
        assert max(seen.values()) - min(seen.values()) <= 1
    assert set(seen) == set(range(5, 5 + count))


def test_another_seed_or_name_is_another_order() -> None:
    def order(seed: int, name: str) -> list[int]:
        return [
            SourceRows(name, 0, 50, 10, 0, 9).positions(each, seed).tolist() for each in range(5)
        ]

    assert order(1, "a") == order(1, "a")
    assert order(1, "a") != order(2, "a")
    assert order(1, "a") != order(1, "b")


def test_sources_come_and_go() -> None:
    own, twin = SourceRows("own", 0, 6, 6, 1, 4), SourceRows("twin", 6, 9, 4, 0, 3)
    mixture = Mixture([own, twin], 0)
    shown = [Counter(position < 6 for _, position in mixture.drawn(epoch)) for epoch in range(4)]
    assert [(each[True], each[False]) for each in shown] == [(0, 4), (6, 4), (6, 4), (6, 0)]
    assert not mixture.even(4)
    assert mixture.even(1)
    assert mixture.empty(4) == []
    assert mixture.empty(6) == [4, 5]


def test_batches_are_of_what_was_drawn() -> None:
    mixture = Mixture([SourceRows("own", 0, 7, 7, 1, 3), SourceRows("twin", 7, 5, 3, 0, 3)], 0)
    batches = Batches(0, 4, seed=1, drawn=mixture.drawn)
    for epoch, sizes in enumerate([[3], [4, 4, 2], [4, 4, 2]]):
        batches.set_epoch(epoch)
        found = list(batches)
        assert [len(each) for each in found] == sizes == [4] * (len(batches) - 1) + sizes[-1:]
        keys = [(one, position) for batch in found for one, position, counts in batch if counts]
        assert sorted(keys) == sorted(mixture.drawn(epoch))
    # Shuffled: the sources come mixed.
    assert [key[1] for batch in found for key in batch] != [key[1] for key in mixture.drawn(2)]


def test_processes_share_what_was_drawn() -> None:
    mixture = Mixture([SourceRows("twin", 0, 20, 9, 0, 3)], 0)
    whole = [list(Batches(0, 4, 1, drawn=mixture.drawn))]
    parts = [list(Batches(0, 4, 1, rank, 2, drawn=mixture.drawn)) for rank in range(2)]
    for number, batch in enumerate(whole[0]):
        together = [key for part in parts for key in part[number] if key[2]]
        assert sorted(together) == sorted(batch)
