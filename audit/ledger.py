"""Appending to the ledger: hash-chained, in the caller's own transaction, in one round trip, without a lock between writers.

Each writer (a thread of a process) has a chain of its own. Its last row, own uncommitted ones included, is read by the same statement that
inserts the next, so a rolled-back savepoint simply takes its entries along. `docs/adr/0002-ledger-chain-per-writer.md` says why, and how an
outsider checks it.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, connection
from django.db.transaction import TransactionManagementError

from audit.actor import Actor
from audit.append_only import link
from audit.keys import mark
from billing_ai.kernel import clock
from billing_ai.kernel.ids import canonical_json
from billing_ai.tables.one_write import Call, Part, Rows, write

GENESIS = bytes(32)
"""What stands before a writer's first entry."""

LONGEST_DATA = 64 * 1024
"""Characters of `data`. The ledger keeps derived values, not documents."""

COLUMNS = (
    "writer", "serial", "at", "kind", "actor_kind", "actor_id", "actor_label", "trace_id", "chargebee_event_id", "chargebee_customer_id",
    "chargebee_invoice_id", "case_id", "subject_kind", "subject_id", "agent", "prompt_hash", "model", "data",
)  # fmt: skip
"""What the content hash covers, in this order."""

_ALL_COLUMNS = ("id", "position", *COLUMNS, "mark", "prev_hash", "hash")
_LONGEST = {"kind": 80, "trace_id": 64, "subject_kind": 80, "agent": 80, "prompt_hash": 80}
_ROWS_A_STATEMENT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """One entry before it is written. `subject` is (kind, id); `data` holds allow-listed derived values and no personal data."""

    kind: str
    actor: Actor
    trace_id: str
    subject: tuple[str, str]
    case_id: UUID | None = None
    event_id: str = ""
    customer_id: str = ""
    invoice_id: str = ""
    agent: str = ""
    prompt_hash: str = ""
    model: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class _Writer(threading.local):
    """This thread's chain: its id, and a number that grows with each attempt to append."""

    def __init__(self) -> None:
        self.id = uuid4()
        self.serial = 0


_writer = _Writer()


def _start_new_chain() -> None:
    _writer.id = uuid4()
    _writer.serial = 0


# A forked child must not go on with its parent's chain: both would claim the same position. Only the forking thread survives in the child.
os.register_at_fork(after_in_child=_start_new_chain)


def append(
    kind: str,
    *,
    actor: Actor,
    trace_id: str,
    subject: tuple[str, str],
    case_id: UUID | None = None,
    event_id: str = "",
    customer_id: str = "",
    invoice_id: str = "",
    agent: str = "",
    prompt_hash: str = "",
    model: str = "",
    data: Mapping[str, Any] | None = None,
) -> int:
    """Write one entry with the work it tells of, and give its id.

    Raises TransactionManagementError outside `transaction.atomic()`; ValueError or TypeError when a text is too long or `data` is no JSON.
    """
    return append_entry(
        NewEntry(
            kind=kind, actor=actor, trace_id=trace_id, subject=subject, case_id=case_id, event_id=event_id, customer_id=customer_id,
            invoice_id=invoice_id, agent=agent, prompt_hash=prompt_hash, model=model, data=data or {},
        )
    )  # fmt: skip


def append_entry(entry: NewEntry) -> int:
    """As `append`."""
    _require_transaction()
    row = _row(entry)
    content = content_hash(row)
    parameters = [*_adapt(row), mark(content), content]
    if connection.vendor == "sqlite":
        parameters.append(row[0].hex)
    with connection.cursor() as cursor:
        try:
            cursor.execute(_APPEND[connection.vendor], parameters)
        except IntegrityError:
            _start_new_chain()  # a commit whose answer was lost: the retry goes on in a chain of its own
            raise
        return int(cursor.lastrowid if connection.vendor == "sqlite" else cursor.fetchone()[0])


def append_many(entries: Iterable[NewEntry]) -> list[int]:
    """Write a batch in order, and give the ids: one look at the chain's head, then one statement for each 200 entries.

    Raises what `append` raises; nothing is written then, as the caller's transaction fails.
    """
    _require_transaction()
    rows = [_row(entry) for entry in entries]
    if not rows:
        return []
    ids, written = _linked(rows)
    try:
        for start in range(0, len(written), _ROWS_A_STATEMENT):
            write(Rows("audit_entry", _ALL_COLUMNS, written[start : start + _ROWS_A_STATEMENT]))
    except IntegrityError:
        _start_new_chain()
        raise
    return ids


def append_with(entries: Iterable[NewEntry], *parts: Part) -> list[int]:
    """Write entries, and in the same statement (PostgreSQL) the rows that they tell of. Gives how many rows each of `parts` wrote.

    Raises what `append` raises, and IntegrityError of any part: nothing is written then, as the caller's transaction fails.
    """
    _require_transaction()
    rows = [_row(entry) for entry in entries]
    own: list[Part]
    if connection.vendor == "postgresql":
        own = [
            Call(f"audit_append({_PLACES}, %s)", [*_adapt(row), mark(content), content]) for row in rows for content in [content_hash(row)]
        ]
    else:
        own = [Rows("audit_entry", _ALL_COLUMNS, _linked(rows)[1] if rows else [])]
    try:
        wrote = write(*parts, *own)
        ids = wrote[len(parts) :]
        if connection.vendor == "postgresql" and ids != sorted(ids):
            raise RuntimeError("the database has appended entries in another order than they were given in")
        return wrote[: len(parts)]
    except IntegrityError:
        _start_new_chain()  # as in `append`; one that another table refused merely starts a chain
        raise


