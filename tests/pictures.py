"""Small images and data sets of them, made on the spot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from foldwise.images.decode import Inspected
from foldwise.images.store import ImageStore, ImageWriter
from foldwise.sources.problems import Problems
from foldwise.sources.settings import Data
from foldwise.sources.source import Source
from foldwise.sources.tree_mount import open_tree


def picture(number: int, suffix: str = ".png", side: int = 24) -> bytes:
    """An image file, another for each number."""
    pixels = np.random.default_rng(number).integers(0, 255, (side, side, 3), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def stored(folder: Path, shapes: list[tuple[int, int]]) -> ImageStore:
    """A store of noise: images of these heights and widths, called i0, i1, ..."""
    rng = np.random.default_rng(0)
    with ImageWriter(folder / "store") as writer:
        for index, (height, width) in enumerate(shapes):
            pixels = rng.integers(0, 255, (height, width, 3), np.uint8)
            data = cv2.imencode(".png", pixels)[1].tobytes()
            writer.add(f"i{index}", data, Inspected(height, width, 0))
    return ImageStore(folder / "store")


def write(root: Path, files: Mapping[str, bytes | str | int]) -> Path:
    """Write files below a folder; a number stands for the image of that number."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, int):
            content = picture(content, path.suffix)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def load(load_source: Any, data: dict[str, Any]) -> Source:
    """Load a source and raise what is wrong with it."""
    settings = Data.model_validate({"extra_path": "extra"} | data)
    problems = Problems(skip=settings.on_error == "skip")
    source: Source = load_source(settings, open_tree([Path(settings.path)]), problems)
    problems.check()
    return source
