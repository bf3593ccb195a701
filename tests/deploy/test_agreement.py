"""How far models agree, by its definition."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foldwise.deploy.agreement import agreement


@given(arrays(np.int8, (3, 4, 3), elements=st.sampled_from([0, 1])))
@settings(max_examples=50, deadline=None)
def test_agreement_by_its_definition(predicted: np.ndarray) -> None:
    found = agreement(list(predicted))
    for image in range(4):
        sets = [set(np.flatnonzero(model[image])) for model in predicted]
        pairs = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in combinations(sets, 2)]
        assert found[image] == pytest.approx(np.mean(pairs))
    assert agreement([predicted[0]]).tolist() == [1.0] * 4
