"""What a data set is, found out without a flag; and the flags, where two readings are possible."""

from collections import Counter
from pathlib import Path

import pytest

from foldwise.core.errors import UserError
from foldwise.starting.finding import DataSet, Given, find
from foldwise.starting.reading import Wishes
from tests.pictures import write
from tests.starting.layouts import LAYOUTS, Wanted


def found(path: Path, **wishes: object) -> DataSet:
    return find(Given([path], str(path)), Wishes(**wishes), "extra")  # type: ignore[arg-type]


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_a_layout_is_found_without_a_flag(make: object, tmp_path: Path) -> None:
    wanted: Wanted = make(tmp_path)  # type: ignore[operator]
    data = found(tmp_path)
    section = {wanted.source: wanted.keys} if wanted.keys else {}
    own = {"source": wanted.source, "path": str(tmp_path), "extra_path": "extra"}
    assert data.data == own | section | wanted.more
    assert data.reading.split == wanted.split
    assert data.source.classes == wanted.classes
    assert data.source.task == wanted.task
    parts = Counter(data.source.parts)
    assert (parts["train"], parts["test"]) == (wanted.train, wanted.test)
    assert data.dropped == []
    assert data.others == []
    assert len(set(data.source.ids)) == len(data.source.ids)
