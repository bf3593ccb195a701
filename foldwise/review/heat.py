"""Heat maps on demand, made by a process of its own: the server itself needs no torch."""

import contextlib
import io
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context

import cv2
import numpy as np

from foldwise.core.errors import UserError
from foldwise.images.store import ImageStore
from foldwise.report.thumbnails import shrunk
from foldwise.review.pictures import LARGE, as_jpeg

Made = Callable[[str, int], bytes]


def under_heat(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """An image (height, width, 3) RGB of uint8 under its heat map (h, w) of 0 to 1, half
    transparent, in inferno's colours.

    >>> under_heat(np.full((2, 2, 3), 100, np.uint8), np.zeros((1, 1))).max()
    np.uint8(52)
    """
    size = pixels.shape[1::-1]
    stretched = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    grey = (stretched.clip(0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1]
    return cv2.addWeighted(np.ascontiguousarray(pixels), 0.5, np.ascontiguousarray(colours), 0.5, 0)


@contextmanager
def heat_maker(store: ImageStore, member: str, first_fold: int) -> Iterator[Made]:
    """What makes the JPEG file of an image, by its id, under the heat map of a class, by its index.

    Args:
        store: of the images.
        member: whose models are looked into.
        first_fold: whose model looks at the test part.
    """
    # Not forked: the server has threads, which a fork would not bring along.
    with ProcessPoolExecutor(
        1,
        mp_context=get_context("spawn"),
        # Ctrl-C reaches it as well; it ends when the server does.
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    ) as pool:

        def made(id: str, index: int) -> bytes:
            try:
                heat = pool.submit(_heat_of, id, index, member, first_fold).result()
            except BrokenProcessPool:
                raise UserError("heat maps: their process has ended; start again") from None
            pixels = shrunk(store.pixels(id, 3), LARGE)
            return as_jpeg(under_heat(pixels, heat))

        try:
            yield made
        finally:
            # Waited for: a pool that is left behind at the process's end never hears of it.
            pool.shutdown(cancel_futures=True)


def _heat_of(id: str, index: int, member: str, first_fold: int) -> np.ndarray:
    from foldwise.report.heatmaps import heat_maps_of

    # A line of progress per heat map would be no help.
    with contextlib.redirect_stderr(io.StringIO()):
        return heat_maps_of([(id, index)], member, first_fold)[id, index]
