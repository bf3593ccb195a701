"""Stage 1: bring any source into one form.

Reads `data` of params.yaml, and corrected labels if it names some; writes data/images/,
data/labels.parquet, data/dataset.json and, of labels that people looked at, data/corrected.csv.
"""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise.checks import check_params
from foldwise.composing.kept import Composed, composed_path, write_composed
from foldwise.core import files
from foldwise.core.corrected import CORRECTED_COLUMNS, corrected_counts
from foldwise.core.errors import UserError
from foldwise.core.program import run
from foldwise.core.progress import track
from foldwise.core.settings import read
from foldwise.images.decoding import Decoding, write_decoding
from foldwise.images.store import ImageWriter
from foldwise.sources.annotations import load_annotations
from foldwise.sources.class_names import check_names
from foldwise.sources.corrections import corrected, has_answers, refuse_unseen
from foldwise.sources.dacon import load_dacon
from foldwise.sources.depth import decoding_facts, settled_decoding
from foldwise.sources.download import download
from foldwise.sources.extra import as_extra, refuse_other_places, told_as_extra
from foldwise.sources.folder import load_folder
from foldwise.sources.glyphs.source import load_composed, load_glyphs, tested_glyphs
from foldwise.sources.images import load_images
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
OF_EXTRA = SOURCES | {"folder": partial(load_folder, lone=True), "images": load_images}


def files_of(data: Data) -> Tree:
    """The files that `data` names, downloaded or not."""
    paths = download(data.downloads, DOWNLOADS, track) if data.downloads else [Path(data.path)]
    return open_tree(paths, data.zip_encoding)


def open_source(data: Data, problems: Problems) -> Source:
    """The source that `data` names, its tables read and its images not."""
    source = SOURCES[data.source](data, files_of(data), problems)
    check_names(source, data.path)
    return source


@dataclass
class ExtraData:
    """What is made of one extra source."""

    name: str
    settings: Data
    problems: Problems
    source: Source | None = None
    """Of images that are stored."""
    composed: Composed | None = None
    """Of those that are not."""
    facts: dict[str, Any] = field(default_factory=dict)
    """For dataset.json."""


def open_extra(data: Data, ours: Source, problems: Problems) -> list[ExtraData]:
    """The extra sources in order of their names, their tables read and their images not."""
    if data.extra:
        # What is wrong with the data set comes first: extra sources are compared with it.
        problems.check()
        if "source" in ours.classes:
            raise UserError(f"{data.path}: class 'source': extra data needs this name; rename it")
    tested = None
    composing = any(each.source == "glyphs" for each in data.extra.values())
    if composing and data.source == "glyphs":
        tested = tested_glyphs(data, files_of(data), problems, DOWNLOADS)
    found = []
    for name in sorted(data.extra):
        refuse_other_places(data, name)
        own = data.of_extra(name)
        extra = ExtraData(name, own, Problems(skip=own.on_error == "skip"))
        with told_as_extra(name):
            tree = files_of(own)
            if own.source == "glyphs":
                extra.composed = load_composed(
                    data, name, tree, extra.problems, DOWNLOADS, ours, tested
                )
            else:
                source = OF_EXTRA[own.source](own, tree, extra.problems)
                extra.problems.check()
                extra.source, left_out = as_extra(source, data, name, ours, extra.problems)
                check_names(extra.source, own.path)
                extra.facts = {"without_class": left_out, "origin": source.origin}
        found.append(extra)
    return found


def store_extra(extra: ExtraData, folder: Path, writer: ImageWriter, known: Decoding) -> Any:
    """Store what is to be stored of an extra source; its rows of the labels, if it has any."""
    if extra.composed is not None:
        write_composed(composed_path(folder, extra.name), extra.composed)
        extra.facts |= {"composed_of": len(extra.composed.glyphs.labels)}
        extra.facts |= {"classes": extra.composed.glyphs.classes}
        return None
    assert extra.source is not None
    with told_as_extra(extra.name):
        kept = copy_images(extra.source, extra.settings.max_pixels, writer, extra.problems, known)
        extra.problems.check()
        if not kept:
            raise UserError(f"{extra.settings.path}: no image is left of data.extra.{extra.name}")
    downloads = [each.url for each in extra.settings.downloads]
    parts = Counter(extra.source.parts[position] for position in kept)
    extra.facts = {"images": {part: parts[part] for part in files.EXTRA_PARTS}} | extra.facts
    extra.facts |= {"downloads": downloads, "dropped": extra.problems.dropped}
    return extra.source.table(kept).assign(source=extra.name)


