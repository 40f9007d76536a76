"""Storing an event once. The only way in, for webhooks and for what reconciliation finds."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.db import connections
from django.db.models import Q

from billing_ai.inbox.models import Event
from billing_ai.inbox.prepared import PreparedInsert
from billing_ai.integrations.chargebee.events import EventEnvelope, parse_event
from billing_ai.kernel import clock, ids
from billing_ai.work import parked
from billing_ai.work.models import Lane, Leased

_PAYMENTS = frozenset({"payment_succeeded", "payment_refunded"})
_COLUMNS = (
    "chargebee_event_id", "event_type", "occurred_at", "received_at", "source", "api_version", "found_by", "chargebee_customer_id", "resources",
    "body_sha256", "trace_id", "status", "lane", "not_before", "reason",
)  # fmt: skip


def _insert(due_at: str) -> str:
    """By hand: the ORM's bulk_create costs twice the CPU of this one statement, and cannot say whether the row was new."""
    values = ", ".join(due_at if column == "not_before" else "%s" for column in _COLUMNS)
    return (
        f"INSERT INTO inbox_event ({', '.join(_COLUMNS)}, attempt, max_attempts) VALUES ({values}, 0, 8) "  # noqa: S608 - constants above
        "ON CONFLICT (chargebee_event_id) DO NOTHING"
    )


_INSERT = _insert("%s")
# A host whose clock is ahead would store what the database, which says what is due, does not hand out yet: the wake-up would come to nothing.
_INSERT_AMONG_HOSTS = _insert("LEAST(%s, STATEMENT_TIMESTAMP())")
_PAYMENT, _NEWS = str(int(Lane.PAYMENT)), str(int(Lane.NEWS))
_encode = json.JSONEncoder().encode
_prepared = PreparedInsert(_INSERT_AMONG_HOSTS, len(_COLUMNS))


def read_envelope(raw: Any) -> EventEnvelope:
    """What is kept of an event. Raises ForeignShape when it is no Chargebee event."""
    return parse_event(raw)


def store(envelope: EventEnvelope, *, body_sha256: str, found_by: str = "webhook") -> bool:
    """Insert the event unless its id is known. True when it is new. Types that nothing wants are stored as ignored."""
    connection = connections["default"]
    now = clock.now()
    wanted = envelope.is_handled and not envelope.is_test
    reason = "" if wanted else ("a test from Chargebee's console" if envelope.is_test else f"nothing here acts on {envelope.event_type}")
    if envelope.oddities:
        reason = f"{reason} odd fields: {', '.join(envelope.oddities)}".strip()
    due_at = _moment(connection, now)
    row = [
        envelope.id,
        envelope.event_type,
        _moment(connection, envelope.occurred_at) if envelope.occurred_at else due_at,
        due_at,
        envelope.source[:30],
        envelope.api_version[:10],
        found_by,
        envelope.customer_id or "",
        _encode([{"kind": ref.kind, "id": ref.id, "version": ref.version} for ref in envelope.resources]),
        body_sha256,
        ids.trace_id_of(envelope.id),
        Leased.WAITING if wanted else Event.IGNORED,
        _PAYMENT if envelope.event_type in _PAYMENTS else _NEWS,
        due_at,
        reason[:500],
    ]
    if _prepared.fits(connection) and (is_new := _prepared.insert(connection, row)) is not None:
        return is_new
    with connection.cursor() as cursor:
        cursor.execute(_INSERT_AMONG_HOSTS if connection.vendor == "postgresql" else _INSERT, row)
        return bool(cursor.rowcount == 1)


def erase(customer_id: str) -> None:
    """Blank what people wrote when they let a parked event of this customer go on or gave it up. Called when the customer is erased."""
    written = Q(reason__startswith=parked.LET_GO_ON) | Q(reason__startswith=parked.DROPPED)
    Event.objects.filter(written, chargebee_customer_id=customer_id).update(reason="erased")


def _moment(connection: Any, value: datetime) -> Any:
    """As text that the database reads as that instant, whatever its own time zone."""
    return str(value) if connection.vendor == "postgresql" else connection.ops.adapt_datetimefield_value(value)
