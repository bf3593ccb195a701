"""A web server for downloads, on this machine."""

import http.server
import os
import re

CONTENT = os.urandom(3 * 2**20 + 5)


class Server(http.server.ThreadingHTTPServer):
    """Serves `/file.tar`; may hang up early, and notes what was asked for."""

    hang_up_after: int | None = None
    ranges = True
    content = CONTENT

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.tar"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        content = self.server.content
        if self.path != "/file.tar":
            self.send_error(404)
            return
        match = re.fullmatch(r"bytes=(\d+)-", asked or "")
        start = int(match[1]) if match and self.server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        sent = content[start:]
        if self.server.hang_up_after is not None:
            sent = sent[: self.server.hang_up_after]
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        pass
