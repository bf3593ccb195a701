"""Exported members: their files, and running them with onnxruntime alone."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from foldwise.core.errors import UserError
from foldwise.inference.onnx import open_session

SUFFIX = ".onnx"
REFUSALS = (errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph, errors.InvalidArgument)
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
    """Runs a graph: uint8 images to float32 logits (images, classes)."""
    graph = open_session(path, os.cpu_count() or 1)

    def run(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = graph.run(["logits"], {"images": images})[0]
        return found

    return run


def exported_members(folder: Path) -> dict[str, Any]:
    """What an export holds: any fold's metadata, once all folds of all members are there.

    Raises:
        UserError: files are missing, or of different exports.
    """
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
