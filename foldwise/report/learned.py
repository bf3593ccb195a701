"""What a run learned from besides its own labelled rows, and what that gave it, in words."""

from typing import Any

import pandas as pd

from foldwise.charts.style import PARTS
from foldwise.evaluation.settings import Evaluate
from foldwise.revisions import shown

ALONE = "own rows alone"


def learned_from(params: Any) -> str:
    """Extra data and teachers of a run.

    Args:
        params: what its params.yaml holds, of whatever version; what is not there is not used.

    Returns:
        `ALONE`, or what came to them; where members differ, each one's.

    >>> extra = {"twin": {"per_epoch": 20000, "weight": 0.5}}
    >>> learned_from({"train": {"extra": extra}})
    'also twin (20,000 per epoch, weight 0.5)'
    >>> teacher = {"revision": "v1", "rows": ["train", "test"]}
    >>> models = {"a": {}, "b": {"train": {"teacher": teacher}}}
    >>> learned_from({"members": ["a", "b"], "models": models})
    'a: own rows alone | b: also teacher v1 (rows train, test)'
    """
    found = {name: _of(train, params) for name, train in _trains(params).items()}
    texts = list(dict.fromkeys(found.values()))
    if len(texts) == 1:
        return texts[0]
    return " | ".join(f"{name}: {text}" for name, text in found.items())


def kinds_of(params: Any) -> list[str]:
    """`extra data` and `teacher`, if any member learned from such.

    >>> kinds_of({"train": {"teacher": {"revision": "v1"}}})
    ['teacher']
    """
    trains = _trains(params).values()
    kinds = {"extra": "extra data", "teacher": "teacher"}
    return [word for key, word in kinds.items() if any(_below(each, key) for each in trains)]


def gains_over(settings: Evaluate, ladders: dict[str, pd.DataFrame], kinds: list[str]) -> list[str]:
    """What the run gains over its base, a line per part.

    Args:
        settings: which names the base, or none.
        ladders: by part its `step`, `gain`, `gain_low`, `gain_high` and `verdict`.
        kinds: as `kinds_of` has them.

    >>> rung = {"step": "against base v1", "gain": 0.01, "gain_low": -0.002, "gain_high": 0.022}
    >>> ladders = {"test": pd.DataFrame([rung | {"verdict": "within noise"}])}
    >>> settings = Evaluate(submission="labels.csv", base="v1")
    >>> gains_over(settings, ladders, ["extra data", "teacher"])
    ['Test: extra data and teacher add +0.0100 [-0.0020, +0.0220] to base v1: within noise.', ...]
    """
    if settings.base is None:
        return []
    what = f"{' and '.join(kinds)} add" if len(kinds) > 1 else f"{(kinds or ['this run'])[0]} adds"
    lines = [
        f"{PARTS[part].capitalize()}: {what} {row.gain:+.4f} [{row.gain_low:+.4f}, "
        f"{row.gain_high:+.4f}] to base {shown(settings.base)}: {row.verdict}."
        for part, ladder in ladders.items()
        for row in ladder[ladder["step"] == settings.base_step].itertuples()
    ]
    return [*lines, "Whatever else differs between the two runs is in it."] if lines else []


def _below(content: Any, *keys: str) -> dict[str, Any]:
    """What stands under the keys; nothing where something else does, or nothing."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def _trains(params: Any) -> dict[str, dict[str, Any]]:
    """By member, the section `train` with its overrides."""
    members = params.get("members") if isinstance(params, dict) else None
    names = [str(each) for each in members] if isinstance(members, list) and members else [""]
    common = _below(params, "train")
    return {name: common | _below(params, "models", name, "train") for name in names}


def _of(train: dict[str, Any], params: Any) -> str:
    found = [f"{name}{_in_brackets(own)}" for name, own in _below(train, "extra").items()]
    own_from = train.get("own_from")
    if found and own_from:
        found.append("own rows never" if own_from == 1 else f"own rows from {own_from} on")
    teacher = _below(train, "teacher")
    if teacher:
        said = dict(teacher)
        revision = str(said.pop("revision", None))
        rows = said.get("rows")
        if isinstance(rows, list):
            said["rows"] = ", ".join(_taught_rows(str(each), params) for each in rows)
        found.append(f"teacher {shown(revision)}{_in_brackets(said, '; ')}")
    return f"also {'; '.join(found)}" if found else ALONE


def _taught_rows(name: str, params: Any) -> str:
    """Rows that a teacher teaches; those without labels by the sources that may bring some."""
    extra = _below(params, "data", "extra")
    named = [each for each in extra if _below(extra, each).get("source") != "glyphs"]
    return f"{name} ({', '.join(named)})" if name == "unlabelled" and named else name


def _in_brackets(settings: Any, between: str = ", ") -> str:
    words = [
        f"{value:,} per epoch"
        if key == "per_epoch" and isinstance(value, int)
        else f"{key.replace('_', ' ')} {value}"
        for key, value in (settings.items() if isinstance(settings, dict) else ())
        if value is not None
    ]
    return f" ({between.join(words)})" if words else ""
