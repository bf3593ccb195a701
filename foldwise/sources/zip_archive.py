"""Zip files, read in place."""

import bz2
import copy
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO

from foldwise.sources.archive_checks import (
    DAMAGED,
    Clipped,
    check_member_size,
    check_unpacked_size,
    checked_name,
    member_label,
)
from foldwise.sources.problems import Problems

PIECE = 2**20
"""Bytes that are unpacked at once: in one go, zipfile would unpack whatever there is before it
looks at how much was declared."""
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
ENCRYPTED, PATCHED, IS_UTF8 = 0x41, 0x20, 0x800
"""Flags of a member."""
UNICODE_PATH = 0x7075
"""Info-ZIP's extra field: the name in UTF-8, beside one in a code page."""
HEADER = 30
"""Bytes in front of a member's name, at the least."""


class Zip:
    """A zip file."""

    def __init__(self, path: Path, encoding: str | None) -> None:
        """
        Args:
            path: of the file.
            encoding: code page of names that are not said to be UTF-8.
        """
        self.path = path
        file = Clipped(path)
        self._file = zipfile.ZipFile(file)
        self._members: dict[str, zipfile.ZipInfo] = {}
        problems = Problems()
        members = self._file.infolist()
        for member, name in zip(members, self._named(members, encoding, problems), strict=True):
            if not name.endswith("/"):
                self._add(member, name, problems)
        self._check_overlap(file.size, problems)
        check_unpacked_size(problems, path, sum(each.file_size for each in self._members.values()))
        problems.check()

    def _named(
        self, members: list[zipfile.ZipInfo], encoding: str | None, problems: Problems
    ) -> Iterator[str]:
        """Each member's name; notes those in a code page that nobody has told."""
        unknown = []
        for member in members:
            name = decoded_name(member, encoding)
            if name is None:
                unknown.append(member.orig_filename)
                name = member.orig_filename
            yield name
        if unknown:
            example = unknown[0].encode("cp437")[:60].decode("ascii", "backslashreplace")
            tried = "as UTF-8" if encoding is None else f"in data.zip_encoding: {encoding}"
            problems.add(
                member_label(self.path, example),
                f"this name and {len(unknown) - 1} more cannot be read {tried}; set "
                "data.zip_encoding to the code page of the system that packed them (cp949, cp932, "
                "gbk, cp437, ...)",
            )

    def _add(self, member: zipfile.ZipInfo, name: str, problems: Problems) -> None:
        name = checked_name(problems, self.path, name, self._members)
        label = self.label(name)
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            problems.add(label, "is a link or a device; pack the file itself")
        if member.flag_bits & ENCRYPTED:
            problems.add(label, "is encrypted; unpack it and pack it without a password")
        elif member.compress_type not in METHODS or member.flag_bits & PATCHED:
            how = f"method {member.compress_type}"
            problems.add(label, f"is packed in a way that is not read ({how}); pack it by deflate")
        check_member_size(problems, label, member.file_size)
        self._members[name] = member

    def _check_overlap(self, size: int, problems: Problems) -> None:
        """Note members that share bytes, with which a small file holds any amount."""
        in_order = sorted(self._members.items(), key=lambda each: each[1].header_offset)
        spans = [
            (name, each.header_offset, each.header_offset + HEADER + each.compress_size)
            for name, each in in_order
        ]
        for name, start, end in spans:
            if start < 0 or end > size:
                problems.add(self.label(name), "lies outside of the archive; get it anew")
        for (name, _, end), (other, start, _) in pairwise(spans):
            if start < end:
                problems.add(self.label(name), f"shares bytes with {other}; pack it anew")

    def names(self) -> Iterable[str]:
        return self._members

    def read(self, name: str) -> bytes:
        try:
            return self._unpacked(self._members[name])
        except (*DAMAGED, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"cannot be unpacked ({reason[:200]})") from None

    def _unpacked(self, member: zipfile.ZipInfo) -> bytes:
        pieces = []
        left, checksum = member.file_size, 0
        for piece in self._pieces(member):
            pieces.append(piece)
            left -= len(piece)
            checksum = zlib.crc32(piece, checksum)
            if left < 0:
                break
        if left or checksum != member.CRC:
            raise zipfile.BadZipFile("other bytes than the archive says")
        return b"".join(pieces)

    def _pieces(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        """What a member unpacks to, `PIECE` bytes at most at once."""
        if member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            with self._file.open(member) as file:
                while piece := file.read(PIECE):
                    yield piece
            return
        # Of the other methods zipfile has no bound. It reads the bytes as if they were stored.
        packed = copy.copy(member)
        packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
        del packed.CRC
        with self._file.open(packed) as file:
            unpack: bz2.BZ2Decompressor | lzma.LZMADecompressor = bz2.BZ2Decompressor()
            if member.compress_type == zipfile.ZIP_LZMA:
                unpack = _lzma(file, member.file_size)
            while not unpack.eof:
                part = file.read(PIECE) if unpack.needs_input else b""
                piece = unpack.decompress(part, PIECE)
                if not piece and not part:
                    return
                yield piece

    def label(self, name: str) -> str:
        return member_label(self.path, name)


def _lzma(file: IO[bytes], size: int) -> lzma.LZMADecompressor:
    """Unpacks what follows the options in front of a member's LZMA stream.

    Its dictionary, for which memory is taken at once, need not be larger than the member.
    """
    _, options, dictionary = struct.unpack("<4sBI", file.read(9))
    filters = {
        "id": lzma.FILTER_LZMA1,
        "lc": options % 9,
        "lp": options // 9 % 5,
        "pb": options // 45,
        "dict_size": min(dictionary, max(size, 4096)),
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[filters])


def decoded_name(member: zipfile.ZipInfo, encoding: str | None) -> str | None:
    """A member's name, or None if it is in a code page that nobody has told.

    The extra field of Info-ZIP counts first, then `encoding`, then UTF-8, which many packers write
    without its flag.
    """
    if member.flag_bits & IS_UTF8:
        return member.orig_filename
    # zipfile has read it in a code page that gives every byte a character.
    raw = member.orig_filename.encode("cp437")
    try:
        if (name := _unicode_path(member.extra, raw)) is not None:
            return name
        return raw.decode(encoding or "utf-8")
    except UnicodeError:
        return None


def _unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in Info-ZIP's extra field, if there is one and it is of this member."""
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        field = extra[4 : 4 + size]
        # Version 1, and the checksum of the name that it stands beside.
        own = field[:5] == b"\x01" + zlib.crc32(raw).to_bytes(4, "little")
        if kind == UNICODE_PATH and own:
            return field[5:].decode()
        extra = extra[4 + size :]
    return None
