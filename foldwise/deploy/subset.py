"""Some members and folds of the finished ensemble: one small network to deploy, say."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from foldwise.core.errors import UserError


@dataclass(frozen=True)
class Subset:
    """Which members and folds; None: all."""

    members: tuple[str, ...] | None = None
    folds: tuple[str, ...] | None = None

    @classmethod
    def from_options(cls, members: str | None, folds: str | None) -> Self:
        """As they are typed, with commas between them; None: all.

        >>> Subset.from_options("cnn, vit", None)
        Subset(members=('cnn', 'vit'), folds=None)
        """
        return cls(_listed(members), _listed(folds))

    def of(self, ensemble: dict[str, Any]) -> dict[str, Any]:
        """The ensemble of these alone, in its own order: weights sum to 1 again.

        Args:
            ensemble: what data/ensemble.json holds.

        Raises:
            UserError: there is no such member or fold.

        >>> members = {"a": {"weight": 0.125}, "b": {"weight": 0.375}, "c": {"weight": 0.5}}
        >>> found = Subset(("a", "b"), ("1",)).of({"folds": [0, 1], "members": members})
        >>> found["folds"], {name: each["weight"] for name, each in found["members"].items()}
        ([1], {'a': 0.25, 'b': 0.75})
        """
        known = ensemble["members"]
        folds = {str(fold): fold for fold in ensemble["folds"]}
        named = _known(self.members, known, "member")
        kept = {name: known[name] for name in named}
        return ensemble | {
            "folds": [folds[each] for each in _known(self.folds, folds, "fold")],
            "members": kept if len(kept) == len(known) else _weighed(kept, known),
        }

    def warning(self, ensemble: dict[str, Any]) -> str | None:
        """What is to be said of a decision that was fitted to more; None if this is everything.

        >>> members = {"a": {"weight": 0.5}, "b": {"weight": 0.5}}
        >>> ensemble = {"folds": [0, 1], "members": members}
        >>> Subset(("a",)).warning(ensemble)
        'thresholds were tuned on a, b together; train a as the only member to tune them on it'
        >>> Subset(None, ("0", "1")).warning(ensemble) is None
        True
        """
        own = self.of(ensemble)
        members, folds = list(own["members"]), own["folds"]
        if len(members) < len(ensemble["members"]):
            alone = f"{members[0]} as the only member" if len(members) == 1 else "these alone"
            return (
                f"thresholds were tuned on {', '.join(ensemble['members'])} together; train "
                f"{alone} to tune them on {'it' if len(members) == 1 else 'them'}"
            )
        if len(folds) < len(ensemble["folds"]):
            return (
                f"thresholds were tuned on folds {_joined(ensemble['folds'])}, each on the images "
                f"that it holds out, not on {_joined(folds)} alone"
            )
        return None


def _listed(option: str | None) -> tuple[str, ...] | None:
    return None if option is None else tuple(each.strip() for each in option.split(","))


def _known(asked: Sequence[str] | None, known: Collection[str], what: str) -> list[str]:
    if asked is None:
        return list(known)
    for each in asked:
        if each not in known:
            raise UserError(f"--{what}s: there is no {what} '{each}'; there is {', '.join(known)}")
    return [each for each in known if each in asked]


def _joined(folds: Sequence[int]) -> str:
    return ", ".join(map(str, folds))


def _weighed(kept: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The kept members, which take part as all did; alike if none of them counted."""
    total = sum(each["weight"] for each in kept.values())
    weights = {
        name: each["weight"] / total if total > 0 else 1 / len(kept) for name, each in kept.items()
    }
    slopes = _stacked_slopes(kept, known)
    return {
        name: each | {"weight": weights[name]} | ({"slope": slopes[name]} if slopes else {})
        for name, each in kept.items()
    }


def _stacked_slopes(kept: dict[str, Any], known: dict[str, Any]) -> dict[str, list[float]]:
    """Slopes of a stack's members where only some are left; none where members aren't stacked.

    A stack is one regression per class, whose coefficients are the slopes over the number of
    members, and whose offset all members have: of some members the coefficients keep their sum,
    lest logits shrink or grow with what is left out.
    """
    lines = [(each.get("slope"), each.get("offset")) for each in known.values()]
    if any(slope is None or offset != lines[0][1] for slope, offset in lines):
        return {}
    mean = np.mean([slope for slope, _ in lines], 0)
    own = np.array([each["slope"] for each in kept.values()])
    # Of a class that none of them counts for all count alike.
    total = own.mean(0)
    scaled = np.where(total > 0, own * mean / np.where(total > 0, total, 1), mean)
    return {name: each.tolist() for name, each in zip(kept, scaled, strict=True)}
