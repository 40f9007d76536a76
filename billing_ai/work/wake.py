"""Telling the workers that there is something to do. A lost wake-up costs the time to the next sweep and nothing else.

Publishing happens on a thread of its own: a frozen broker must never hold up a request. Wake-ups that come while one is on its way
are folded into it.
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


class _Waker:
    def __init__(self) -> None:
        self._pending: set[str] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def wake(self, task: str) -> None:
        with self._changed:
            if self._thread is None or not self._thread.is_alive() or self._pid != os.getpid():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="wake", daemon=True)
                self._thread.start()
            self._pending.add(task)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._pending:
                    self._changed.wait()
                tasks, self._pending = self._pending, set()
            for task in sorted(tasks):
                self._publish(task)

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
