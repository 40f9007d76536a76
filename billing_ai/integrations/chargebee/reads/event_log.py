"""Chargebee's own record of its events: the second way to learn of one, when the webhook did not come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from billing_ai.integrations.chargebee.client import read_site
from billing_ai.integrations.chargebee.events import EventEnvelope, ForeignShape, parse_event
from billing_ai.integrations.chargebee.reads.asking import checked, in_, many, oldest_first, one
from billing_ai.integrations.chargebee.shapes import Raw
from billing_ai.kernel import clock

EVENT_LIST_LAG = timedelta(minutes=10)
"""How far back a reconciliation reaches behind its cursor: Chargebee's list may lag by 5 minutes; as much again for clocks."""


def retrieve_event(event_id: str) -> EventEnvelope:
    """An event that Chargebee has on record; it proves that a webhook was no invention. Raises Terminal when there is none."""
    return one("event.retrieve", "event", lambda: read_site().Event.retrieve(checked(event_id)), parse_event)


def list_events(
    *, occurred_after: datetime, occurred_before: datetime | None = None, event_types: Sequence[str] = ()
) -> Iterator[EventEnvelope]:
    """Events as Chargebee has them on record, oldest first; what is no readable event is passed over."""
    after = clock.to_seconds(occurred_after)
    span = {"between": [after, clock.to_seconds(occurred_before)]} if occurred_before else {"after": after}
    params = {"occurred_at": span, **in_("event_type", event_types), **oldest_first("occurred_at")}
    for envelope in many("event", lambda page: read_site().Event.list(page), params, _event_or_none):
        if envelope is not None:
            yield envelope


def events_to_reconcile(cursor: datetime, *, event_types: Sequence[str] = ()) -> Iterator[EventEnvelope]:
    """Events since a cursor, reaching back EVENT_LIST_LAG behind it, since the list lags. The same event may come again: dedupe on its id.

    The next cursor is the latest `occurred_at` that came, never the present time.
    """
    return list_events(occurred_after=cursor - EVENT_LIST_LAG, event_types=event_types)


def _event_or_none(raw: Raw) -> EventEnvelope | None:
    try:
        return parse_event(raw)
    except ForeignShape:
        return None
