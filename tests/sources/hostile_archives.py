"""Archives that were made to do harm, or came to harm, and the few among them that can be read."""

import bz2
import gzip
import io
import lzma
import random
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
# Places of fields in an entry of a zip's directory, and in the header before a member.
VERSION, FLAGS, METHOD, CHECKSUM, PACKED, SIZE, NAME = 6, 8, 10, 16, 20, 24, 28
EXTRA, DISK, ATTRIBUTES, OFFSET = 30, 34, 38, 42
LOCAL_FLAGS = 6
MEMBERS = 2
"""Of a bomb."""

READ = {
    *("zip nested", "zip many", "zip bidi", "zip folder and file", "zip utf-8 without its flag"),
    *("zip other field", "zip case", "zip count", "zip disks", "zip field's length"),
    *("zip size below", "zip junk in front", "zip wide dictionary"),
    *("tar nested", "tar many", "tar.gz trailing", "tar.xz dictionary"),
}
"""What can be read; the rest is refused, at once or when a file of it is read."""


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return bytearray(file.getvalue())


def entries(data: bytes | bytearray, mark: bytes = CENTRAL) -> list[int]:
    """Where a zip's entries begin."""
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 4)
    return found


def patched(
    data: bytearray, place: int, value: bytes, mark: bytes = CENTRAL, which: int | None = None
) -> bytes:
    """The zip with a field of all its entries, or of one, overwritten."""
    at = entries(data, mark)
    for start in at if which is None else [at[which]]:
        data[start + place : start + place + len(value)] = value
    return bytes(data)


def named(raw: bytes, flag: int = 0) -> bytes:
    """A zip of one file whose name is these bytes."""
    data = bytearray(zipped({"n" * len(raw): b"x"}).replace(b"n" * len(raw), raw))
    flags = struct.pack("<H", flag)
    return patched(bytearray(patched(data, FLAGS, flags)), LOCAL_FLAGS, flags, LOCAL)


