"""Webhook endpoints for tests: one that keeps what arrives, and one that has our own view answer."""

from __future__ import annotations

import base64
import json
import queue
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from django.test import Client

from tests.serving import serving

T = TypeVar("T")


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

    with _listening(Handler) as receiver.url:
        yield receiver


@contextmanager
def _listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on a free port for the block; gives the address of the webhook."""
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as address:
        yield f"{address}/webhooks/chargebee/"


class OwnEndpoint:
    """Our own webhook, on a port. It is answered in the test's thread, so that all that it stores stays in the test's transaction."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: Counter[int] = Counter()
        self.waiting: queue.SimpleQueue[tuple[bytes, str, queue.SimpleQueue[int]]] = queue.SimpleQueue()
        self._client = Client(raise_request_exception=True)

    def during(self, happening: Callable[[], T]) -> T:
        """Do something outside in another thread, and answer webhooks here until it is done."""
        with ThreadPoolExecutor(1) as outside:
            done = outside.submit(happening)
            while not done.done():
                self._answer()
            while not self.waiting.empty():
                self._answer()
            return done.result()

    def _answer(self) -> None:
        try:
            body, authorization, reply = self.waiting.get(timeout=0.02)
        except queue.Empty:
            return
        headers = {"authorization": authorization}
        response = self._client.post("/webhooks/chargebee/", body, content_type="application/json", headers=headers)
        self.answers[response.status_code] += 1
        reply.put(response.status_code)


@contextmanager
def own_endpoint() -> Iterator[OwnEndpoint]:
    """Our own webhook on a free port for the block."""
    endpoint = OwnEndpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply: queue.SimpleQueue[int] = queue.SimpleQueue()
            endpoint.waiting.put((body, self.headers.get("Authorization", ""), reply))
            self.send_response(reply.get())
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Silence."""

    with _listening(Handler) as endpoint.url:
        yield endpoint
