"""Zip and tar files read in place, once it is sure that nothing in them is up to mischief."""

import errno
from pathlib import Path

from foldwise.core.errors import UserError
from foldwise.sources.archive_checks import DAMAGED
from foldwise.sources.tar_archive import Tar
from foldwise.sources.zip_archive import Zip

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
KINDS = (
    # What it is, the suffixes that say so, and where in the file which bytes do.
    ("a zip", (".zip",), 0, b"PK\x03\x04"),
    ("a gzip", (".tar.gz", ".tgz"), 0, b"\x1f\x8b"),
    ("a bzip2", (".tar.bz2",), 0, b"BZh"),
    ("an xz", (".tar.xz",), 0, b"\xfd7zXZ\x00"),
    ("a plain tar", (".tar",), 257, b"ustar"),
)


def is_archive(name: str) -> str:
    """The name without an archive's suffix, or nothing if it has none."""
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return ""


def open_archive(path: Path, zip_encoding: str | None = None) -> Zip | Tar:
    """Open an archive to read from.

    Args:
        path: of the archive.
        zip_encoding: code page of a zip's names that are not said to be UTF-8.

    Raises `UserError` with everything unsafe in it: absolute or `..` paths, links, devices,
    encrypted or repeated files, names in an unknown code page, and contents out of proportion; or
    with what is wrong with the archive itself: damage, or the name of another kind.
    """
    try:
        return Zip(path, zip_encoding) if path.name.lower().endswith(".zip") else Tar(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        # bz2 and gzip raise it too, without a number, for what they cannot decompress; and the
        # system, for places beyond any file.
        if error.errno not in (None, errno.EINVAL):
            raise UserError(f"{path}: cannot be read ({error.strerror}); see to it") from None
        reason = "is damaged"
    except NotImplementedError as error:
        # A RuntimeError to Python; zipfile knows what it cannot read.
        raise UserError(f"{path}: cannot be unpacked ({error}); pack it anew") from None
    except DAMAGED:
        reason = "is damaged, or is no such archive"
    raise UserError(_misnamed(path) or f"{path}: {reason}; get it anew")


def _misnamed(path: Path) -> str:
    """What to say of an archive that its content shows to be of another kind than its name."""
    with path.open("rb") as file:
        start = file.read(512)
    said = next(kind for kind, suffixes, *_ in KINDS if path.name.lower().endswith(suffixes))
    for kind, suffixes, at, magic in KINDS:
        if start[at:].startswith(magic) and kind != said:
            return (
                f"{path}: is {kind} file by its content, not {said} file; rename it to end in "
                f"{suffixes[0]}"
            )
    return ""
