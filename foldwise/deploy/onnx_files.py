"""Exported members: their files, and running them with onnxruntime alone."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from foldwise.core.damage import file_sum
from foldwise.core.errors import UserError
from foldwise.inference.finite import check_finite
from foldwise.inference.onnx import open_session

SUFFIX = ".onnx"
SUMS = "SHA256SUMS"
"""Of an export's files, as `sha256sum --check` takes them."""
REFUSALS = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NotImplemented,
    errors.RuntimeException,
)
"""What onnxruntime raises for a file that it cannot load."""


def fold_file(folder: Path, member: str, fold: int) -> Path:
    """Where the graph of one member and fold lies."""
    return folder / member / f"{fold}{SUFFIX}"


def member_file(folder: Path, member: str) -> Path:
    """Where the graph of a member that merges its folds lies."""
    return folder / f"{member}{SUFFIX}"


def metadata(path: Path) -> dict[str, Any]:
    """What `export` wrote beside a graph.

    Raises:
        UserError: the file is missing, or none of ours.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; `python -m foldwise export` makes it")
    try:
        entries = open_session(path, os.cpu_count() or 1).get_modelmeta().custom_metadata_map
        return json.loads(entries["foldwise"])
    except (*REFUSALS, KeyError, ValueError) as error:
        raise UserError(f"{path}: is no exported member ({error}); export it anew") from None


def graph_runner(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Runs a graph: uint8 images to float32 logits (images, classes).

    What it gives back raises `UserError` if some logits are no finite numbers.
    """
    graph = open_session(path, os.cpu_count() or 1)

    def run(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = graph.run(["logits"], {"images": images})[0]
        return check_finite(found, str(path))

    return run


def write_sums(folder: Path) -> None:
    """Write the sums of all graphs below a folder, beside them."""
    paths = sorted(folder.rglob(f"*{SUFFIX}"))
    lines = [f"{file_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> None:
    """Compare an export with its sums; those of older versions have none.

    Raises:
        UserError: a file is missing, or is not what was exported.
    """
    path = folder / SUMS
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = [line.partition("  ") for line in lines]
    named = {name: digest for digest, _, name in pairs}
    for each in sorted(folder.rglob(f"*{SUFFIX}")):
        if each.relative_to(folder).as_posix() not in named:
            raise UserError(f"{each}: is not named in {path}; copy the export anew, or export anew")
    for name, digest in named.items():
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file; copy the export anew, or export anew")
        if file_sum(folder / name) != digest:
            raise UserError(
                f"{folder / name}: is damaged, by its sum in {path}; copy the export anew, or "
                "export anew"
            )


def exported_members(folder: Path) -> dict[str, Any]:
    """What an export holds: any fold's metadata, once all folds of all members are there.

    Raises:
        UserError: files are missing, damaged, or of different exports.
    """
    check_sums(folder)
    paths = sorted(folder.rglob(f"*{SUFFIX}"))
    if not paths:
        raise UserError(
            f"{folder}: holds no exported member; `python -m foldwise export` makes them"
        )
    first = metadata(paths[0])
    for member in first["ensemble"]["members"]:
        for fold in first["ensemble"]["folds"]:
            path = fold_file(folder, member, fold)
            if metadata(path)["export"] != first["export"]:
                raise UserError(f"{path}: is of another export than {paths[0]}; export all anew")
    return first
