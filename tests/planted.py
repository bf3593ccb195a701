"""Files that run code when they are read carelessly: each leaves a mark if it did."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Payload:
    """What a pickle that somebody else made may hold: unpickling it writes the mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.write_text, (self.mark, "ran")


def disguises(mark: Path) -> dict[str, bytes]:
    """The payload as files of several kinds."""
    evil = Payload(mark)
    # As they are written; torch's readers want a dictionary of weights, or of a checkpoint's parts.
    parts = ("epoch", "state_dict", "loops", "callbacks", "optimizer_states", "lr_schedulers")
    found = {"pickle": pickle.dumps(evil), "pickle of a dictionary": pickle.dumps({"a": evil})}
    for name, old in (("torch", False), ("old torch", True)):
        buffer = io.BytesIO()
        content = dict.fromkeys(parts, evil) | {"fc.weight": torch.zeros(1), "evil": evil}
        torch.save(content, buffer, _use_new_zipfile_serialization=not old)
        found[name] = buffer.getvalue()
    array = np.empty(1, object)
    array[0] = evil
    for name, save in (("npy", np.save), ("npz", _save_npz)):
        buffer = io.BytesIO()
        save(buffer, array, allow_pickle=True)
        found[name] = buffer.getvalue()
    found["yaml"] = f'!!python/object/apply:pathlib.Path.write_text [{mark}, "ran"]\n'.encode()
    found["json"] = f'{{"py/reduce": [{{"py/function": "os.mkdir"}}, ["{mark}"]]}}'.encode()
    return found


def _save_npz(file: io.BytesIO, array: np.ndarray, allow_pickle: bool) -> None:
    names = ("views", "oof_id", "oof_logits", "test_id", "test_logits", "logits", "labels")
    np.savez(file, allow_pickle=allow_pickle, **dict.fromkeys(names, array))
