"""From a file's bytes to pixels."""

import io

import cv2
import numpy as np
import PIL.Image

# OpenCV's threads do not survive a fork: a worker process that inherits them hangs at its first
# call. Images are read side by side by processes, or by Python's threads, not within an image.
cv2.setNumThreads(0)


def inspect(data: bytes) -> tuple[int, int]:
    """Height and width in pixels, after decoding the whole image.

    Raises `ValueError` if the bytes are no image, or not all of one.
    """
    # Pillow refuses truncated files, which OpenCV decodes as far as they go.
    try:
        with PIL.Image.open(io.BytesIO(data)) as image:
            image.load()
    except PIL.UnidentifiedImageError:
        raise ValueError("is no image") from None
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ValueError(f"does not decode ({error})") from None
    pixels = decode(data, 1)
    return pixels.shape[0], pixels.shape[1]


def decode(data: bytes | np.ndarray, channels: int) -> np.ndarray:
    """Decode to an array (height, width, channels) of uint8: grey for one channel, else RGB.

    Raises `ValueError` if OpenCV cannot read the image.
    """
    flags = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("is in a format that OpenCV cannot decode")
    return pixels[:, :, None] if channels == 1 else pixels
