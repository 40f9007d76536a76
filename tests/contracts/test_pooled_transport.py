"""The pooled client against a real socket that misbehaves: what httpx makes of it, and what we make of that."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billing_ai.integrations import http
from billing_ai.integrations.chargebee import reads, writes
from billing_ai.kernel.errors import Away, OutsideError, Unknown

BODY = json.dumps({"invoice": {"id": "inv"}, "transaction": {"id": "txn"}}).encode()
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CUT = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY) + 50, BODY)
CHUNK_CUT = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"in'
GARBAGE = b"\x16\x03\x01 this is no HTTP\r\n\r\n"


class Listener:
    """Takes requests and answers each with the next of `answers`: bytes, then closes if `closes` says so. None: closes without a word."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.closes = False
        self.connections = 0
        self.requests = 0
        self.writes = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api/v2"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(timeout=5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            while request := _whole_request(connection):
                self.requests += 1
                self.writes += request.startswith(b"POST")
                answer = self.answers.pop(0) if self.answers else WHOLE
                if answer is None:
                    return
                connection.sendall(answer)
                if self.closes or answer is not WHOLE:
                    return


def _whole_request(connection: socket.socket) -> bytes:
    """Headers and as much body as they announce, or nothing when the other side is done."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65536)
        if not part:
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += connection.recv(65536)
    return received


@pytest.fixture
def listener(settings: Any) -> Iterator[Listener]:
    started = Listener()
    settings.CHARGEBEE_API_URL = started.url
    before = http.use_client(None)
    yield started
    http.client().close()
    http.use_client(before)
    started.close()


def collect() -> Any:
    return writes.collect_payment("inv", idempotency_key="k")


def error_of(call: Callable[[], Any]) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("answer", [None, CUT, CHUNK_CUT, GARBAGE])
def test_a_broken_answer_to_a_write(answer: bytes | None, listener: Listener) -> None:
    listener.answers = [answer]
    error = error_of(collect)
    assert isinstance(error, Unknown)
    assert error.code == "chargebee.connection_lost"
    assert listener.writes == 1


@pytest.mark.parametrize("answer", [None, CUT, CHUNK_CUT, GARBAGE])
def test_a_broken_answer_to_a_read_is_asked_for_again(answer: bytes | None, listener: Listener) -> None:
    listener.answers = [answer, answer, WHOLE]
    assert reads.retrieve_invoice("inv").id == "inv"
    assert listener.requests == 3


def test_nobody_listens(listener: Listener, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        settings.CHARGEBEE_API_URL = f"http://127.0.0.1:{free.getsockname()[1]}/api/v2"
    error = error_of(collect)
    assert isinstance(error, Away)
    assert error.code == "chargebee.unreachable"


def test_a_name_that_does_not_exist(listener: Listener, settings: Any) -> None:
    settings.CHARGEBEE_API_URL = "http://no-such-host.invalid/api/v2"
    assert isinstance(error_of(collect), Away)


def test_many_calls_share_one_connection(listener: Listener) -> None:
    for _ in range(30):
        reads.retrieve_invoice("inv")
    assert (listener.connections, listener.requests) == (1, 30)


def test_a_connection_that_the_site_closed_is_replaced_even_for_a_write(listener: Listener) -> None:
    # given a site that closes each connection after its answer, without having said so
    listener.closes = True
    reads.retrieve_invoice("inv")
    # when a write follows, and the closing has arrived
    _until_closed()
    # then it goes out on a new connection, once
    assert collect().transaction.id == "txn"
    assert (listener.connections, listener.requests) == (2, 2)


def _until_closed() -> None:
    """Wait until each pooled connection's socket has something to read: the other side's farewell. The pool may have noticed already."""
    for connection in http.client()._transport._pool.connections:  # type: ignore[attr-defined]
        stream = connection._connection._network_stream
        select.select([stream.get_extra_info("socket")], [], [], 5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_opens_a_connection_of_its_own(listener: Listener) -> None:
    reads.retrieve_invoice("inv")
    child = os.fork()
    if child == 0:
        # Nothing of the test runner may run in the child: leave by the shortest way, with the answer as the status.
        status = 1
        try:
            status = 0 if reads.retrieve_invoice("inv").id == "inv" else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert reads.retrieve_invoice("inv").id == "inv"
    assert (listener.connections, listener.requests) == (2, 3)
