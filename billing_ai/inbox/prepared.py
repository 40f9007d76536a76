"""The insert of an event as a statement that PostgreSQL has parsed and planned before, asked over libpq itself.

It costs the process a third and the server half of what the same insert through Django's cursor costs. Used where a statement commits itself
and nobody listens to the statements; everywhere else `intake.py` inserts as usual.

A pooler that shares connections between clients may not know what was prepared. Then the event is stored the usual way, and this process goes
on with that. The name holds a hash of the statement, so that it can never mean another one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from django.db import DataError
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

logger = logging.getLogger(__name__)


class PreparedInsert:
    """One INSERT with as many parameters as `columns`, each given as text."""

    def __init__(self, statement: str, columns: int) -> None:
        """`statement` has %s for each parameter. `is_of_use` ends when a server turns out not to know it."""
        self._text = (statement % tuple(f"${number}" for number in range(1, columns + 1))).encode()
        self._connections: WeakSet[psycopg.Connection[Any]] = WeakSet()
        self.is_of_use = True
        self._name = b"inbox_" + hashlib.sha256(self._text).hexdigest()[:24].encode()

    def fits(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether it may be used on this connection now."""
        return (
            self.is_of_use
            and connection.vendor == "postgresql"
            and not connection.in_atomic_block
            and not connection.execute_wrappers
            and not connection.queries_logged
            and connection.get_autocommit()
        )

    def insert(self, connection: BaseDatabaseWrapper, row: Sequence[str]) -> bool | None:
        """Whether a row was inserted; None when the server does not know the statement (then nothing has happened). Raises what a cursor raises."""
        from psycopg import errors

        values = [value.encode() for value in row]
        if any(b"\0" in value for value in values):
            raise DataError("PostgreSQL text cannot contain NUL bytes")
        connection.ensure_connection()
        raw: psycopg.Connection[Any] = connection.connection
        with connection.wrap_database_errors:
            for _ in range(2):
                if raw not in self._connections:
                    self._prepare(raw)
                    self._connections.add(raw)
                try:
                    return _done(raw, lambda: raw.pgconn.exec_prepared(self._name, values)).command_tuples == 1
                except errors.InvalidSqlStatementName:
                    # Once: all that was prepared here was let go of (`tables/planned.py`). Twice: what we prepare goes elsewhere.
                    self._connections.discard(raw)
        self.is_of_use = False
        logger.warning("webhook.prepared_statement_unknown")
        return None

    def _prepare(self, raw: psycopg.Connection[Any]) -> None:
        from psycopg import errors

        with suppress(errors.DuplicatePreparedStatement):  # behind a pooler: another client prepared the same
            _done(raw, lambda: raw.pgconn.prepare(self._name, self._text))


def _done(raw: psycopg.Connection[Any], ask: Callable[[], PGresult]) -> PGresult:
    """The result of a call of libpq. Raises psycopg's errors, as its cursors do."""
    from psycopg import OperationalError, errors, pq

    try:
        result = ask()
    except MemoryError:
        if raw.closed:  # libpq gives no result at all where it knows that the connection is gone
            raise OperationalError("the connection is lost") from None
        raise
    if result.status == pq.ExecStatus.COMMAND_OK:
        return result
    if raw.closed:
        raise OperationalError(pq.error_message(result))
    raise errors.error_from_result(result)
