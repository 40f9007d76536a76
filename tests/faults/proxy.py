"""A TCP proxy that breaks lines on command: cut, refuse, slow down, or let a request through and keep its answer back."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field

_PIECE = 65_536


@dataclass(eq=False)
class _Line:
    """One connection, with both of its ends."""

    near: socket.socket
    far: socket.socket
    is_held: bool = False
    kept: list[bytes] = field(default_factory=list)

    def close(self) -> None:
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Listens on a port of its own and passes everything on to `to_port`, until told otherwise. Closed by `close`."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.is_refusing = False
        self.delay_seconds = 0.0
        self._hold_after: bytes | None = None
        self._held = threading.Event()
        self._lines: set[_Line] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    # -- what tests do --------------------------------------------------------------------------------------------------------------

    def cut(self) -> int:
        """End every connection now; new ones are let through. How many were cut."""
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.close()
        return len(lines)

    def refuse(self) -> None:
        """End every connection, and every new one at once, until `let_through`."""
        self.is_refusing = True
        self.cut()

    def let_through(self) -> None:
        """No refusing, no delay, nothing kept back any more."""
        self.is_refusing, self.delay_seconds, self._hold_after = False, 0.0, None
        self._held.clear()
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            self._let_go(line)

    def hold_answer_to(self, request: bytes) -> None:
        """The next connection on which `request` is seen gets no answer to it, until `let_through`. Others are not touched."""
        self._held.clear()
        self._hold_after = request

    def wait_held(self, seconds: float = 60) -> None:
        """Until an answer is kept back, so that the other side has acted on it. Raises AssertionError."""
        assert self._held.wait(seconds), f"no answer was kept back within {seconds:.0f} s"

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.refuse()

    # -- how ------------------------------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self.is_refusing:
                    raise ConnectionRefusedError
                far = socket.create_connection(("127.0.0.1", self.to_port), timeout=10)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = _Line(near, far)
            with self._lock:
                self._lines.add(line)
            threading.Thread(target=self._requests, args=(line,), daemon=True).start()
            threading.Thread(target=self._answers, args=(line,), daemon=True).start()

    def _requests(self, line: _Line) -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while piece := line.near.recv(_PIECE):
                wanted = self._hold_after
                if wanted is not None:
                    seen = (seen + piece)[-_PIECE:]
                    if wanted in seen:
                        self._hold_after, line.is_held = None, True
                if self.delay_seconds:
                    time.sleep(self.delay_seconds)
                line.far.sendall(piece)
        self._end(line)

    def _answers(self, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while piece := line.far.recv(_PIECE):
                with self._lock:
                    if line.is_held:
                        line.kept.append(piece)
                        self._held.set()
                        continue
                line.near.sendall(piece)
        if not line.is_held:
            self._end(line)

    def _let_go(self, line: _Line) -> None:
        with self._lock:
            kept, line.kept, was_held, line.is_held = line.kept, [], line.is_held, False
            if was_held:
                with contextlib.suppress(OSError):
                    for piece in kept:
                        line.near.sendall(piece)

    def _end(self, line: _Line) -> None:
        line.close()
        with self._lock:
            if line in self._lines:
                self._lines.discard(line)
                line.near.close()
                line.far.close()
