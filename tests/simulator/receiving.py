"""A webhook endpoint for a test: keeps what arrives, answers what it is told."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What arrived, in order; `answer_with` is the status given from now on."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.credentials: list[str] = []
        self.answer_with = 200
        self.url = ""

    def types(self) -> list[str]:
        return [event["event_type"] for event in self.events]

    def forget(self) -> None:
        self.events.clear()
        self.credentials.clear()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port for the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.events.append(json.loads(body))
            receiver.credentials.append(base64.b64decode(self.headers.get("Authorization", "")[6:]).decode())
            self.send_response(receiver.answer_with)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/chargebee/"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
