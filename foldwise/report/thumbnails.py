"""Small pictures, as many and as large as fit."""

import base64
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from foldwise.images.decode import decode
from foldwise.images.decoding import Decoding
from foldwise.images.headers import JPEG, plain
from foldwise.images.store import ImageStore

SIDES = (192, 160, 128, 112, 96, 80, 64)
"""Longer sides in pixels, of which the largest is taken that fits."""
QUALITY = 72
"""Of WebP, 0 to 100."""
SAMPLE = 48
"""Pictures by which a side's size is foretold."""
# Of a JPEG file OpenCV can decode a half, a quarter or an eighth, in a fraction of the time.
REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}

Key = tuple[str, int | None]


@dataclass(frozen=True)
class Thumbnails:
    """Pictures of one longer side, in base64."""

    side: int
    encoded: list[str]

    @property
    def size(self) -> int:
        """Bytes in a page, with what stands between them."""
        return sum(len(each) + 3 for each in self.encoded)


def small(
    data: bytes,
    height: int,
    width: int,
    heat: np.ndarray | None = None,
    decoding: Decoding | None = None,
) -> np.ndarray:
    """An image file as (height, width, 3) BGR of uint8, its longer side `SIDES[0]` at most.

    Args:
        data: the file.
        height: of the image in pixels, as `width`.
        heat: (h, w) of 0 to 1, laid over it in inferno's colours, half transparent.
        decoding: of the data set; the default where it is None.
    """
    pixels = _reduced(data, max(height, width))
    if pixels is None:
        pixels = np.ascontiguousarray(decode(data, 3, decoding)[..., ::-1])
    pixels = shrunk(pixels, SIDES[0])
    if heat is None:
        return pixels
    stretched = cv2.resize(heat, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((stretched.clip(0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return cv2.addWeighted(pixels, 0.5, colours, 0.5, 0)


def _reduced(data: bytes, longest: int) -> np.ndarray | None:
    """A large JPEG file whose header is plain as BGR, at least `SIDES[0]` long; None for others."""
    header = plain(data) if data.startswith(JPEG) else None
    step = next((each for each in REDUCED if longest >= each * SIDES[0]), None)
    # Where it may be turned all of it is decoded: OpenCV knows one place of an orientation.
    if header is None or header.may_turn or step is None:
        return None
    return cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[step])


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """The image with its longer side at most this long; never larger than it was."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def encode(pixels: np.ndarray, side: int) -> str:
    """The image as WebP in base64, its longer side at most this long."""
    done, data = cv2.imencode(".webp", shrunk(pixels, side), [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"an image of {pixels.shape} pixels cannot be written as WebP")
    return base64.b64encode(data.tobytes()).decode("ascii")


def fitting(images: list[np.ndarray], room: int) -> Thumbnails:
    """All of the images, as large as they fit into so many bytes; else as small as may be.

    Args:
        images: arrays (height, width, 3) BGR of uint8.
        room: bytes.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:

        def all_of(chosen: list[np.ndarray], side: int) -> Thumbnails:
            return Thumbnails(side, list(threads.map(lambda each: encode(each, side), chosen)))

        sample = images[:: max(1, len(images) // SAMPLE)]
        for side in SIDES[:-1]:
            foretold = all_of(sample, side).size * len(images) / max(1, len(sample))
            if foretold <= room:
                found = all_of(images, side)
                if found.size <= room:
                    return found
        return all_of(images, SIDES[-1])


def small_pictures(
    store: ImageStore, keys: list[Key], heatmaps: Mapping[tuple[str, int], np.ndarray]
) -> Iterator[np.ndarray]:
    """`small` of every image, side by side, in order.

    Args:
        store: of the images.
        keys: an image's id, and the class whose heat map is laid over it or None.
        heatmaps: of an id and a class, (h, w) of 0 to 1.
    """
    shapes = store.table.set_index("id")[["height", "width"]]
    sizes = shapes.loc[[id for id, _ in keys]].itertuples(index=False, name=None)

    def read(key: Key, size: tuple[int, int]) -> np.ndarray:
        id, index = key
        height, width = size
        heat = None if index is None else heatmaps[id, index]
        return small(store.data(id), height, width, heat, store.decoding)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        yield from threads.map(read, keys, sizes)
