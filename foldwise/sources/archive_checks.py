"""What no archive may hold, and how much may be unpacked of one."""

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Container
from pathlib import Path, PurePosixPath

from foldwise.sources.problems import Problems

DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    # What the parsers of the standard library raise beside these for bytes that make no sense.
    ValueError,
    OverflowError,
    LookupError,
    RuntimeError,
    # A dictionary of gigabytes that LZMA is told to make room for.
    MemoryError,
)

# Images hardly compress; what unpacks to far more than itself was made to fill a disk.
MAX_RATIO = 200
SMALL = 100 * 2**20
"""Bytes that may be unpacked whatever the ratio: plain drawings compress well."""
LARGEST = 512 * 2**20
"""Bytes of any single file, which is read as a whole, and some of which are read at once."""
LONGEST = 1024
"""Characters of a path."""


class Clipped(io.BufferedReader):
    """A file whose `read` asks for no more than is there, whatever a header has declared.

    Memory is taken before anything is read: a length that lies would otherwise cost it all.
    """

    def __init__(self, file: Path | int) -> None:
        """
        Args:
            file: its path, or its descriptor, which is closed with it.
        """
        super().__init__(io.FileIO(file))
        self.size = self.seek(0, io.SEEK_END)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(0, self.size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))


def checked_name(problems: Problems, path: Path, name: str, taken: Container[str]) -> str:
    """A member's name without `.` and empty parts; notes one that no member may have.

    Args:
        problems: of the archive.
        path: of the archive.
        name: of the member, as the archive has it.
        taken: names before it.
    """
    label = member_label(path, name)
    parts = PurePosixPath(name).parts
    plain = "/".join(parts)
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        problems.add(label, "has an absolute or a Windows path; pack it anew from its folder")
    elif ".." in parts:
        problems.add(label, "leads out of the archive ('..'); pack it anew from its folder")
    elif not plain or len(name) > LONGEST:
        problems.add(label, f"has no name, or one over {LONGEST} characters; rename and pack anew")
    elif plain in taken:
        problems.add(label, "is in the archive twice; remove one")
    return plain


def member_label(path: Path, name: str) -> str:
    """How a person finds a member, or the archive itself if there is no name."""
    if len(name) > LONGEST:
        name = f"{name[:60]}..."
    return f"{path}: {name}" if name else str(path)


def check_member_size(problems: Problems, label: str, size: int) -> None:
    """Note a file that is larger than any may be."""
    if size > LARGEST:
        problems.add(label, too_large(size))


def too_large(size: int) -> str:
    """Why a file of so many bytes is refused."""
    return f"has {size / 2**20:.0f} MiB, over the {LARGEST // 2**20} of any single file; divide it"


def check_unpacked_size(problems: Problems, path: Path, unpacked: int) -> None:
    """Note an archive that would unpack to far more than itself."""
    if unpacked > SMALL and unpacked > MAX_RATIO * path.stat().st_size:
        problems.add(
            str(path),
            f"would unpack to {unpacked / 2**30:.1f} GiB, over {MAX_RATIO} times its size, as "
            "archives made to fill a disk do; unpack it yourself if you trust it",
        )