def correct(data: Data, source: Source, problems: Problems) -> tuple[Source, pd.DataFrame]:
    """The source with corrected labels, and those that people looked at."""
    if data.corrections is None:
        if has_answers(files.CORRECTIONS):
            print(
                f"warning: {files.CORRECTIONS}: has answers that change no label; set "
                f"data.corrections: {files.CORRECTIONS}",
                file=sys.stderr,
            )
        return source, pd.DataFrame(columns=CORRECTED_COLUMNS)
    # What is wrong with the data set comes first: rows that it lacks would be unknown here.
    problems.check()
    better, told = corrected(Path(data.corrections), source, problems)
    # Before all images are decoded.
    problems.check()
    return better, told


def refuse_lacking(labels: pd.DataFrame, source: Source, path: str, problems: Problems) -> None:
    """Raise `UserError` for a part without an image, and classes that no image shows."""
    for part in sorted({"train", *source.parts}):
        if not (labels["part"] == part).any():
            raise UserError(f"{path}: no image is left in the {part} part")
    shown = (labels.loc[labels["part"] == "train", source.classes] == 1).any()
    for name in shown.index[~shown]:
        problems.add(
            f"{path}: class '{name}'",
            "no image of the train part shows it; add some, or leave the class out",
        )
    problems.check()


def changed_labels(looked_at: pd.DataFrame) -> dict[str, int]:
    """For dataset.json: counts of what is another label now; empty if nothing is.

    All that trains depends on that file, so what was only confirmed is counted by `split`: it is to
    train nothing anew.
    """
    counts = corrected_counts(looked_at)
    told = ("images", "labels", "unknown") if counts["labels"] else ()
    return {name: counts[name] for name in told}


def main() -> None:
    data = read("data", Data)
    # What only a later stage would refuse is refused before the work begins.
    check_params(augment=True)
    refuse_unseen(data, files.CORRECTIONS)
    problems = Problems(skip=data.on_error == "skip")
    source, looked_at = correct(data, open_source(data, problems), problems)
    extras = open_extra(data, source, problems)
    with files.replacing(files.IMAGES) as temporary:
        with ImageWriter(temporary) as writer:
            known = Decoding(data.ground)
            kept = copy_images(source, data.max_pixels, writer, problems, known)
            decoding = settled_decoding(data, writer)
            problems.check()
            labels = source.table(kept)
            refuse_lacking(labels, source, data.path, problems)
            # Where the own images leave the depth open, extra ones may settle it.
            settled = bool(writer.deep) or data.depth != "auto"
            rows = [store_extra(each, temporary, writer, known) for each in extras]
        if not settled:
            decoding = settled_decoding(data, writer)
        write_decoding(temporary, decoding)
    stored = [each for each in rows if each is not None]
    if stored:
        labels = pd.concat([labels.assign(source=""), *stored], ignore_index=True)
    with files.replacing(files.LABELS) as temporary:
        labels.to_parquet(temporary, index=False)
    # Of images that were left out, nothing is handed on.
    looked_at = looked_at[looked_at["id"].isin(labels["id"])]
    files.write_csv(files.CORRECTED, looked_at)
    told: dict[str, Any] = {}
    if counts := changed_labels(looked_at):
        told["corrections"] = counts
    if extras:
        told["extra"] = {each.name: each.facts for each in extras}
    files.write_json(
        files.DATASET,
        {
            "name": source.name,
            "task": source.task,
            "classes": source.classes,
            "images": dict(Counter(source.parts[position] for position in kept)),
            "submission": {"columns": source.classes} | source.submission,
            "origin": source.origin | {"downloads": [each.url for each in data.downloads]},
            "dropped": problems.dropped,
        }
        | decoding_facts(decoding, writer)
        | told,
    )


if __name__ == "__main__":
    run(main)
