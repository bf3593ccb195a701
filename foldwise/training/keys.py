"""Names for what is kept between runs: they differ where the content would."""

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = (
    "albumentations",
    "efficientnet-pytorch",
    "lightning",
    "opencv-python-headless",
    "timm",
    "torch",
    "torchvision",
)


def key_of(*parts: Any) -> str:
    """A hash of our code, the libraries' versions, and anything with a stable `repr`."""
    # A stage that was started as a program is `__main__`.
    ours = [name for name in sys.modules if name == "__main__" or name.startswith("stages.")]
    files = {name: getattr(sys.modules[name], "__file__", None) for name in ours}
    code = {name: Path(file).read_bytes() for name, file in files.items() if file}
    digest = hashlib.sha256()
    for part in (sorted(code.items()), [version(each) for each in LIBRARIES], *parts):
        digest.update(repr(part).encode())
    return digest.hexdigest()[:16]
