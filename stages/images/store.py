"""The Arrow image store: a few memory-mapped files instead of thousands of small ones.

Every row holds one image's original bytes, untouched, with its id, height, width and sha256.
"""

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from stages.errors import UserError
from stages.images.decode import decode

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.large_binary()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("sha256", pa.string()),
    ]
)
SHARD_BYTES = 512 * 10**6
BATCH_BYTES = 16 * 10**6


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
        self._rows: list[tuple[str, bytes, int, int, str]] = []
        self._pending = 0

    def add(self, id: str, data: bytes, height: int, width: int) -> None:
        """Append one image. Raises `UserError` if the id is taken."""
        if id in self._ids:
            raise UserError(f"image id '{id}': appears twice; give every image an id of its own")
        self._ids.add(id)
        shard_bytes, batch_bytes = self._limits
        if self._written + self._pending + len(data) > shard_bytes:
            self._close_shard()
        self._rows.append((id, data, height, width, hashlib.sha256(data).hexdigest()))
        self._pending += len(data)
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
        self._writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
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
        paths = sorted(folder.glob("shard-*.arrow"))
        if not paths:
            raise UserError(f"{folder}: holds no images; `dvc repro fetch` makes them")
        batches: list[pa.RecordBatch] = []
        for path in paths:
            try:
                reader = pa.ipc.open_file(pa.memory_map(str(path)))
                batches += [reader.get_batch(i) for i in range(reader.num_record_batches)]
            except pa.ArrowInvalid as error:
                raise UserError(f"{path}: is damaged ({error}); run `dvc repro fetch`") from None
        self._batches = batches
        self._images = [batch.column("image") for batch in batches]
        self._starts = np.cumsum([0] + [batch.num_rows for batch in batches])
        self.ids: list[str] = self._column("id")
        self._rows = {id: row for row, id in enumerate(self.ids)}

    def _column(self, name: str) -> list[str]:
        return [value for batch in self._batches for value in batch.column(name).to_pylist()]

    def sha256(self) -> dict[str, str]:
        """Every image's id and the sha256 of its bytes."""
        return dict(zip(self.ids, self._column("sha256"), strict=True))

    def __len__(self) -> int:
        return len(self.ids)

    def data(self, id: str) -> np.ndarray:
        """The image file's bytes, as an array of uint8 that shares the mapped memory."""
        row = self._rows[id]
        batch = int(np.searchsorted(self._starts, row, side="right")) - 1
        buffer = self._images[batch][row - int(self._starts[batch])].as_buffer()
        return np.frombuffer(buffer, np.uint8)

    def pixels(self, id: str, channels: int) -> np.ndarray:
        """The decoded image, an array (height, width, channels) of uint8."""
        return decode(self.data(id), channels)

    def __reduce__(self) -> tuple[type["ImageStore"], tuple[Path]]:
        return ImageStore, (self.folder,)
