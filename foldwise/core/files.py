"""Every file that flows between stages: where it lies, how it is written and read."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.core.errors import UserError

IMAGES = Path("data/images")
LABELS = Path("data/labels.parquet")
DATASET = Path("data/dataset.json")
FOLDS = Path("data/folds.csv")
DUPLICATES = Path("data/duplicates.csv")
MODELS = Path("data/models")
PREDICTIONS = Path("data/predictions")
ENSEMBLE = Path("data/ensemble.npz")
OUT_OF_FOLD = Path("data/outoffold.npz")
MERGING = Path("data/ensemble.json")
DECISION = Path("data/decision.json")
CURVES = Path("plots/train")
METRICS = Path("metrics")
PLOTS = Path("plots")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file or folder to write, which takes `path`'s place once all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    _remove(temporary)
    try:
        yield temporary
        if temporary.is_dir():
            _remove(path)
        temporary.replace(path)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that a person can read and git can diff."""
    with replacing(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file without the table's row index."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays (.npz); nothing in them is pickled."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _made_by(path: Path, stage: str) -> Path:
    if not path.exists():
        raise UserError(f"{path}: no such file; `dvc repro {stage}` makes it")
    return path


def read_json(path: Path, stage: str) -> Any:
    """Read what `stage` wrote."""
    return json.loads(_made_by(path, stage).read_text(encoding="utf-8"))


def read_arrays(path: Path, stage: str) -> dict[str, np.ndarray]:
    """Read the named arrays that `stage` wrote."""
    with np.load(_made_by(path, stage), allow_pickle=False) as arrays:
        return dict(arrays)


def read_labels(root: Path = Path()) -> pd.DataFrame:
    """`id`, `part`, `group` and `fold` where the source has them, then one column per class.

    Labels are 1, 0, -1 (ignore) or null (test, unlabelled).
    """
    return pd.read_parquet(_made_by(root / LABELS, "fetch"))


def read_dataset(root: Path = Path()) -> dict[str, Any]:
    """Name, task, classes in order, counts and origin of the data set."""
    return read_json(root / DATASET, "fetch")


def read_folds(path: Path = FOLDS) -> pd.DataFrame:
    """`id` and `fold`, the fold that holds the image out, or -1: it is always trained on."""
    return pd.read_csv(
        _made_by(path, "split"), dtype={"id": str, "fold": int}, keep_default_na=False
    )
