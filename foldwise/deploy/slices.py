"""Images in slices: what one of them gives depends on nothing but itself and the ensemble.

So any process may run any slice, and a slice whose process died may be run anew.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from foldwise.deploy.agreement import agreement
from foldwise.deploy.depths import DeepImages
from foldwise.deploy.ensemble import DeployedMember, FinishedEnsemble
from foldwise.deploy.items import Item
from foldwise.deploy.reading import ImageReader, ImageSource, ReadImage
from foldwise.ensembling.merge import merge_logits
from foldwise.images.decode import decode
from foldwise.model.geometry import as_input
from foldwise.scoring.probability import sigmoid


class Slice(NamedTuple):
    """Some images, one after the other in the listing."""

    number: int
    """From 0."""
    items: tuple[Item, ...]

    @property
    def digest(self) -> str:
        """Of its images' names and places, not of their content."""
        return hashlib.sha256(json.dumps(self.items).encode()).hexdigest()


class BadImage(NamedTuple):
    """An image that cannot be used."""

    image: str
    reason: str


class Done(NamedTuple):
    """What a slice gave."""

    number: int
    digest: str
    """Of the slice."""
    table: pa.Table
    """`image`, `labels` (one CSV line of class names), where it is promised, likewise
    `possible` and `certain` ones, and whether to `abstain`; `agreement`, then every class's
    probability."""
    bad: list[BadImage]
    """The images that the table does not have."""
    deep: DeepImages


class SliceRunner(Protocol):
    """Labels the images of a slice."""

    def __call__(self, slice: Slice, /) -> Done: ...


@dataclass
class Tally:
    """What all slices gave, in numbers."""

    images: int = 0
    """In tables."""
    bad: int = 0
    deep: DeepImages = field(default_factory=DeepImages)

    def add(self, images: int, bad: int, deep: DeepImages) -> None:
        """Count one more slice."""
        self.images += images
        self.bad += bad
        self.deep = self.deep.plus(deep)


def cut_up(items: Iterable[Item], size: int) -> Iterator[Slice]:
    """Slices of `size` images, the last one of what is left; no more than one is held."""
    rest = iter(items)
    number = 0
    while some := tuple(islice(rest, size)):
        yield Slice(number, some)
        number += 1


def whole_batches(size: int, batch_size: int) -> int:
    """The size of slices that are to have `size` images, and whose batches are to be whole.

    >>> whole_batches(1000, 64)
    1024
    """
    return -(-size // batch_size) * batch_size


class EnsembleRunner:
    """Runs slices through an ensemble, in this process."""

    def __init__(
        self,
        ensemble: FinishedEnsemble,
        pool: ThreadPoolExecutor,
        source: ImageSource | None = None,
    ) -> None:
        """
        Args:
            ensemble: what runs.
            pool: reads and decodes.
            source: of images' bytes; None: this machine's files, and stores.
        """
        self._ensemble, self._pool = ensemble, pool
        models = [member.model for member in ensemble.members]
        self._reader = ImageReader(pool, ensemble.max_pixels, models, source)

    def __call__(self, slice: Slice) -> Done:
        """Raises `UserError` if files cannot be read that hold more than one image."""
        tables, bad = [_schema(self._ensemble).empty_table()], []
        largest: list[int] = []
        size = self._ensemble.batch_size
        for start in range(0, len(slice.items), size):
            some = slice.items[start : start + size]
            names, good = [], []
            for item, read in zip(some, self._reader.read(some), strict=True):
                if isinstance(read, ReadImage):
                    names.append(_text(item.name))
                    good.append(read.data)
                    largest += [] if read.largest is None else [read.largest]
                else:
                    bad.append(BadImage(_text(item.name), _text(read)))
            if good:
                logits, agreed = predicted(good, self._ensemble, self._pool)
                tables.append(_table(self._ensemble, names, logits, agreed))
        deep = DeepImages.of(largest, self._ensemble.members)
        return Done(slice.number, slice.digest, pa.concat_tables(tables), bad, deep)


def pixels_for(data: bytes, member: DeployedMember) -> np.ndarray:
    """An image file as a member takes it."""
    return as_input(decode(data, member.model.channels, member.decoding), member.model)


def predicted(
    images: Sequence[bytes], ensemble: FinishedEnsemble, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the ensemble (images, classes), and the models' agreement (images,)."""
    joined, models = [], []
    for member in ensemble.members:
        pixels = np.stack(list(pool.map(lambda data: pixels_for(data, member), images)))  # noqa: B023  # done before the next member
        folds = [runner(pixels) for runner in member.folds]
        joined.append(merge_logits(folds, ensemble.folds_merge))
        models += folds
    logits = ensemble.merged(joined)
    return logits, agreement([ensemble.decision(each) for each in models])


def _schema(ensemble: FinishedEnsemble) -> pa.Schema:
    bounds = ensemble.decision.bounds
    texts = ["image", "labels", *([] if bounds is None else bounds.columns())]
    left = ["abstain"] if bounds is not None and bounds.abstains else []
    numbers = ["agreement", *ensemble.classes]
    kinds = ((texts, pa.string()), (left, pa.bool_()), (numbers, pa.float64()))
    return pa.schema([pa.field(name, kind) for names, kind in kinds for name in names])


def _table(
    ensemble: FinishedEnsemble, names: Sequence[str], logits: np.ndarray, agreed: np.ndarray
) -> pa.Table:
    decision = ensemble.decision
    calibrated = decision.calibrator(logits)
    bounds = decision.bounds
    marked = [] if bounds is None else bounds.marked(calibrated)
    texts = [[_csv_line(ensemble, own) for own in each] for each in (decision(logits), *marked)]
    left = [] if bounds is None or not bounds.abstains else [~bounds.decided(calibrated)]
    columns = [names, *texts, *left, agreed, *sigmoid(calibrated).T]
    schema = _schema(ensemble)
    arrays = [pa.array(each, kind) for each, kind in zip(columns, schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _csv_line(ensemble: FinishedEnsemble, labels: np.ndarray) -> str:
    line = io.StringIO()
    names = [ensemble.classes[index] for index in np.flatnonzero(labels)]
    csv.writer(line, lineterminator="").writerow(names)
    return line.getvalue()


def _text(name: str) -> str:
    """A name that is no UTF-8 must not cost the table."""
    return name.encode("utf-8", "backslashreplace").decode()
