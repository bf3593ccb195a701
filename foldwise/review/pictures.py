"""Images as a browser shows them, one at a time from the store."""

import cv2
import numpy as np

from foldwise.images.decode import decode
from foldwise.images.headers import JPEG, plain
from foldwise.images.store import ImageStore
from foldwise.report.thumbnails import shrunk

LARGE = 1600
"""Longest side of an image, in pixels."""
AS_IT_IS = 1_500_000
"""Bytes up to which a plain file is sent untouched."""
QUALITY = 90
"""Of JPEG, 0 to 100."""


def shown_picture(store: ImageStore, id: str, side: int = LARGE) -> tuple[str, bytes]:
    """The media type and the bytes of an image that any browser shows as it was trained on.

    The file itself where it is plain and small; else its pixels as JPEG, the longer side `side` at
    most.

    Args:
        store: of the images.
        id: of one of them.
        side: in pixels.

    Raises:
        UserError: it is not what was stored.
    """
    data = store.data(id)
    header = plain(data)
    if header and len(data) <= AS_IT_IS and max(header.height, header.width) <= side:
        return ("image/jpeg" if data.startswith(JPEG) else "image/png"), data
    pixels = decode(data, 3, store.decoding)
    return "image/jpeg", as_jpeg(shrunk(pixels, side))


def as_jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG file of an image (height, width, 3), RGB of uint8.

    >>> as_jpeg(np.zeros((4, 4, 3), np.uint8))[:3] == JPEG
    True
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), options)[1].tobytes()
