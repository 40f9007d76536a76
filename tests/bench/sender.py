"""Sends webhooks as fast as they are answered, or at a fixed rate, over connections that are kept. A process of its own: its CPU does not count.

echo '{"port": 8000, …}' | python -m tests.bench.sender
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from typing import Any

from tests.bench.bodies import EventBodies


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = b""
        self.due = 0.0
        self.is_busy = False

    def send(self, request: bytes, due: float) -> None:
        self.due, self.is_busy, self.answer = due, True, b""
        self.socket.sendall(request)

    def receive(self) -> int:
        """The status once the answer is whole, else 0. Raises ConnectionError when the server hung up."""
        piece = self.socket.recv(65_536)
        if not piece:
            raise ConnectionError("the server hung up")
        self.answer += piece
        head, separator, body = self.answer.partition(b"\r\n\r\n")
        if not separator:
            return 0
        length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None)
        # Without a length the answer comes in chunks, the last of which is empty.
        if not body.endswith(b"0\r\n\r\n") if length is None else len(body) < length:
            return 0
        self.is_busy = False
        return int(head.split(b" ", 2)[1])


def run(
    port: int, path: str, headers: dict[str, str], prefix: str, connections: int, seconds: float, rate: float, kind: str
) -> dict[str, Any]:
    """Statuses with their counts, and milliseconds from when each request was due to its answer."""
    bodies = EventBodies(kind, prefix)
    selector = selectors.DefaultSelector()
    idle = [_Connection(port) for _ in range(connections)]
    for one in idle:
        selector.register(one.socket, selectors.EVENT_READ, one)
    statuses: dict[int, int] = {}
    taken: list[float] = []
    sent = 0
    start = time.perf_counter()
    end = start + seconds
    while True:
        now = time.perf_counter()
        while idle and now < end and (not rate or start + sent / rate <= now):
            due = start + sent / rate if rate else now
            idle.pop().send(bodies.request(path, headers), due)
            sent += 1
        if now >= end and len(idle) == connections:
            break
        wait = max(0.0, start + sent / rate - now) if rate and idle else 0.05
        for key, _ in selector.select(min(wait, 0.05)):
            status = key.data.receive()
            if status:
                statuses[status] = statuses.get(status, 0) + 1
                taken.append((time.perf_counter() - key.data.due) * 1000)
                idle.append(key.data)
    return {"statuses": statuses, "taken": taken, "seconds": time.perf_counter() - start}


def send(**order: Any) -> dict[str, Any]:
    """Have a process of its own do it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.sender"], input=json.dumps(order), stdout=subprocess.PIPE, text=True, check=True
    )
    found = json.loads(done.stdout)
    found["statuses"] = {int(status): count for status, count in found["statuses"].items()}
    found["ok"] = sum(count for status, count in found["statuses"].items() if 200 <= status < 300)
    return dict(found)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(**json.loads(sys.stdin.read()))))
