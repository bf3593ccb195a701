"""Stage 1: bring any source into one form.

Reads `data` of params.yaml; writes data/images/, data/labels.parquet and data/dataset.json.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from foldwise.checks import check_params
from foldwise.core import files
from foldwise.core.errors import UserError
from foldwise.core.program import run
from foldwise.core.progress import track
from foldwise.core.settings import read
from foldwise.images.decoding import Decoding, write_decoding
from foldwise.images.store import ImageWriter
from foldwise.sources.annotations import load_annotations
from foldwise.sources.class_names import check_names
from foldwise.sources.dacon import load_dacon
from foldwise.sources.depth import decoding_facts, settled_decoding
from foldwise.sources.download import download
from foldwise.sources.folder import load_folder
from foldwise.sources.glyphs.source import load_glyphs
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source, copy_images
from foldwise.sources.table import load_table
from foldwise.sources.tree import Tree
from foldwise.sources.tree_mount import open_tree
from foldwise.sources.voc import load_voc

# Outside of DVC's outs and deps: what was downloaded once stays.
DOWNLOADS = Path(".downloads")

SOURCES: dict[str, Callable[[Data, Tree, Problems], Source]] = {
    "glyphs": partial(load_glyphs, keep=DOWNLOADS),
    "dacon": load_dacon,
    "voc": load_voc,
    "annotations": load_annotations,
    "table": load_table,
    "folder": load_folder,
}


def open_source(data: Data, problems: Problems) -> Source:
    """The source that `data` names, its tables read and its images not."""
    paths = download(data.downloads, DOWNLOADS, track) if data.downloads else [Path(data.path)]
    source = SOURCES[data.source](data, open_tree(paths, data.zip_encoding), problems)
    check_names(source, data.path)
    return source


def main() -> None:
    data = read("data", Data)
    # What only a later stage would refuse is refused before the work begins.
    check_params(augment=True)
    problems = Problems(skip=data.on_error == "skip")
    source = open_source(data, problems)
    with files.replacing(files.IMAGES) as temporary:
        with ImageWriter(temporary) as writer:
            known = Decoding(data.ground)
            kept = copy_images(source, data.max_pixels, writer, problems, known)
        decoding = settled_decoding(data, writer)
        write_decoding(temporary, decoding)
        problems.check()
        parts = Counter(source.parts[position] for position in kept)
        for part in sorted({"train", *source.parts}):
            if not parts[part]:
                raise UserError(f"{data.path}: no image is left in the {part} part")
        labels = source.table(kept)
        shown = (labels.loc[labels["part"] == "train", source.classes] == 1).any()
        for name in shown.index[~shown]:
            problems.add(
                f"{data.path}: class '{name}'",
                "no image of the train part shows it; add some, or leave the class out",
            )
        problems.check()
    with files.replacing(files.LABELS) as temporary:
        labels.to_parquet(temporary, index=False)
    files.write_json(
        files.DATASET,
        {
            "name": source.name,
            "task": source.task,
            "classes": source.classes,
            "images": dict(parts),
            "submission": {"columns": source.classes} | source.submission,
            "origin": source.origin | {"downloads": [each.url for each in data.downloads]},
            "dropped": problems.dropped,
        }
        | decoding_facts(decoding, writer),
    )


if __name__ == "__main__":
    run(main)
