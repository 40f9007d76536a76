"""Statements that PostgreSQL parses and plans once a connection: for large ones that took longer than running them.

Parameters go as text and get their types from where they stand, as quoted literals would. Where the server cannot be relied on to know what was
prepared (a pooler that shares connections), where somebody listens to the statements, and on SQLite, nothing is asked here and the caller asks
the usual way. `docs/adr/0035-large-statements-are-planned-once.md` tells why.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import connection

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)
_USES_OF_A_PLAN = 5_000
"""After so many statements a connection plans anew: a plan made for tables that were nearly empty must not stay when nobody analyses them."""
_MOST_PARAMETERS = 60_000
"""The protocol counts them in two bytes."""
_SEEN_BEFORE = 2
"""A statement whose shape may never come again is prepared when it comes for the third time."""


class _Known:
    """What is known of one connection: whether it leads to one server process, and how many statements were asked on it."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        # A pooler gives clients a key of its own in the place of the process's number.
        row = raw.execute("SELECT pg_backend_pid()").fetchone()
        self.is_direct = row is not None and row[0] == raw.info.backend_pid
        self.uses = 0
        if self.is_direct:
            raw.prepare_threshold = _SEEN_BEFORE
        else:
            logger.info("database.pooled")


_connections: WeakKeyDictionary[psycopg.Connection[Any], _Known] = WeakKeyDictionary()


def ask(text: str, values: Sequence[str | None], *, is_fixed: bool = False) -> list[tuple[Any, ...]] | None:
    """The rows that a statement with $1, $2 … gives, as a cursor would. None when it cannot be asked like this: then nothing has happened.

    `is_fixed`: the text comes again and again, and is prepared the first time. Raises what a cursor raises.
    """
    if connection.vendor != "postgresql" or connection.execute_wrappers or connection.queries_logged or len(values) > _MOST_PARAMETERS:
        return None
    import psycopg

    connection.validate_no_broken_transaction()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    with connection.wrap_database_errors:
        known = _connections.get(raw)
        if known is None:
            known = _connections[raw] = _Known(raw)
        if not known.is_direct:
            return None
        known.uses += 1
        if known.uses % _USES_OF_A_PLAN == 0:
            raw.execute("DEALLOCATE ALL")
        with psycopg.RawCursor(raw) as cursor:
            cursor.execute(text, values, prepare=True if is_fixed else None)
            return cursor.fetchall()


def literal(value: Any) -> str:
    """A value as it stands in a statement, for what is the same each time: a plan can then use an index that is there for this value only."""
    from psycopg import sql

    connection.ensure_connection()
    text: str = sql.Literal(value).as_string(connection.connection)
    return text


@lru_cache(maxsize=512)
def numbered(text: str) -> str:
    """A statement with $1, $2 … in the place of %s. It must hold no other per cent sign."""
    first, *others = text.split("%s")
    return first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))


def as_text(values: Sequence[Any]) -> list[str | None] | None:
    """Values as the driver takes them, in PostgreSQL's text form; None where one is of a kind that this does not know."""
    try:
        return [None if value is None else _TEXT[value.__class__](value) for value in values]
    except KeyError:
        return None


def _of_bytes(value: Any) -> str:
    return f"\\x{value.hex()}"


def _of_json(value: Any) -> str:
    text: str | bytes = (value.dumps or json.dumps)(value.obj)
    return text if isinstance(text, str) else text.decode()


class _Texts(dict[type, Callable[[Any], str]]):
    """How each kind of value is written. The driver's own kinds come in at the first that is missing, so that SQLite needs no driver."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        if kind.__module__.startswith("psycopg.types."):
            from psycopg.types.json import Json, Jsonb
            from psycopg.types.numeric import Int2, Int4, Int8

            self.update({Jsonb: _of_json, Json: _of_json, Int2: int.__repr__, Int4: int.__repr__, Int8: int.__repr__})
            if kind in self:
                return self[kind]
        raise KeyError(kind)


_TEXT = _Texts(
    {
        str: lambda value: value,
        int: str,
        bool: lambda value: "true" if value else "false",
        datetime: datetime.isoformat,
        date: date.isoformat,
        UUID: str,
        Decimal: str,
        bytes: _of_bytes,
        memoryview: _of_bytes,
    }
)
