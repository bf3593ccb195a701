"""Stage 1: bring any source into one form.

Reads `data` of params.yaml; writes data/images/, data/labels.parquet and data/dataset.json.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from stages import files
from stages.errors import UserError, run
from stages.images.decode import inspect
from stages.images.store import ImageWriter
from stages.params import read_params
from stages.progress import track
from stages.sources import dacon, glyphs
from stages.sources.source import Source

SOURCES = {"glyphs": glyphs.load, "dacon": dacon.load}

# Images in flight between reading and writing: bounds the memory, whatever the size of the set.
CHUNK = 256


def write_images(source: Source, writer: ImageWriter, pool: ThreadPoolExecutor) -> None:
    """Copy every image into the store, after decoding it once to be sure that it is one."""

    def read(position: int) -> tuple[bytes, int, int]:
        data = source.read(position)
        try:
            return data, *inspect(data)
        except ValueError as error:
            raise UserError(
                f"{source.label(position)}: {error}; replace it or remove it and its row"
            ) from None

    positions = range(len(source.ids))
    chunks = [positions[start : start + CHUNK] for start in positions[::CHUNK]]
    images = (image for chunk in chunks for image in pool.map(read, chunk))
    for id, (data, height, width) in zip(
        source.ids, track(images, len(positions), "fetch"), strict=True
    ):
        writer.add(id, data, height, width)


def main() -> None:
    data = read_params(build=True).data
    source = SOURCES[data.source](data)
    with (
        files.replacing(files.IMAGES) as temporary,
        ThreadPoolExecutor() as pool,
        ImageWriter(temporary) as writer,
    ):
        write_images(source, writer, pool)
    with files.replacing(files.LABELS) as temporary:
        source.table().to_parquet(temporary, index=False)
    files.write_json(
        files.DATASET,
        {
            "name": source.name,
            "task": source.task,
            "classes": source.classes,
            "images": dict(Counter(source.parts)),
            "submission": {"classes": source.classes} | source.submission,
            "origin": source.origin,
        },
    )


if __name__ == "__main__":
    run(main)
