"""Composed sources of extra data on disk: the glyphs and how images are made of them."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foldwise.composing.composer import Composer
from foldwise.composing.glyph_set import GlyphSet
from foldwise.composing.settings import Compose
from foldwise.core.damage import reading
from foldwise.core.files import read_arrays, write_arrays

PREFIX = "composed-"
STAGE = "fetch"
"""That writes them."""


@dataclass(frozen=True)
class Composed:
    """What images of one source are composed of while training, without end."""

    name: str
    glyphs: GlyphSet
    """Its classes are the data set's, by name: those that the glyphs have."""
    settings: Compose
    """As params.yaml has them."""
    seed: int
    distractors: np.ndarray | None
    """(characters, height, width) uint8, of no class."""
    fit: bool
    """The settings are where estimating the train part's look begins."""

    @property
    def stream(self) -> int:
        """Names the random stream: another for each name, and none that a data set's parts have."""
        return 2 + zlib.crc32(self.name.encode())

    def composer(self, look: Compose, *epoch: int) -> Composer:
        """A composer of images of this look; other ones in every epoch, if one is named."""
        stream = (self.stream, *epoch)
        return Composer(self.glyphs, look, self.seed, stream, self.distractors)


def composed_path(folder: Path, name: str) -> Path:
    """Where a composed source lies, in the folder of the image store."""
    return folder / f"{PREFIX}{name}.npz"


def write_composed(path: Path, composed: Composed) -> None:
    """Write a composed source."""
    about = {
        "name": composed.name,
        "glyphs": composed.glyphs.name,
        "classes": composed.glyphs.classes,
        "settings": composed.settings.model_dump(mode="json"),
        "seed": composed.seed,
        "fit": composed.fit,
    }
    arrays = {"glyphs": composed.glyphs.images, "labels": composed.glyphs.labels}
    if composed.distractors is not None:
        arrays["distractors"] = composed.distractors
    write_arrays(path, about=np.array(json.dumps(about, ensure_ascii=False)), **arrays)


def read_composed(path: Path) -> Composed:
    """Read a composed source. Raises `UserError` if the file is missing or damaged."""
    arrays = read_arrays(path, STAGE)
    about_text, images, labels = arrays["about"], arrays["glyphs"], arrays["labels"]
    with reading(path, STAGE):
        about = json.loads(str(about_text))
        classes = about["classes"]
        if len(images) != len(labels) or set(labels.tolist()) != set(range(len(classes))):
            raise ValueError("its glyphs are not those of its classes")
        return Composed(
            about["name"],
            GlyphSet(about["glyphs"], classes, images, labels),
            Compose.model_validate(about["settings"]),
            about["seed"],
            arrays.get("distractors"),
            about["fit"],
        )


def all_composed(folder: Path) -> dict[str, Composed]:
    """By name, in order of the names, the composed sources in the folder of an image store."""
    found = map(read_composed, sorted(folder.glob(composed_path(folder, "*").name)))
    return {each.name: each for each in found}
