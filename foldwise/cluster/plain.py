"""Checkpoints as JSON and safetensors: nothing that comes from a node can run anything here."""

import json
from collections import OrderedDict
from typing import Any

import safetensors.torch as st
import torch

TENSOR, TUPLE, PAIRS, ORDERED = "tensor", "tuple", "pairs", "ordered"


def packed(checkpoint: Any) -> tuple[bytes, bytes]:
    """A checkpoint's tree of plain values, as JSON, and its tensors, as safetensors.

    Args:
        checkpoint: of dicts, lists, tuples, numbers, strings, None and tensors.

    Raises:
        TypeError: it holds anything else.
    """
    tensors: dict[str, torch.Tensor] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            name = str(len(tensors))
            # Of its own memory: two names for one storage are refused.
            tensors[name] = value.detach().cpu().clone().contiguous()
            return {TENSOR: name}
        if isinstance(value, dict):
            kind = ORDERED if isinstance(value, OrderedDict) else PAIRS
            return {kind: [[plain(key), plain(each)] for key, each in value.items()]}
        if isinstance(value, tuple):
            return {TUPLE: [plain(each) for each in value]}
        if isinstance(value, list):
            return [plain(each) for each in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"a checkpoint holds {type(value).__name__}, which cannot travel")

    text = json.dumps(plain(checkpoint))
    return text.encode(), st.save(tensors)


def unpacked(text: bytes, tensors: bytes) -> Any:
    """What `packed` was given.

    Raises:
        ValueError: it is none of it.
    """
    loaded = st.load(tensors)

    def value(plain: Any) -> Any:
        if isinstance(plain, list):
            return [value(each) for each in plain]
        if not isinstance(plain, dict):
            return plain
        ((kind, content),) = plain.items()
        if kind == TENSOR:
            return loaded[content]
        if kind == TUPLE:
            return tuple(value(each) for each in content)
        if kind not in (PAIRS, ORDERED):
            raise ValueError(f"'{kind}' is no part of a checkpoint")
        pairs = [(value(key), value(each)) for key, each in content]
        return OrderedDict(pairs) if kind == ORDERED else dict(pairs)

    return value(json.loads(text))
