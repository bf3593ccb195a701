"""Downloads from a server of our own: resumed, checked, and cleaned up after."""

import hashlib
from pathlib import Path

import pytest

from foldwise.core.errors import UserError
from foldwise.sources.download import download
from foldwise.sources.settings import Download
from tests.server import CONTENT, Server

SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


def fetch(server: Server, folder: Path, checksum: str = SHA256, url: str | None = None) -> Path:
    wanted = Download(url=url or server.url, checksum=checksum)
    (path,) = download([wanted], folder, lambda chunks, total, what: iter(chunks))
    return path


def test_a_file_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    path = fetch(server, tmp_path)
    assert path.name == "file.tar"
    assert path.read_bytes() == CONTENT
    assert fetch(server, tmp_path) == path
    assert server.asked == [None]
    path.write_bytes(b"changed on disk")
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    md5 = "md5:" + hashlib.md5(CONTENT).hexdigest()
    assert fetch(server, tmp_path, md5) != path


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_goes_on_where_it_was(
    server: Server, tmp_path: Path, ranges: bool
) -> None:
    """Also with a server that knows no ranges: it sends all anew."""
    server.ranges = ranges
    server.hang_up_after = 2**20 + 7
    with pytest.raises(UserError, match=r"file\.tar: the connection failed .* run again to go on"):
        fetch(server, tmp_path)
    (part,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert CONTENT.startswith(part.read_bytes())
    size = part.stat().st_size
    assert size >= 2**20
    server.hang_up_after = None
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={size}-"]
    assert not part.exists()


def test_one_that_was_killed_before_the_check_is_not_downloaded_again(
    server: Server, tmp_path: Path
) -> None:
    path = fetch(server, tmp_path)
    path.rename(path.with_name("file.tar.part"))
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={len(CONTENT)}-"]


def test_of_a_wrong_file_nothing_is_kept(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(UserError, match=r"is not the file of checksum sha256:.*was deleted"):
        fetch(server, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    server.content = CONTENT
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_servers_that_lack_the_file_or_are_gone(server: Server, tmp_path: Path) -> None:
    missing = server.url.replace("file", "other")
    with pytest.raises(UserError, match=r"other\.tar: 404 .*check data\.downloads"):
        fetch(server, tmp_path, url=missing)
    with pytest.raises(UserError, match="the connection failed"):
        fetch(server, tmp_path, url="http://127.0.0.1:1/file.tar")
