"""The Arrow image store: a few large files instead of thousands of small ones.

Every row holds one image's original bytes, untouched, with its id, height, width, sha256 and
perceptual hash. How they become pixels stands beside the shards (`decoding.py`).
"""

import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa

from foldwise.core.damage import damaged, reading
from foldwise.core.errors import UserError
from foldwise.images.decode import Inspected, bits_of, decode
from foldwise.images.decoding import Decoding, read_decoding

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.large_binary()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("sha256", pa.string()),
        ("phash", pa.uint64()),
    ]
)
CRC = "crc"
"""Metadata of every batch."""
STAGE = "fetch"
"""That writes a store."""
SHARD_BYTES = 512 * 10**6
BATCH_BYTES = 16 * 10**6

Row = tuple[str, bytes, int, int, str, int]


def _facts_crc(batch: pa.RecordBatch) -> str:
    """CRC-32 of all columns but the images, which have a digest each."""
    crc = 0
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type):
            crc = zlib.crc32("\0".join(column.to_pylist()).encode(), crc)
        elif name != "image":
            crc = zlib.crc32(column.to_numpy().astype(np.uint64).tobytes(), crc)
    return str(crc)


class ImageWriter:
    """Writes a store, in memory no more than one batch; use it as a context manager."""

    def __init__(
        self, folder: Path, shard_bytes: int = SHARD_BYTES, batch_bytes: int = BATCH_BYTES
    ) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._limits = (shard_bytes, batch_bytes)
        self._shards = 0
        self._writer: pa.RecordBatchFileWriter | None = None
        self._written = 0
        self._ids: set[str] = set()
        self._rows: list[Row] = []
        self._pending = 0
        self.deep: Counter[int] = Counter()
        """Of images whose files do not say how many bits of a sample count: how many hold samples
        of so many bits."""
        self.largest = 0
        """The largest sample of these."""

    def add(self, id: str, data: bytes, seen: Inspected) -> None:
        """Append one image. Raises `UserError` if the id is taken."""
        if id in self._ids:
            raise UserError(f"image id '{id}': appears twice; give every image an id of its own")
        self._ids.add(id)
        shard_bytes, batch_bytes = self._limits
        if self._written + self._pending + len(data) > shard_bytes:
            self._close_shard()
        digest = hashlib.sha256(data).hexdigest()
        self._rows.append((id, data, seen.height, seen.width, digest, seen.phash))
        self._pending += len(data)
        if seen.largest is not None:
            self.deep[bits_of(seen.largest)] += 1
            self.largest = max(self.largest, seen.largest)
        if self._pending >= batch_bytes:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        if self._writer is None:
            path = self._folder / f"shard-{self._shards:05d}.arrow"
            self._writer = pa.ipc.new_file(path, SCHEMA)
            self._shards += 1
        columns = [
            pa.array(column, field.type)
            for column, field in zip(zip(*self._rows, strict=True), SCHEMA, strict=True)
        ]
        batch = pa.record_batch(columns, schema=SCHEMA)
        self._writer.write_batch(batch, custom_metadata={CRC: _facts_crc(batch)})
        self._written += self._pending
        self._rows, self._pending = [], 0

    def _close_shard(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
        self._writer, self._written = None, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_shard()


class ImageStore:
    """Random access to a store. Opened anew in every process that it is sent to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.decoding = read_decoding(folder)
        paths = sorted(folder.glob("shard-*.arrow"))
        if not paths:
            raise UserError(f"{folder}: holds no images; `dvc repro fetch` makes them")
        shards = [_Shard(path) for path in paths]
        self._files = [shard.file for shard in shards]
        counts = [len(shard.table) for shard in shards]
        self.table = pd.concat([shard.table for shard in shards], ignore_index=True)
        """`id`, `height`, `width`, `sha256` and `phash` of every image."""
        self.ids: list[str] = self.table["id"].tolist()
        self._rows = {id: row for row, id in enumerate(self.ids)}
        self._sha256: list[str] = self.table["sha256"].tolist()
        self._shard = np.repeat(np.arange(len(shards)), counts)
        self._start = np.concatenate([shard.start for shard in shards])
        self._size = np.concatenate([shard.size for shard in shards])

    def sha256(self) -> dict[str, str]:
        """Every image's id and a digest of its pixels' origin: what is kept of images goes by it.

        The sha256 of its bytes; of these and the decoding, where that is not the default.
        """
        digests = self.table["sha256"].tolist()
        if self.decoding != Decoding():
            how = json.dumps(self.decoding.to_json())
            digests = [hashlib.sha256((each + how).encode()).hexdigest() for each in digests]
        return dict(zip(self.ids, digests, strict=True))

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Iterable[str]) -> pd.DataFrame:
        """`height`, `width`, `sha256` and `phash` of these images, their ids the index.

        Raises `UserError` if one is not there.
        """
        wanted = list(ids)
        return self.table.set_index("id").iloc[[self._row(each) for each in wanted]]

    def _row(self, id: str) -> int:
        if id not in self._rows:
            raise damaged(self.folder, f"it has no image '{id}'", STAGE)
        return self._rows[id]

    def data(self, id: str) -> bytes:
        """The image file's bytes; raises `UserError` if they are not those that were stored."""
        row = self._row(id)
        # Not through the memory map: its pages would count as this process's memory until, after
        # an epoch, all of the store did. Forked workers may share the file: it is never sought in.
        file = self._files[self._shard[row]]
        data = os.pread(file.fileno(), int(self._size[row]), int(self._start[row]))
        if hashlib.sha256(data).hexdigest() != self._sha256[row]:
            raise damaged(Path(file.name), f"image '{id}' is not what it was", STAGE)
        return data

    def pixels(self, id: str, channels: int) -> np.ndarray:
        """The decoded image, an array (height, width, channels) of uint8."""
        return decode(self.data(id), channels, self.decoding)

    def __reduce__(self) -> tuple[type["ImageStore"], tuple[Path]]:
        return ImageStore, (self.folder,)


class _Shard:
    """One file of a store: everything but the images in memory, and where each image lies."""

    def __init__(self, path: Path) -> None:
        with reading(path, STAGE):
            self._index(path)
        self.file = path.open("rb")

    def _index(self, path: Path) -> None:
        mapped = pa.memory_map(str(path))
        reader = pa.ipc.open_file(mapped)
        batches = []
        for number in range(reader.num_record_batches):
            batch, metadata = reader.get_batch_with_custom_metadata(number)
            # Arrow trusts offsets until it is asked not to, and reads wherever they lead.
            batch.validate(full=True)
            if metadata is None or metadata.get(CRC.encode()) != _facts_crc(batch).encode():
                raise ValueError("what it says of its images is not what it was")
            batches.append(batch)
        mapped.seek(0)
        base = mapped.read_buffer().address
        starts, sizes = [], []
        for batch in batches:
            _, offsets, images = batch.column("image").buffers()
            bounds = np.frombuffer(offsets, np.int64)[: batch.num_rows + 1]
            # Arrow may leave the buffer out if all images of the batch are empty.
            starts.append((images.address - base if bounds[-1] else 0) + bounds[:-1])
            sizes.append(np.diff(bounds))
        self.start = np.concatenate(starts) if starts else np.empty(0, np.int64)
        self.size = np.concatenate(sizes) if sizes else np.empty(0, np.int64)
        names = [name for name in SCHEMA.names if name != "image"]
        self.table = pa.Table.from_batches(batches, SCHEMA).select(names).to_pandas()
        if not self.table["id"].is_unique:
            raise ValueError("two images have one id")
