"""What we believe about invoices against what is so: for news that neither a webhook nor Chargebee's list of events brought.

Chargebee's list of invoices is read in the order in which they changed, up to a quarter of an hour ago: what is newer is still on its way by the
usual means. Where it says otherwise than we do, that is stored as an event and goes the usual way: fetched anew, settled, given to the agents.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.db import transaction

from billing_ai.facts import models as facts
from billing_ai.inbox import cursors, intake
from billing_ai.integrations.chargebee import reads
from billing_ai.integrations.chargebee.events import EventEnvelope, ResourceRef
from billing_ai.integrations.chargebee.resources import Invoice
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError
from billing_ai.work.wake import wake

CURSOR = "inbox.invoices_compared_to"
NEWS_MAY_TAKE = timedelta(minutes=15)
_OVERLAP = timedelta(minutes=10)
_MOST = 1_000
"""Invoices a run."""
_OWED = frozenset({"payment_due", "not_paid"})


def run() -> tuple[str, int]:
    """Compare what has changed since the last run. What was done, in words, and how many beliefs were wrong."""
    until = clock.now() - NEWS_MAY_TAKE
    cursor = cursors.read(CURSOR)
    looked_at = wrong = 0
    stopped = ""
    try:
        for invoice in reads.list_invoices(updated_after=cursor - _OVERLAP):
            if invoice.updated_at is None or invoice.updated_at > until or looked_at >= _MOST:
                break
            looked_at += 1
            wrong += _is_news(invoice) and _store(invoice)
            cursor = max(cursor, invoice.updated_at)
    except OutsideError as error:
        stopped = error.sentence
    cursors.write(CURSOR, cursor)
    if wrong:
        with transaction.atomic():
            wake("inbox.process")
    return (
        f"stopped after {looked_at} invoices: {stopped}" if stopped else f"{looked_at} invoices looked at, {wrong} were otherwise"
    ), wrong


def _is_news(invoice: Invoice) -> bool:
    """Whether we hold it otherwise; or not at all, although it is owed."""
    held = facts.Invoice.objects.filter(pk=invoice.id).values_list("status", "amount_due_minor", "resource_version").first()
    if held is None:
        return invoice.status in _OWED
    status, amount_due_minor, version = held
    return (status, amount_due_minor) != (invoice.status, invoice.amount_due_minor) and version < (invoice.version or version + 1)


def _store(invoice: Invoice) -> bool:
    """As news of this version of the invoice. False when that is known already, and only not done yet."""
    event_id = f"invoice:{invoice.id}:{invoice.version or 0}"
    envelope = EventEnvelope(
        id=event_id,
        event_type="invoice_updated",
        occurred_at=invoice.updated_at,
        api_version="v2",
        source="invoices",
        resources=(ResourceRef("invoice", invoice.id, invoice.version),),
        customer_id=invoice.customer_id,
    )
    with transaction.atomic():
        return intake.store(envelope, body_sha256=hashlib.sha256(event_id.encode()).hexdigest(), found_by="invoices")
