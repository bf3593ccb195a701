"""Every file that flows between stages: where it lies, how it is written and read."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pydantic import BaseModel

from foldwise.core.damage import damaged, reading, refuse_changed, run_by_dvc
from foldwise.core.dataset_file import DatasetFile
from foldwise.core.errors import UserError

T = TypeVar("T")

IMAGES = Path("data/images")
LABELS = Path("data/labels.parquet")
DATASET = Path("data/dataset.json")
CORRECTIONS = Path("corrections.csv")
CORRECTED = Path("data/corrected.csv")
FOLDS = Path("data/folds.csv")
DUPLICATES = Path("data/duplicates.csv")
EXTRA = Path("data/extra.csv")
LOOKS = Path("data/looks.json")
MODELS = Path("data/models")
PREDICTIONS = Path("data/predictions")
LAST_FEATURES = Path("data/features")
ENSEMBLE = Path("data/ensemble.npz")
OUT_OF_FOLD = Path("data/outoffold.npz")
MERGING = Path("data/ensemble.json")
DECISION = Path("data/decision.json")
CURVES = Path("plots/train")
FEATURES = Path(".features")
# Outside of DVC's outs, which DVC deletes before a stage runs.
CHECKPOINTS = Path(".checkpoints")
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
    except OSError as error:
        # A full disk names no file by itself, others the temporary one.
        if error.filename is None or str(error.filename) == str(temporary):
            error.filename = str(path)
        raise
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


def write_plot(path: Path, table: pd.DataFrame) -> None:
    """Write a table that `dvc plots` draws.

    DVC puts its texts unescaped into a page, where `<script>` in a class's name would be run: an
    invisible character (U+2060) behind such a `<` makes it text.
    """
    texts = table.select_dtypes(["object", "string"]).columns
    shown = {name: table[name].map(_inert) for name in texts}
    write_csv(path, table.assign(**shown))


MARKUP = re.compile(r"<(?=[A-Za-z/!?])")
JOINER = "\u2060"


def _inert(value: Any) -> Any:
    return MARKUP.sub("<" + JOINER, value) if isinstance(value, str) else value


def plain_text(value: str) -> str:
    """A text of a plot's table as it was before `write_plot`."""
    return value.replace("<" + JOINER, "<")


def write_labels(path: Path, table: pd.DataFrame) -> None:
    """Write the labels, each page with a checksum."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False, write_page_checksum=True)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays (.npz); nothing in them is pickled."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def checked_as(kind: type[BaseModel]) -> Callable[[Any], dict[str, Any]]:
    """A function that gives its argument back if it holds what `kind` asks for, and raises else."""

    def check(content: Any) -> dict[str, Any]:
        kind.model_validate(content)
        return content

    return check


class Arrays(dict[str, np.ndarray]):
    """Named arrays; one that is not there is one line, not a traceback."""

    def __init__(self, path: Path, stage: str, arrays: dict[str, np.ndarray]) -> None:
        super().__init__(arrays)
        self._path, self._stage = path, stage

    def __missing__(self, name: str) -> np.ndarray:
        raise damaged(self._path, f"it lacks `{name}`", self._stage)


def _made_by(path: Path, stage: str) -> Path:
    if not path.exists():
        raise UserError(f"{path}: no such file; `dvc repro {stage}` makes it")
    if run_by_dvc():
        refuse_changed([path])
    return path


def read_json(path: Path, stage: str, make: Callable[[Any], T] | None = None) -> T | Any:
    """Read what `stage` wrote.

    Args:
        path: of the file.
        stage: that writes it.
        make: what its content is made to; an error that this raises counts as damage.

    Raises:
        UserError: it is missing, no JSON, or `make` makes nothing of it.
    """
    with reading(_made_by(path, stage), stage):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if make is None else make(content)


def read_arrays(path: Path, stage: str) -> Arrays:
    """Read the named arrays that `stage` wrote. Raises `UserError` if they are not all intact."""
    # A zip file, every array with a CRC.
    with reading(_made_by(path, stage), stage), np.load(path, allow_pickle=False) as arrays:
        return Arrays(path, stage, dict(arrays))


def read_csv(path: Path, stage: str, columns: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a table that `stage` wrote, with pandas' options.

    Raises `UserError` if it is missing, no such table, or lacks one of the columns.
    """
    with reading(_made_by(path, stage), stage):
        table = pd.read_csv(path, **options)
        lacking = [name for name in columns if name not in table.columns]
        if lacking:
            raise ValueError(f"it has no column `{lacking[0]}`")
        return table


