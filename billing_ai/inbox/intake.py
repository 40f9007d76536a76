"""Storing an event once. The only way in, for webhooks and for what reconciliation finds."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection
from django.db.models import Q

from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee.events import EventEnvelope, parse_event
from billing_ai.kernel import clock, ids
from billing_ai.work import parked
from billing_ai.work.models import Lane, Leased

_PAYMENTS = frozenset({"payment_succeeded", "payment_refunded"})
_COLUMNS = (
    "chargebee_event_id", "event_type", "occurred_at", "received_at", "source", "api_version", "found_by", "chargebee_customer_id", "resources",
    "body_sha256", "trace_id", "status", "lane", "not_before", "reason",
)  # fmt: skip
# Written by hand: the ORM's bulk_create costs twice the CPU of this one statement, and cannot say whether the row was new.
_INSERT = (
    f"INSERT INTO inbox_event ({', '.join(_COLUMNS)}, attempt, max_attempts) VALUES ({', '.join(['%s'] * len(_COLUMNS))}, 0, 8) "  # noqa: S608 - constants above
    "ON CONFLICT (chargebee_event_id) DO NOTHING"
)


def read_envelope(raw: Any) -> EventEnvelope:
    """What is kept of an event. Raises ForeignShape when it is no Chargebee event."""
    return parse_event(raw)


def store(envelope: EventEnvelope, *, body_sha256: str, found_by: str = "webhook") -> bool:
    """Insert the event unless its id is known. True when it is new. Types that nothing wants are stored as ignored."""
    now = clock.now()
    due_at = _moment(now)
    wanted = envelope.is_handled and not envelope.is_test
    reason = "" if wanted else ("a test from Chargebee's console" if envelope.is_test else f"nothing here acts on {envelope.event_type}")
    if envelope.oddities:
        reason = f"{reason} odd fields: {', '.join(envelope.oddities)}".strip()
    row: list[Any] = [
        envelope.id,
        envelope.event_type,
        _moment(envelope.occurred_at) if envelope.occurred_at else due_at,
        due_at,
        envelope.source[:30],
        envelope.api_version[:10],
        found_by,
        envelope.customer_id or "",
        json.dumps([{"kind": ref.kind, "id": ref.id, "version": ref.version} for ref in envelope.resources]),
        body_sha256,
        ids.new_trace_id(),
        Leased.WAITING if wanted else Event.IGNORED,
        Lane.PAYMENT if envelope.event_type in _PAYMENTS else Lane.NEWS,
        due_at,
        reason[:500],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, row)
        return bool(cursor.rowcount == 1)


def erase(customer_id: str) -> None:
    """Blank what people wrote when they let a parked event of this customer go on or gave it up. Called when the customer is erased."""
    written = Q(reason__startswith=parked.LET_GO_ON) | Q(reason__startswith=parked.DROPPED)
    Event.objects.filter(written, chargebee_customer_id=customer_id).update(reason="erased")


def _moment(value: Any) -> Any:
    return connection.ops.adapt_datetimefield_value(value)