def with_field(name: str, kind: int, field: bytes) -> bytes:
    """A zip of one file with an extra field."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.extra = struct.pack("<HH", kind, len(field)) + field
        archive.writestr(member, b"x")
    return file.getvalue()


def link(target: str, mode: int = stat.S_IFLNK) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo("odd")
        member.external_attr = (mode | 0o777) << 16
        archive.writestr(member, target)
    return file.getvalue()


def zips(big: int) -> Iterator[tuple[str, bytes]]:
    plain = {"a.png": b"one", "b.png": b"two"}
    zeros = bytes(big)
    bomb = zipped({f"{index}.png": zeros for index in range(MEMBERS)}, zipfile.ZIP_DEFLATED)
    yield "zip bomb", bytes(bomb)
    for method in (8, 12, 14):
        lying = zipped({f"{index}.png": zeros for index in range(MEMBERS)}, method)
        yield f"zip lies {method}", patched(lying, SIZE, struct.pack("<I", 9))
    lying = bytearray(patched(bomb, SIZE, struct.pack("<I", 9)))
    # Of nine zeros, so that the sum agrees with what is declared.
    yield (
        "zip size below",
        patched(lying, CHECKSUM, struct.pack("<I", zlib.crc32(bytes(9)))),
    )
    for size in (4, 10**6, 2**32 - 2):
        deflated = zipped(plain, zipfile.ZIP_DEFLATED)
        yield f"zip size {size}", patched(deflated, SIZE, struct.pack("<I", size))
    wide = bytearray(with_field("a.png", 1, struct.pack("<Q", 2**60)))
    yield "zip zip64 size", patched(wide, SIZE, b"\xff\xff\xff\xff")
    wide = bytearray(with_field("a.png", 1, b"\x01"))
    yield "zip zip64 cut off", patched(wide, SIZE, b"\xff\xff\xff\xff")
    wide = bytearray(with_field("a.png", 1, struct.pack("<Q", 2**62)))
    yield "zip zip64 offset", patched(wide, OFFSET, b"\xff\xff\xff\xff")
    for name in ("../up", "/etc/passwd", "C:/x", "a\\b", "a/../../b", ".", "x" * 60000):
        yield f"zip name {name[:20]}", bytes(zipped({"ok.png": b"", name: b"x"}))
    for raw in (b"a\0b", b"a\nb", b"\x1b[2J"):
        yield f"zip name {raw!r}", named(raw)
    for raw in (b"\xff\xfe.png", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xc3"):
        yield f"zip utf-8 {raw!r}", named(raw, 0x800)
    yield "zip code page", named("\ud55c\uae00.png".encode("cp949"))
    yield "zip utf-8 without its flag", named("\ud55c\uae00.png".encode())
    yield "zip bidi", named("\u202eabc.png".encode(), 0x800)
    yield "zip link", link("/etc/passwd")
    yield "zip loop", link("odd")
    yield "zip device", link("", stat.S_IFCHR)
    yield "zip pipe", link("", stat.S_IFIFO)
    for method in (1, 6, 9, 93, 99, 65535):
        yield f"zip method {method}", patched(zipped(plain), METHOD, struct.pack("<H", method))
    for flags in (1, 0x41, 0x20):
        yield f"zip flags {flags}", patched(zipped(plain), FLAGS, struct.pack("<H", flags))
    yield "zip version", patched(zipped(plain), VERSION, struct.pack("<H", 999))
    twice = bytes(zipped({"aa.png": b"1", "bb.png": b"2"}))
    yield "zip twice", twice.replace(b"bb.png", b"aa.png")
    yield "zip twice by dots", bytes(zipped({"a.png": b"1", "./a.png": b"2"}))
    yield "zip case", bytes(zipped({"a.png": b"1", "A.png": b"2"}))
    yield "zip folder and file", bytes(zipped({"a": b"1", "a/b": b"2"}))
    shared = patched(zipped(plain), OFFSET, bytes(4))
    yield "zip overlap", shared
    yield "zip overlap of spans", patched(zipped(plain), PACKED, struct.pack("<I", 30), which=0)
    yield "zip far", patched(zipped(plain), OFFSET, struct.pack("<I", 10**9), which=1)
    yield "zip header", patched(zipped(plain), 0, b"XXXX", LOCAL, 0)
    yield "zip header's name", patched(zipped(plain), 30, b"q", LOCAL, 0)
    yield "zip header's lengths", patched(zipped(plain), 26, b"\xff\xff\xff\xff", LOCAL)
    yield "zip checksum", patched(zipped(plain), CHECKSUM, b"\0\0\0\0")
    for method in (8, 12, 14):
        content = bytes(range(256)) * 20
        data = zipped({"a.png": content}, method)
        yield f"zip garbage {method}", patched(data, 40, random.Random(1).randbytes(60), LOCAL)
    wide = zipped({"a.png": b"content of a file"}, zipfile.ZIP_LZMA)
    yield "zip wide dictionary", patched(wide, 40, b"\xff\xff\xff\xff", LOCAL)
    yield "zip lzma options", patched(zipped(plain, zipfile.ZIP_LZMA), 39, b"\xff", LOCAL)
    whole = bytes(zipped({"a.png": bytes(300), "b.png": bytes(300)}))
    for share in (0.05, 0.3, 0.6, 0.9, 0.99):
        yield f"zip cut {share}", whole[: int(len(whole) * share)]
    yield "zip count", patched(zipped(plain), 8, b"\xff\xff\xff\xff", END)
    yield "zip directory's size", patched(zipped(plain), 12, struct.pack("<I", 10**9), END)
    yield "zip directory's place", patched(zipped(plain), 16, struct.pack("<I", 10**9), END)
    yield "zip disks", patched(zipped(plain), 4, b"\x05\0\x05\0", END)
    yield "zip field's length", patched(zipped(plain), EXTRA, b"\x40\0", which=1)
    yield "zip empty", b""
    yield "zip noise", random.Random(2).randbytes(5000)
    yield "zip junk in front", b"#!/bin/sh\n" * 9 + whole
    yield "zip nested", bytes(zipped({"in.zip": bytes(bomb)}))
    yield "zip many", bytes(zipped({f"{index}.png": b"" for index in range(3000)}))
    comment = zipped(plain)
    comment[-2:] = b"\x08\0"
    yield "zip comment", bytes(comment) + END + b"more"
    wrong = struct.pack("<BI", 1, 7) + b"other.png"
    yield "zip other field", with_field("a.png", 0x7075, wrong)
    bad = struct.pack("<BI", 1, zlib.crc32(b"a.png")) + b"\xff"
    yield "zip field not utf-8", with_field("a.png", 0x7075, bad)
    up = struct.pack("<BI", 1, zlib.crc32(b"a.png")) + b"../../up"
    yield "zip field leads out", with_field("a.png", 0x7075, up)


def tarred(*members: tuple[str, bytes, dict[str, Any]], format: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for name, content, fields in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in fields.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def resummed(header: bytes) -> bytes:
    """A tar header with the checksum that it should have."""
    blank = header[:148] + b" " * 8 + header[156:512]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:] + header[512:]


def sized(number: bytes, kind: bytes = b"0") -> bytes:
    """A tar of one member whose header gives this size, and another behind it."""
    whole = tarred(("a.png", b"x", {}), ("b.png", b"y", {}))
    head = whole[:124] + number.ljust(12, b"\0")[:12] + whole[136:156] + kind + whole[157:512]
    return resummed(head) + whole[512:]


def tars(big: int) -> Iterator[tuple[str, bytes]]:
    plain: list[tuple[str, bytes, dict[str, Any]]] = [("a.png", b"1", {}), ("b.png", b"2", {})]
    whole = tarred(*plain)
    bomb = tarred(*((f"{index}.png", bytes(big), {}) for index in range(MEMBERS)))
    packers: dict[str, Callable[[bytes], bytes]]
    packers = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
    for name, pack in packers.items():
        packed = pack(bomb)
        yield f"tar.{name} bomb", packed
        yield f"tar.{name} cut", pack(whole)[:-20]
        yield f"tar.{name} noise", pack(whole)[:40] + random.Random(3).randbytes(100)
        yield f"tar.{name} none", b"no archive at all"
    # The checksum of the whole, and then bytes that belong to nothing.
    spoilt = bytearray(gzip.compress(whole))
    spoilt[-8] ^= 1
    yield "tar.gz checksum", bytes(spoilt)
    yield "tar.gz trailing", gzip.compress(whole) + bytes(512)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1536 * 2**20, "mode": lzma.MODE_FAST}]
    filters[0] |= {"mf": lzma.MF_HC3, "dict_size": 2**26}
    yield "tar.xz dictionary", lzma.compress(whole, filters=filters)
    for kind in ("SYMTYPE", "LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"):
        fields = {"type": getattr(tarfile, kind), "linkname": "odd"}
        yield f"tar {kind}", tarred(("odd", b"", fields))
    for name in ("../up", "/etc/passwd", "C:/x", "a\\b", "a\nb", "a\x1bb", "x" * 60000):
        yield f"tar name {name[:20]!r}", tarred(("ok.png", b"", {}), (name, b"x", {}))
    yield (
        "tar name not utf-8",
        whole.replace(b"a.png", b"\xff.png").replace(
            resummed(whole[:512])[148:156],
            resummed(whole.replace(b"a.png", b"\xff.png"))[148:156],
            1,
        ),
    )
    yield "tar twice", tarred(plain[0], plain[0])
    yield "tar twice by dots", tarred(plain[0], ("./a.png", b"", {}))
    yield "tar sparse", tarred(("a.png", bytes(512), {"type": tarfile.GNUTYPE_SPARSE}))
    pax = tarfile.PAX_FORMAT
    sparse = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**50)}
    yield "tar sparse by pax", tarred(("a.png", b"x", {"pax_headers": sparse}), format=pax)
    for size in ("-512", "-1536", str(2**62), "9" * 5000, "nan"):
        fields = {"pax_headers": {"size": size}}
        yield f"tar pax size {size[:9]}", tarred(plain[1], ("a.png", b"x", fields), format=pax)
    sizes = {
        "huge": b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7,
        "negative": b"\xff" * 10 + b"\xfe\0",
    }
    sizes |= {"back": b"\xff" * 10 + b"\xfa\0", "words": b"whatever", "1 GiB": b"10000000000"}
    for what, number in sizes.items():
        for letter in "0LxgS":
            yield f"tar size {what} {letter}", sized(number, letter.encode())
    yield "tar unknown kind", tarred(("a.png", b"x", {"type": b"Q"}))
    yield "tar checksum", whole[:5] + b"q" + whole[6:]
    yield "tar second header", whole[:1024] + b"q" * 100 + whole[1124:]
    yield "tar no end", whole[:2048]
    yield "tar cut", whole[:1300]
    yield "tar empty", b""
    yield "tar noise", random.Random(4).randbytes(5000)
    long = tarfile.TarInfo("x" * 200).tobuf(tarfile.GNU_FORMAT)[:1024]
    yield "tar chain of names", long * 3000 + whole
    yield "tar nested", tarred(("in.tar.gz", gzip.compress(bomb), {}))
    yield "tar many", tarred(*((f"{index}.png", b"", {}) for index in range(3000)))


def hostile_archives(big: int) -> dict[str, bytes]:
    """Archives by what is the matter with them; what comes before the blank is their suffix.

    Args:
        big: bytes that each member of a bomb unpacks to.
    """
    return dict([*zips(big), *tars(big)])
