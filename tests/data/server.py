"""A local HTTP server whose answers a test writes, request by request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Server:
    url: str
    headers: list[Message] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of every request so far."""
        return [headers.get("Range") for headers in self.headers]


Script = Callable[[BaseHTTPRequestHandler, int], None]
"""Answers request number n (from 0) through the handler."""


@contextmanager
def serving(script: Script) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.headers.append(self.headers)
            script(self, len(server.headers) - 1)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is part of the tests."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}/archive.tar.gz")
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            http.shutdown()
            thread.join()


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str | int) -> None:
    """A complete answer; without a Content-Length among the headers, that of the body."""
    fields = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **fields}.items():
        if value != "none":
            handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def first_byte(handler: BaseHTTPRequestHandler) -> int:
    """Where the requested range starts; 0 without one."""
    return int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


def answer_range(handler: BaseHTTPRequestHandler, body: bytes, stop: int | None = None) -> None:
    """What an honest server says to a request with or without a range; ``stop`` breaks it off there."""
    start = first_byte(handler)
    if start:
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        answer(handler, 206, body[start:stop], Content_Length=len(body) - start, Content_Range=span)
    else:
        answer(handler, 200, body[:stop], Content_Length=len(body))
