"""The page's server: on this machine alone, and for this page alone.

Every other page in the same browser can send requests to a port of this machine. So the address
holds a secret, a request that a browser says comes from elsewhere is refused, and so is one for a
name that is not this machine's (a foreign name that leads here, as in DNS rebinding).
"""

import hmac
import json
import secrets
import sys
import traceback
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict

from foldwise.core.errors import UserError
from foldwise.review.answer_file import AnswerRow
from foldwise.review.answering import Answer, AnsweredElsewhereError, ReviewError
from foldwise.review.pictures import shown_picture
from foldwise.review.session import ReviewSession

FOLDER = Path(__file__).with_name("template")
LOOPBACK = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Of this machine, as a browser may call it; the port may be a tunnel's."""
MOST_BYTES = 64_000
"""Of what a page may send."""
SMALL = 192
"""Longest side of a neighbour's picture, in pixels."""
PAGES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "view.js": ("view.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Nothing of the data set stays in the browser.
    "Cache-Control": "no-store",
}

HeatMap = Callable[[str, int], bytes]
"""Of an image's id and a class's index a JPEG file: the image under its heat map."""


class Said(BaseModel):
    """An answer, as the page sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    number: int
    answer: Answer
    index: int
    instead: int | None = None
    note: str = ""
    shown: list[tuple[int, int]] = []
    """Indices of classes, and their labels when the key was pressed."""


class Taken(BaseModel):
    """What is to be undone: the rows of an answer, or the last one that was given here."""

    model_config = ConfigDict(extra="forbid")

    rows: list[tuple[str, str, str, str, str, str]] | None = None


class HeatMapError(Exception):
    """There is no heat map; its text says why."""


class ReviewServer(ThreadingHTTPServer):
    """Serves one session until it is told to shut down."""

    daemon_threads = True

    def __init__(
        self, session: ReviewSession, port: int = 0, heat_map: HeatMap | None = None
    ) -> None:
        """
        Args:
            session: what it serves.
            port: of the loopback interface; 0: any that is free.
            heat_map: makes heat maps, where they can be had.
        """
        super().__init__((LOOPBACK, port), ReviewHandler)
        self.session = session
        self.heat_map = heat_map
        self.token = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ReviewHandler(BaseHTTPRequestHandler):
    """One request after another of one connection."""

    server: ReviewServer
    protocol_version = "HTTP/1.1"
    # An answer must not wait for the acknowledgement of its headers.
    disable_nagle_algorithm: ClassVar[bool] = True
    wbufsize = -1
    timeout = 600

    def do_GET(self) -> None:
        """The page, what it shows, and pictures."""
        self._reply(self._get)

    def do_POST(self) -> None:
        """Answers, and what is undone."""
        self._reply(self._post)

    def log_message(self, *_: object) -> None:
        """Nobody wants to read of every request, and the address is a secret."""

    def _reply(self, make: Callable[[list[str], dict[str, list[str]]], tuple[str, bytes]]) -> None:
        try:
            parts = urlsplit(self.path)
        except ValueError:
            # No address at all, which lacks the secret as well.
            parts = urlsplit("")
        token, _, rest = parts.path.lstrip("/").partition("/")
        try:
            if not self._is_own() or not hmac.compare_digest(
                token.encode(), self.server.token.encode()
            ):
                # What was sent is not read: nothing else can come over this connection.
                self.close_connection = True
                self._send(403, "text/plain", b"refused: not this server's own page\n")
                return
            kind, content = make(rest.split("/"), parse_qs(parts.query))
            self._send(200, kind, content)
        except AnsweredElsewhereError as error:
            self._send(409, *_as_json({"error": str(error), **error.present}))
        except HeatMapError as error:
            self._send(500, *_as_json({"error": str(error)}))
        except (ReviewError, UserError) as error:
            self._send(409, *_as_json({"error": str(error)}))
        except (LookupError, ValueError):
            self._send(404, *_as_json({"error": "there is no such thing here"}))
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            self._send(500, *_as_json({"error": f"not saved: {error}"}))

    def _is_own(self) -> bool:
        """Whether this machine is meant, and the request comes from the page itself."""
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name not in NAMES or self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            return False
        if origin is None:
            # Of a page's own script every browser says where a POST comes from.
            return self.command == "GET"
        return origin == f"http://{host}"

    def _get(self, path: list[str], query: dict[str, list[str]]) -> tuple[str, bytes]:
        session = self.server.session
        match path:
            case [name] if name in PAGES:
                file, kind = PAGES[name]
                return kind, (FOLDER / file).read_bytes()
            case ["start"]:
                return _as_json(session.start())
            case ["item", number]:
                also = [int(each) for each in query.get("also", [])]
                return _as_json(session.item(int(number), also))
            case ["image"]:
                return shown_picture(session.store, self._id(query))
            case ["small"]:
                return shown_picture(session.store, self._id(query), SMALL)
            case ["heat", index] if self.server.heat_map and 0 <= int(index) < len(session.classes):
                make = partial(self.server.heat_map, self._id(query), int(index))
                return "image/jpeg", _drawn_heat(make)
        raise LookupError(path)

    def _id(self, query: dict[str, list[str]]) -> str:
        """The image that is asked for, which must be one that may be looked at."""
        id = query["id"][0]
        if not self.server.session.knows(id):
            raise LookupError(id)
        return id

    def _post(self, path: list[str], _: dict[str, list[str]]) -> tuple[str, bytes]:
        content = self._content()
        match path:
            case ["answer"]:
                said = Said.model_validate_json(content)
                make = partial(self.server.session.answer, **said.model_dump())
            case ["undo"]:
                rows = Taken.model_validate_json(content).rows
                wanted = None if rows is None else [AnswerRow(*row) for row in rows]
                make = partial(self.server.session.undo, wanted)
            case _:
                raise LookupError(path)
        return _as_json(make())

    def _content(self) -> bytes:
        length = int(self.headers.get("Content-Length", "0"))
        if self.headers.get_content_type() != "application/json" or not 0 < length <= MOST_BYTES:
            self.close_connection = True
            raise ReviewError("expected JSON, and not so much")
        return self.rfile.read(length)

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def _drawn_heat(make: Callable[[], bytes]) -> bytes:
    """A heat map; whatever went wrong with it instead is one line, and a bug's trace is printed."""
    try:
        return make()
    except UserError as error:
        raise HeatMapError("; ".join(error.args)) from None
    except Exception as error:
        traceback.print_exc()
        raise HeatMapError(type(error).__name__) from None


def _as_json(content: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
