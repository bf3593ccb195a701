"""Names for what is kept between runs: they differ where the content would."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import lightning
import timm
import torch
import torchvision


def key_of(*parts: Any) -> str:
    """A hash of our code, the libraries' versions, and anything with a stable `repr`."""
    code = {
        name: Path(module.__file__).read_bytes()
        for name, module in sys.modules.items()
        if name.startswith("stages.") and module.__file__
    }
    libraries = [each.__version__ for each in (torch, torchvision, timm, lightning)]
    digest = hashlib.sha256()
    for part in (sorted(code.items()), libraries, *parts):
        digest.update(repr(part).encode())
    return digest.hexdigest()[:16]
