"""Params by their keys with dots, as `dvc exp run -S` and dvc.yaml name them."""

import copy
import json
from typing import Any


def json_text(value: Any) -> str:
    """A value as JSON, keys sorted.

    >>> json_text({"b": [1], "a": None})
    '{"a": null, "b": [1]}'
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def with_value(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy of params with one key set, its sections made where they lack.

    >>> with_value({"train": {"loss": "bce"}}, "train.mixup", 0.2)
    {'train': {'loss': 'bce', 'mixup': 0.2}}
    """
    changed = copy.deepcopy(content)
    section = changed
    *parents, last = key.split(".")
    for name in parents:
        if not isinstance(section.get(name), dict):
            section[name] = {}
        section = section[name]
    section[last] = copy.deepcopy(value)
    return changed


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    """A copy of params that lacks one key.

    >>> without({"train": {"loss": "bce", "mixup": 0.2}}, "train.mixup")
    {'train': {'loss': 'bce'}}
    """
    changed = copy.deepcopy(content)
    section = changed
    *parents, last = key.split(".")
    for name in parents:
        section = found if isinstance(found := section.get(name), dict) else {}
    section.pop(last, None)
    return changed


def used(content: dict[str, Any], key: str) -> bool:
    """Whether a key is of no member, or of one that takes part.

    >>> used({"members": ["a"]}, "models.b.lr"), used({"members": ["a"]}, "lr")
    (False, True)
    """
    first, _, rest = key.partition(".")
    return first != "models" or rest.partition(".")[0] in content["members"]
