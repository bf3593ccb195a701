"""Which ensemble it is: a digest of all that decides what an image gets."""

import hashlib
import json
from pathlib import Path
from typing import Any

from foldwise.core import files
from foldwise.core.damage import file_sum
from foldwise.core.settings import Count, read
from foldwise.deploy.ensemble import fold_folders, member_decoding, read_decision, read_ensemble
from foldwise.deploy.onnx_files import exported_members, fold_file
from foldwise.deploy.subset import Subset
from foldwise.images.decode import MAX_PIXELS


def torch_digest(temporary: Path, subset: Subset) -> str:
    """Of the ensemble that `torch_ensemble` loads; arguments and errors are the same."""
    ensemble = subset.of(read_ensemble())
    sums = {
        name: [_sums(folder) for folder in fold_folders(name, ensemble["folds"], temporary)]
        for name in ensemble["members"]
    }
    decoding = {name: member_decoding(name, temporary).to_json() for name in ensemble["members"]}
    return _digest(
        ensemble=ensemble,
        sums=sums,
        decoding=decoding,
        classes=files.read_dataset()["classes"],
        decision=read_decision().as_json(),
        max_pixels=read("data.max_pixels", Count, MAX_PIXELS),
    )


def onnx_digest(folder: Path, subset: Subset) -> str:
    """Of the ensemble that `onnx_ensemble` loads; arguments and errors are the same."""
    ensemble = subset.of(exported_members(folder)["ensemble"])
    # A graph holds classes, decoding and the decision as well.
    sums = {
        name: [file_sum(fold_file(folder, name, fold)) for fold in ensemble["folds"]]
        for name in ensemble["members"]
    }
    return _digest(onnx=True, ensemble=ensemble, sums=sums, max_pixels=MAX_PIXELS)


def _sums(folder: Path) -> dict[str, str]:
    return {path.name: file_sum(path) for path in sorted(folder.iterdir()) if path.is_file()}


def _digest(**content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
