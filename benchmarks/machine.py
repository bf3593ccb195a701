"""What a benchmark ran on."""

import os
import platform
import re
from pathlib import Path


def machine() -> str:
    """The processor, how many of its cores may be used, and the versions of Python and torch."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    name = found[1] if found else platform.processor()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}."
