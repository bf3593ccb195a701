"""How a data set's images are decoded, settled once all of them have been seen."""

import sys
from typing import Any

from foldwise.images.decode import bits_of
from foldwise.images.decoding import Decoding
from foldwise.images.store import ImageWriter
from foldwise.sources.settings import Data


def settled_decoding(data: Data, images: ImageWriter) -> Decoding:
    """What `data.ground` and `data.depth` come to; a line on stderr where a depth is guessed.

    Args:
        data: the settings.
        images: of the store, all added.
    """
    deep = images.deep.total()
    if not deep:
        return Decoding(data.ground, Decoding().depth if data.depth == "auto" else data.depth)
    seen = f"{deep} images have 16-bit samples, the largest {images.largest}"
    if data.depth == "auto":
        depth = bits_of(images.largest)
        print(f"{seen}: taken for {depth} bits; data.depth says otherwise", file=sys.stderr)
        return Decoding(data.ground, depth)
    beyond = sum(count for bits, count in images.deep.items() if bits > data.depth)
    if beyond:
        print(
            f"{seen}: more than the {data.depth} bits of data.depth in {beyond} of them, where "
            "such samples become white",
            file=sys.stderr,
        )
    return Decoding(data.ground, data.depth)


def decoding_facts(decoding: Decoding, images: ImageWriter) -> dict[str, Any]:
    """What dataset.json says of it: nothing where nothing was open and nothing is set."""
    deep = images.deep.total()
    if decoding == Decoding() and not deep:
        return {}
    return {"decoding": decoding.to_json() | {"deep_images": deep}}