OWN_PARTS = ("train", "test")
EXTRA_PARTS = ("extra", "unlabelled")
"""Of extra data: never tested, never scored on."""


def read_labels(root: Path = Path()) -> pd.DataFrame:
    """`id`, `part`, `group` and `fold` where the source has them, then one column per class.

    Of the data set's own images, extra data's are not among them. Labels are 1, 0, -1 (ignore) or
    null (test, unlabelled).

    Raises:
        UserError: the file is missing or damaged.
    """
    return _labels_by_owner(root)[0]


def own_ids(root: Path = Path()) -> list[str]:
    """The ids of `read_labels`: the store has extra data's images too."""
    return read_labels(root)["id"].tolist()


def ids_of_test_part(folds: pd.DataFrame) -> list[str]:
    """The ids of own images that are not in the table of folds, in the order of `read_labels`."""
    divided = set(folds["id"])
    return [id for id in own_ids() if id not in divided]


def stored_extra(root: Path = Path()) -> pd.DataFrame:
    """The rows of extra data as `read_labels` gives the own, with their `source`."""
    return _labels_by_owner(root)[1]


def _labels_by_owner(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    path = root / LABELS
    with reading(_made_by(path, "fetch"), "fetch"):
        table = pq.read_table(path, page_checksum_verification=True).to_pandas()
        own = table["part"].isin(OWN_PARTS)
        if not (own | table["part"].isin(EXTRA_PARTS)).all() or not table["id"].is_unique:
            raise ValueError("its ids or parts are not what they were")
        if own.all():
            return table, table[~own].assign(source=pd.Series(dtype=object))
        return table[own].drop(columns="source"), table[~own].reset_index(drop=True)


def read_extra(root: Path = Path()) -> pd.DataFrame:
    """`id`, `part` (extra or unlabelled), `source` and classes of the extra images that are used.

    Those that `split` left out are not among them.

    Raises:
        UserError: a file is missing or damaged, or they are not of the same images.
    """
    stored = stored_extra(root)
    stored = stored.drop(columns=["group", "fold"], errors="ignore")
    if stored.empty:
        return stored
    kinds = {"id": str, "source": str, "left_out": str}
    told = read_csv(root / EXTRA, "split", list(kinds), dtype=kinds, keep_default_na=False)
    if told["id"].tolist() != stored["id"].tolist():
        raise damaged(root / EXTRA, "its images are not those of extra data", "split")
    return stored[(told["left_out"] == "").to_numpy()].reset_index(drop=True)


def labels_of(ids: Sequence[str] | np.ndarray, classes: Sequence[str], root: Path = Path()) -> Any:
    """The labels of images: a table (images, classes) of 1, 0, -1 or null, its index the ids.

    Raises:
        UserError: the file is missing or damaged, or of other images or classes.
    """
    table = read_labels(root).set_index("id")
    lacking = [each for each in classes if each not in table.columns]
    if lacking:
        raise damaged(root / LABELS, f"it has no class '{lacking[0]}'", "fetch")
    rows = table.index.get_indexer(pd.Index(ids))
    if (rows < 0).any():
        raise damaged(root / LABELS, f"it has no image '{ids[int(rows.argmin())]}'", "fetch")
    return table[list(classes)].iloc[rows]


def read_dataset(root: Path = Path()) -> dict[str, Any]:
    """Name, task, classes in order, counts and origin of the data set.

    Raises:
        UserError: the file is missing or damaged.
    """
    return read_json(root / DATASET, "fetch", checked_as(DatasetFile))


def read_folds(path: Path = FOLDS) -> pd.DataFrame:
    """`id` and `fold`, the fold that holds the image out, or -1: it is always trained on.

    Raises:
        UserError: the file is missing or damaged.
    """
    kinds = {"id": str, "fold": int}
    table = read_csv(path, "split", list(kinds), dtype=kinds, keep_default_na=False)
    with reading(path, "split"):
        if not table["id"].is_unique or (table["fold"] < -1).any():
            raise ValueError("its ids or folds are not what they were")
    return table


def folds_of(ids: Sequence[str] | np.ndarray) -> Any:
    """The fold that holds each image out; raises `UserError` if one is in none."""
    folds = read_folds().set_index("id")["fold"]
    rows = folds.index.get_indexer(pd.Index(ids))
    if (rows < 0).any():
        raise damaged(FOLDS, f"it has no image '{ids[int(rows.argmin())]}'", "split")
    return folds.iloc[rows]
