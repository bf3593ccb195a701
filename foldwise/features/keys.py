"""Names of what is kept between runs: hashes of all that decides what is in it."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
"""What paths of code are relative to."""
LIBRARIES = (
    "albumentations",
    "efficientnet-pytorch",
    "lightning",
    "onnxruntime",
    "opencv-python-headless",
    "timm",
    "torch",
    "torchvision",
)


def key_of(code: Iterable[str], *parts: Any, root: Path = ROOT) -> str:
    """A name for what is kept between runs, which differs where the content would.

    Args:
        code: folders and files of ours that decide the content, from the repository's root; of
            folders all modules below them.
        parts: anything else that does, with a stable `repr`. Versions of libraries are among it
            anyway.
        root: of the repository.
    """
    named = [root / each for each in code]
    files = [path for each in named for path in (each.rglob("*.py") if each.is_dir() else [each])]
    content = sorted((path.relative_to(root).as_posix(), path.read_bytes()) for path in files)
    digest = hashlib.sha256()
    for part in (content, [version(each) for each in LIBRARIES], *parts):
        digest.update(repr(part).encode())
    return digest.hexdigest()[:16]
