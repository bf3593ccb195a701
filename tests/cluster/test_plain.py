"""Checkpoints that travel: what comes out is what went in, and nothing of it is code."""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foldwise.cluster.plain import packed, unpacked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple)
    | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_plain_values_come_back(value: Any) -> None:
    found = unpacked(*packed(value))
    assert found == value
    assert repr(found) == repr(value)


def test_tensors_come_back_with_their_kinds_and_bits() -> None:
    whole = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    tensors = OrderedDict(
        half=torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
        turned=whole.T,
        same=whole,
        number=torch.tensor(3),
        none=torch.empty(0, 4, dtype=torch.uint8),
    )
    found = unpacked(*packed({"state": {0: tensors}, "step": (torch.tensor(2.0), 7)}))
    back = found["state"][0]
    assert isinstance(back, OrderedDict)
    assert list(back) == list(tensors)
    for name, each in tensors.items():
        assert back[name].dtype == each.dtype
        assert back[name].shape == each.shape
        assert torch.equal(back[name], each)
    assert torch.signbit(back["half"][1])
    assert isinstance(found["step"], tuple)


def test_what_is_not_plain_does_not_travel() -> None:
    with pytest.raises(TypeError, match="holds object, which cannot travel"):
        packed({"a": object()})
    with pytest.raises(ValueError, match="is no part of a checkpoint"):
        unpacked(b'{"import": [["os", "system"]]}', packed([])[1])
