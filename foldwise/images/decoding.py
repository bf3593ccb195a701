"""What a file's bytes leave open about its pixels, settled once for a whole data set."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foldwise.core.damage import reading

FILE = "decoding.json"
"""Beside a store's shards, where the decoding is another than the default."""

DEPTHS = range(8, 17)
"""Bits that samples of 16-bit files may be taken for."""


@dataclass(frozen=True)
class Decoding:
    """How images become pixels, the same in training and wherever a member is applied."""

    ground: tuple[int, int, int] = (255, 255, 255)
    """Red, green and blue, 0 to 255, that transparent pixels are laid on."""
    depth: int = 16
    """Bits of a sample where a file has more than 8 and does not say how many count: a sample of
    `2 ** depth - 1` is white, and so is all above it."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ground": list(self.ground)}

    @staticmethod
    def from_json(content: dict[str, Any] | None) -> "Decoding":
        """Of what `to_json` gave; the default for None, as older commits have it.

        Raises `ValueError` if it is anything else; further keys do not count.

        >>> Decoding.from_json({"ground": [0, 0, 0], "depth": 12})
        Decoding(ground=(0, 0, 0), depth=12)
        """
        if content is None:
            return Decoding()
        if not isinstance(content, dict):
            raise ValueError("`decoding` is no object of `ground` and `depth`")
        ground, depth = content.get("ground"), content.get("depth")
        if not isinstance(ground, list) or len(ground) != 3 or not all(map(_is_sample, ground)):
            raise ValueError("`ground` is not red, green and blue from 0 to 255")
        if type(depth) is not int or depth not in DEPTHS:
            raise ValueError(f"`depth` is not from {DEPTHS[0]} to {DEPTHS[-1]}")
        red, green, blue = ground
        return Decoding((red, green, blue), depth)


def _is_sample(value: Any) -> bool:
    # JSON's true is an int of Python's.
    return type(value) is int and 0 <= value <= 255


def depth_is_settled(content: dict[str, Any] | None) -> bool:
    """Whether a data set had samples, or a setting, that say how many bits count.

    Args:
        content: `decoding` of its dataset.json.

    >>> depth_is_settled({"ground": [0, 0, 0], "depth": 16, "deep_images": 0})
    False
    """
    if content is None:
        return False
    return content["depth"] != Decoding().depth or bool(content.get("deep_images"))


def read_decoding(folder: Path) -> Decoding:
    """The decoding of a store. Raises `UserError` if its file is damaged."""
    path = folder / FILE
    if not path.exists():
        return Decoding()
    with reading(path, "fetch"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content is None:
            raise ValueError("it holds nothing")
        return Decoding.from_json(content)


def write_decoding(folder: Path, decoding: Decoding) -> None:
    """Write it into the folder of a store; nothing where it is the default."""
    if decoding != Decoding():
        text = json.dumps(decoding.to_json(), indent=2)
        (folder / FILE).write_text(text + "\n", encoding="utf-8")
