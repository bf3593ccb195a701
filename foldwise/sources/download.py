"""Downloads that are checked, and that go on where they were cut off."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pooch
import requests
import urllib3

from foldwise.core.errors import UserError
from foldwise.sources.settings import Download

MEGABYTE = 2**20
TIMEOUT = 60
"""Seconds without a byte after which a server counts as gone."""

Track = Callable[[Iterable[bytes], int, str], Iterator[bytes]]
"""Shows progress over an iterable of so many items, with a title."""


def download(wanted: Sequence[Download], folder: Path, track: Track) -> list[Path]:
    """Files from the web, each at a path of its own below `folder`; those that are there stay.

    Pooch's own `retrieve` starts over after a kill, so of pooch only the checksums are used.

    Args:
        wanted: addresses and checksums.
        folder: keeps the files from run to run.
        track: shows progress in MiB.

    Raises:
        UserError: a server does not answer or does not have the file, the connection breaks (what
            has come is kept), or the file is not the one that the checksum is of (nothing is kept).
    """
    return [_one(each, folder, track) for each in wanted]


def _one(wanted: Download, folder: Path, track: Track) -> Path:
    # Another checksum is another file, though the address be the same.
    name = Path(unquote(urlsplit(wanted.url).path)).name
    path = folder / wanted.checksum.replace(":", "-") / name
    if path.exists() and _matches(path, wanted.checksum):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{name}.part")
    try:
        _receive(wanted.url, part, track)
    except requests.HTTPError as error:
        raise UserError(f"{wanted.url}: {error}; check data.downloads") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise UserError(
            f"{wanted.url}: the connection failed ({type(error).__name__}); run again to go on"
        ) from None
    if not _matches(part, wanted.checksum):
        part.unlink()
        raise UserError(
            f"{wanted.url}: is not the file of checksum {wanted.checksum}, so it was deleted; "
            "correct the checksum in data.downloads, or run again if the transfer went wrong"
        )
    part.replace(path)
    return path


def _matches(path: Path, checksum: str) -> bool:
    algorithm, _, expected = checksum.partition(":")
    return pooch.file_hash(path, alg=algorithm) == expected


def _receive(url: str, part: Path, track: Track) -> None:
    """Append to `part` what it lacks."""
    have = part.stat().st_size if part.exists() else 0
    # Compressed on its way, a file would have another length.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            # Nothing is missing: it was cut off between the last byte and the check.
            return
        answer.raise_for_status()
        missing = int(answer.headers.get("Content-Length", 0))
        chunks = track(
            answer.iter_content(MEGABYTE), -(-missing // MEGABYTE), f"download {part.stem} (MiB)"
        )
        goes_on = answer.status_code == requests.codes.partial_content
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in chunks:
                file.write(chunk)