def _linked(rows: list[tuple[Any, ...]]) -> tuple[list[int], list[list[Any]]]:
    """Ids, and each row with its place in the chain and its hashes, after one look at the chain's head."""
    with connection.cursor() as cursor:
        position, previous, ids = _reserve(cursor, rows[0][0], len(rows))
    written = []
    for entry_id, row in zip(ids, rows, strict=True):
        position += 1
        content = content_hash(row)
        this = link(previous, entry_id, content)
        written.append([entry_id, position, *_adapt(row), mark(content), previous, this])
        previous = this
    return ids, written


def content_bytes(row: tuple[Any, ...]) -> bytes:
    """The content of an entry as the bytes that are hashed: a JSON array of the columns in `COLUMNS`, UTF-8, no spaces.

    Ids as 32 hex digits (no case: the empty text), the time as `2026-11-23T09:00:00.000000Z`, `data` as the text that is stored.
    """
    writer, serial, at, *texts = row
    texts[8] = texts[8].hex if texts[8] else ""
    return json.dumps([writer.hex, serial, time_text(at), *texts], ensure_ascii=False, separators=(",", ":")).encode()


def content_hash(row: tuple[Any, ...]) -> bytes:
    """SHA-256 of `content_bytes`."""
    return hashlib.sha256(content_bytes(row)).digest()


def time_text(moment: datetime) -> str:
    """An instant in UTC to the microsecond, as the hashes see it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _require_transaction() -> None:
    if not connection.in_atomic_block:
        raise TransactionManagementError(
            "audit entries are written in the transaction of the change they tell of: use transaction.atomic()"
        )


def _row(entry: NewEntry) -> tuple[Any, ...]:
    _writer.serial += 1
    text = canonical_json(dict(entry.data)).decode()
    if len(text) > LONGEST_DATA:
        raise ValueError(f"{entry.kind}: data has {len(text)} characters, at most {LONGEST_DATA} are kept")
    row = (
        _writer.id, _writer.serial, clock.now(), entry.kind, entry.actor.kind, entry.actor.id, entry.actor.label, entry.trace_id, entry.event_id,
        entry.customer_id, entry.invoice_id, entry.case_id, entry.subject[0], entry.subject[1], entry.agent, entry.prompt_hash, entry.model, text,
    )  # fmt: skip
    for name, value in zip(COLUMNS[3:-1], row[3:-1], strict=True):
        # SQLite would store what PostgreSQL refuses; both refuse here.
        if name != "case_id" and (not isinstance(value, str) or len(value) > _LONGEST.get(name, 200)):
            raise ValueError(f"{entry.kind}: {name} must be text of at most {_LONGEST.get(name, 200)} characters")
    return row


def _adapt(row: tuple[Any, ...]) -> list[Any]:
    """The row as the database's driver takes it."""
    if connection.features.has_native_uuid_field:
        return list(row)
    values = list(row)
    values[0] = values[0].hex
    values[2] = connection.ops.adapt_datetimefield_value(values[2])
    values[11] = values[11].hex if values[11] else None
    return values


def _reserve(cursor: Any, writer: UUID, count: int) -> tuple[int, bytes, list[int]]:
    """Position and hash of the writer's head, and `count` fresh ids."""
    if connection.vendor == "sqlite":
        # The IMMEDIATE transaction holds the only write lock, so nobody else takes these ids.
        cursor.execute(
            "SELECT fresh.last, head.position, head.hash"
            " FROM (SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'audit_entry'), 0) AS last) fresh"
            " LEFT JOIN (SELECT position, hash FROM audit_entry WHERE writer = %s ORDER BY position DESC LIMIT 1) head ON true",
            [writer.hex],
        )
        last, position, previous = cursor.fetchone()
        ids = list(range(last + 1, last + 1 + count))
    else:
        cursor.execute(
            "SELECT nextval('audit_entry_id_seq'), head.position, head.hash FROM generate_series(1, %s)"
            " LEFT JOIN (SELECT position, hash FROM audit_entry WHERE writer = %s ORDER BY position DESC LIMIT 1) head ON true",
            [count, writer],
        )
        rows = cursor.fetchall()
        ids = sorted(int(row[0]) for row in rows)
        _, position, previous = rows[0]
    return (int(position), bytes(previous), ids) if position is not None else (0, GENESIS, ids)


_PLACES = ", ".join(["%s"] * (len(COLUMNS) + 1))
_INTO = f"INSERT INTO audit_entry ({', '.join(COLUMNS)}, mark, id, position, prev_hash, hash)"
_APPEND = {
    "sqlite": (
        f"{_INTO} SELECT {_PLACES}, fresh.id, COALESCE(head.position, 0) + 1, COALESCE(head.hash, zeroblob(32)),"  # noqa: S608
        " audit_link(COALESCE(head.hash, zeroblob(32)), fresh.id, %s)"
        " FROM (SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'audit_entry'), 0) + 1 AS id) fresh"
        " LEFT JOIN (SELECT position, hash FROM audit_entry WHERE writer = %s ORDER BY position DESC LIMIT 1) head ON true"
    ),
    # A function, because PostgreSQL keeps its plan for the session; planning the statement above anew costs more than running it.
    "postgresql": f"SELECT audit_append({_PLACES}, %s)",
}
