"""The server answers its own page, and no other one."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from foldwise.core.errors import UserError
from foldwise.review.server import MOST_BYTES, ReviewServer
from tests.review.made import made_run, serving, session_of


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReviewServer]:
    with serving(session_of(made_run(tmp_path / "run", False))) as made:
        yield made


class Asker:
    """Sends what any program could."""

    def __init__(self, server: ReviewServer) -> None:
        self.server = server
        self.host = f"127.0.0.1:{server.server_port}"
        self.own = {"Origin": f"http://{self.host}", "Content-Type": "application/json"}

    def ask(
        self,
        path: str,
        body: Any = None,
        token: str | None = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        given = {} if content is None else dict(self.own)
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in given.items() if value}
        secret = self.server.token if token is None else token
        connection.request(
            "GET" if content is None else "POST", f"/{secret}/{path}", content, given
        )
        reply = connection.getresponse()
        found = reply.status, reply.read(), reply.headers
        connection.close()
        return found


@pytest.fixture
def asker(server: ReviewServer) -> Asker:
    return Asker(server)


RIGHT = {"number": 0, "answer": "right", "index": 0}


def test_its_own_page_is_answered(asker: Asker) -> None:
    status, _, headers = asker.ask("")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert asker.ask("answer", RIGHT)[0] == 200
    assert asker.server.session.file.path.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_a_foreign_page_may_write_nothing(asker: Asker, headers: dict[str, Any]) -> None:
    assert asker.ask("answer", RIGHT, **headers)[0] == 403
    assert asker.ask("undo", {}, **headers)[0] == 403
    assert not asker.server.session.file.path.exists()
    if headers.get("Origin", "some"):
        # Nor read, even if it knew the address.
        assert asker.ask("start", **headers)[0] == 403


@pytest.mark.parametrize("token", ["", "x", "A" * 32])
def test_who_does_not_know_the_address_gets_nothing(asker: Asker, token: str) -> None:
    for path in ("", "start", "item/0", "page.js"):
        assert asker.ask(path, token=token)[0] == 403
    assert asker.ask("answer", RIGHT, token=token)[0] == 403
    assert not asker.server.session.file.path.exists()


def test_a_plain_form_may_write_nothing(asker: Asker) -> None:
    """What a page can send without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert asker.ask("answer", RIGHT, Content_Type=kind)[0] == 409
    assert not asker.server.session.file.path.exists()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("answer", {}),
        ("answer", RIGHT | {"number": "0"}),
        ("answer", RIGHT | {"answer": "perhaps"}),
        ("answer", RIGHT | {"more": 1}),
        ("answer", [1]),
        ("undo", {"rows": [["a"]]}),
        ("elsewhere", {}),
        ("../answer", RIGHT),
    ],
    ids=str,
)
def test_what_makes_no_sense_changes_nothing(asker: Asker, path: str, body: Any) -> None:
    assert asker.ask(path, body)[0] == 404
    assert not asker.server.session.file.path.exists()


def test_too_much_is_not_read(asker: Asker) -> None:
    raw = json.dumps(RIGHT | {"note": "x" * MOST_BYTES}).encode()
    assert asker.ask("answer", raw=raw)[0] == 409


@pytest.mark.parametrize(
    "path",
    ["item/x", "item/-1", "item/1000000", "image", "image?id=elsewhere", "image?id=../../x",
     "heat/0?id=train/0.png", "template/page.html", "../session.py", "%2e%2e/server.py"],
)  # fmt: skip
def test_what_there_is_not(asker: Asker, path: str) -> None:
    assert asker.ask(path)[0] in (404, 409)


def test_pictures_are_those_of_the_store(asker: Asker) -> None:
    session = asker.server.session
    id = session.suspects[0].id
    status, data, headers = asker.ask(f"image?id={id}")
    assert status == 200
    assert headers["Content-Type"] == "image/png"
    assert headers["Cache-Control"] == "no-store"
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert np.array_equal(pixels[..., ::-1], session.store.pixels(id, 3))


def test_what_cannot_be_saved_is_said(asker: Asker) -> None:
    path = asker.server.session.file.path
    path.write_text("something else\n")
    status, content, _ = asker.ask("answer", RIGHT)
    assert status == 409
    assert "its first line must be" in json.loads(content)["error"]
    assert path.read_text() == "something else\n"


def test_an_answer_to_an_old_view_is_told_what_there_is(asker: Asker) -> None:
    label = asker.server.session.item(0)["classes"][0]
    body = RIGHT | {"answer": "wrong", "index": label["index"]}
    body |= {"shown": [[label["index"], label["label"]]]}
    assert asker.ask("answer", body)[0] == 200
    status, content, _ = asker.ask("answer", body)
    assert status == 409
    told = json.loads(content)
    assert told["error"] == "answered in another window; look at it again"
    assert told["item"] == asker.server.session.item(0)
    assert len(told["answered"]) == len(asker.server.session.suspects)
    assert len(asker.server.session.file.rows()) == 1


@pytest.mark.parametrize(
    ("error", "said", "traced"),
    [
        (UserError("model x: is missing", "so is y"), "model x: is missing; so is y", False),
        (KeyError("secret"), "KeyError", True),
        (ValueError("bug"), "ValueError", True),
        (OSError("disk"), "OSError", True),
        (ConnectionError("gone"), "ConnectionError", True),
    ],
    ids=lambda each: type(each).__name__,
)
def test_why_there_is_no_heat_map(
    asker: Asker, capsys: pytest.CaptureFixture[str], error: Exception, said: str, traced: bool
) -> None:
    def failing(id: str, index: int) -> bytes:
        raise error

    asker.server.heat_map = failing
    id = asker.server.session.suspects[0].id
    status, content, _ = asker.ask(f"heat/0?id={id}")
    assert (status, json.loads(content)) == (500, {"error": said})
    assert ("Traceback" in capsys.readouterr().err) == traced
    # An image that there is not is no failure.
    assert asker.ask("heat/0?id=elsewhere")[0] == 404


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_address_at_all(
    server: ReviewServer, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(f"{method} http://[ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403 ")
    assert "Traceback" not in capsys.readouterr().err


def test_only_this_machine_is_served(server: ReviewServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
