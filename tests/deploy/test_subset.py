"""Some members and folds of an ensemble: which, how they are weighed, and what is said."""

import copy
from typing import Any

import numpy as np
import pytest

from foldwise.core.errors import UserError
from foldwise.deploy.subset import Subset
from foldwise.ensembling.weighing import Line, Weighing

ENSEMBLE: dict[str, Any] = {
    "folds": [0, 1, 2],
    "merge": {"views": "mean_logit", "folds": "mean_logit", "members": "mean_logit"},
    "members": {
        "a": {"views": ["identity", "hflip"], "weight": 0.5},
        "abc123/b": {"views": ["identity"], "weight": 0.25},
        "c": {"views": ["hflip"], "weight": 0.25},
    },
}


def merged(ensemble: dict[str, Any], logits: dict[str, np.ndarray]) -> np.ndarray:
    members = ensemble["members"]
    weights = np.array([each["weight"] for each in members.values()])
    lines = [Line.from_json(each) for each in members.values()]
    return Weighing(weights, lines).merged([logits[name] for name in members], "mean_logit")


def stacked(coefficients: np.ndarray, offset: np.ndarray) -> dict[str, Any]:
    """As a stack of such coefficients, (members, classes), is written."""
    found = copy.deepcopy(ENSEMBLE)
    for each, own in zip(found["members"].values(), coefficients, strict=True):
        each |= {"weight": 1 / 3, "slope": (3 * own).tolist(), "offset": offset.tolist()}
    return found


def test_everything_is_the_ensemble_itself() -> None:
    for subset in (Subset(), Subset(("c", "abc123/b", "a"), ("2", "0", "1"))):
        assert subset.of(ENSEMBLE) == ENSEMBLE
        assert subset.warning(ENSEMBLE) is None


def test_some_keep_order_and_views() -> None:
    before = copy.deepcopy(ENSEMBLE)
    found = Subset.from_options("c,a", "2,0").of(ENSEMBLE)
    assert found["folds"] == [0, 2]
    assert list(found["members"]) == ["a", "c"]
    assert found["members"]["a"] == {"views": ["identity", "hflip"], "weight": 2 / 3}
    assert found["members"]["c"]["weight"] == pytest.approx(1 / 3)
    assert found["merge"] == ENSEMBLE["merge"]
    assert before == ENSEMBLE


def test_members_that_did_not_count_count_alike() -> None:
    ensemble = copy.deepcopy(ENSEMBLE)
    for name, weight in (("a", 1.0), ("abc123/b", 0.0), ("c", 0.0)):
        ensemble["members"][name]["weight"] = weight
    found = Subset(("abc123/b", "c")).of(ensemble)
    assert [each["weight"] for each in found["members"].values()] == [0.5, 0.5]


def test_of_a_stack_the_coefficients_keep_their_sum() -> None:
    rng = np.random.default_rng(0)
    coefficients, offset = rng.uniform(0.1, 1, (3, 4)), rng.normal(size=4)
    coefficients[0, 3] = 0
    logits = {name: rng.normal(size=(5, 4)) for name in ENSEMBLE["members"]}
    ensemble = stacked(coefficients, offset)
    own = np.stack(list(logits.values()))
    whole = np.einsum("mc,mnc->nc", coefficients, own) + offset
    assert merged(ensemble, logits) == pytest.approx(whole, abs=1e-5)
    # Where members agree, it matters to no class which are taken.
    same = dict.fromkeys(logits, logits["a"])
    for names in (("a",), ("a", "c"), ("abc123/b", "c")):
        found = Subset(names).of(ensemble)
        assert merged(found, same) == pytest.approx(merged(ensemble, same), abs=1e-5)
    two = merged(Subset(("a", "c")).of(ensemble), logits)
    share = coefficients[[0, 2]] * coefficients.sum(0) / coefficients[[0, 2]].sum(0)
    wanted = np.einsum("mc,mnc->nc", share, own[[0, 2]]) + offset
    assert two == pytest.approx(wanted, abs=1e-5)


def test_calibrated_members_keep_their_lines() -> None:
    ensemble = copy.deepcopy(ENSEMBLE)
    for index, each in enumerate(ensemble["members"].values()):
        each |= {"slope": [1.0 + index], "offset": [0.1 * index]}
    found = Subset(("abc123/b", "c")).of(ensemble)["members"]
    assert [each["slope"] for each in found.values()] == [[2.0], [3.0]]
    assert [each["weight"] for each in found.values()] == [0.5, 0.5]


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(UserError, match=r"\A--members: there is no member 'b'; there is a, abc12"):
        Subset(("a", "b")).of(ENSEMBLE)
    with pytest.raises(UserError, match=r"\A--folds: there is no fold '3'; there is 0, 1, 2\Z"):
        Subset(None, ("3",)).of(ENSEMBLE)
    with pytest.raises(UserError, match=r"there is no fold ''"):
        Subset.from_options(None, "").of(ENSEMBLE)


def test_what_was_decided_of_more_is_said() -> None:
    said = Subset(("a", "c")).warning(ENSEMBLE)
    assert said is not None
    assert said.endswith("tuned on a, abc123/b, c together; train these alone to tune them on them")
    folds = Subset(None, ("1",)).warning(ENSEMBLE)
    assert folds is not None
    assert "on folds 0, 1, 2, " in folds
    assert folds.endswith("not on 1 alone")
