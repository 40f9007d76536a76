"""A webhook receiver on this machine, as an integrator would write one: it checks the signature, and answers what the test says."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.serving import serving


@dataclass
class Heard:
    """One call that came in."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    def is_signed_with(self, secret: str) -> bool:
        """As docs/guide/api.md tells it: the time and one of the marks, over the time, a point, and the body as it came."""
        parts = [part.split("=", 1) for part in self.headers["billing-signature"].split(",")]
        moment = next(value for name, value in parts if name == "t")
        mark = hmac.new(secret.encode(), f"{moment}.".encode() + self.raw, hashlib.sha256).hexdigest()
        return any(hmac.compare_digest(mark, value) for name, value in parts if name == "v1")


@dataclass
class Receiver:
    """Its address, what it heard, and what it answers next (200 when nothing is queued)."""

    url: str
    heard: list[Heard] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    def will_answer(self, *statuses: int) -> None:
        self.answers.extend((status, {}) for status in statuses)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A server on a free port, ended afterwards."""
    found = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found.heard.append(Heard(self.path, {name.lower(): value for name, value in self.headers.items()}, raw))
            status, headers = found.answers.pop(0) if found.answers else (200, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        found.url = f"{address}/hooks/billing"
        yield found
