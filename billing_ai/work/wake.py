"""Telling the workers that there is something to do. A lost wake-up costs the time to the next sweep and nothing else.

Publishing happens on a thread of its own: a frozen broker must never hold up a request. The first wake-up goes out at once; those that come
within a tenth of a second of it are folded into one, since publishing costs more than storing the event that it tells of.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from amqp.exceptions import AMQPError
from django.db import transaction
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
# Kombu wraps a lost connection and little else: a full, read-only or loading Redis answers with its own errors, the file system with AMQP's.
BROKER_ERRORS = (KombuError, AMQPError, RedisError, OSError)
_PAUSE_AFTER_FAILURE_SECONDS = 5.0
_FOLD_SECONDS = 0.1
"""How long after a wake-up the next one for the same task waits for others to be folded into it."""


class _Waker:
    def __init__(self) -> None:
        self._pending: set[str] = set()
        self._sent_at: dict[str, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def wake(self, task: str) -> None:
        if task in self._pending and self._thread is not None and self._thread.is_alive():
            return  # its message has not left yet, and whoever gets it will find what is committed by now
        with self._changed:
            if self._thread is None or not self._thread.is_alive() or self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="wake", daemon=True)
                self._thread.start()
            if task not in self._pending:
                self._pending.add(task)
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (due := self._due()):
                    self._changed.wait(self._until_next())
                self._pending -= due
            for task in sorted(due):
                self._publish(task)
                self._sent_at[task] = time.monotonic()

    def _due(self) -> set[str]:
        now = time.monotonic()
        return {task for task in self._pending if now - self._sent_at.get(task, -_FOLD_SECONDS) >= _FOLD_SECONDS}

    def _until_next(self) -> float | None:
        """Seconds until the first pending task may be sent again; None when nothing is pending."""
        now = time.monotonic()
        return min((max(0.001, self._sent_at[task] + _FOLD_SECONDS - now) for task in self._pending), default=None)

    def _publish(self, task: str) -> None:
        from billing_ai.celery import app

        try:
            app.send_task(task, ignore_result=True, retry=False)
        except BROKER_ERRORS as error:
            logger.warning("wake.failed", extra={"task": task, "error": type(error).__name__})
            time.sleep(_PAUSE_AFTER_FAILURE_SECONDS)


_waker = _Waker()


def _after_fork() -> None:
    global _waker
    _waker = _Waker()


os.register_at_fork(after_in_child=_after_fork)


def wake(task: str) -> None:
    """Have a worker run `task` soon, once the present transaction is committed. Never blocks, never raises on a dead broker."""
    transaction.on_commit(lambda: _waker.wake(task))
