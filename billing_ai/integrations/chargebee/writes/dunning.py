"""Chargebee's own retries of an invoice, and its closing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing_ai.integrations.chargebee.resources import Invoice
from billing_ai.integrations.chargebee.writes.making import Written, checked, comment_of, write, write_site
from billing_ai.kernel import clock


def stop_dunning(invoice_id: str, *, idempotency_key: str, comment: str = "") -> Written[Invoice]:
    """End Chargebee's own retries of an invoice for good; it becomes `not_paid`."""
    return _dunning("stop_dunning", invoice_id, idempotency_key, comment_of(comment))


def pause_dunning(invoice_id: str, *, expected_payment_date: datetime, idempotency_key: str, comment: str = "") -> Written[Invoice]:
    """Hold Chargebee's retries until a date; on that date Chargebee tries by itself."""
    params = {"expected_payment_date": clock.to_seconds(expected_payment_date), **comment_of(comment)}
    return _dunning("pause_dunning", invoice_id, idempotency_key, params)


def resume_dunning(invoice_id: str, *, idempotency_key: str, comment: str = "") -> Written[Invoice]:
    """Let Chargebee's retries go on."""
    return _dunning("resume_dunning", invoice_id, idempotency_key, comment_of(comment))


def close_invoice(invoice_id: str, *, idempotency_key: str, invoice_note: str = "", comment: str = "") -> Written[Invoice]:
    """Finalise a pending invoice; the last moment at which a note can be put on it."""
    params = {**comment_of(comment), **({"invoice_note": invoice_note} if invoice_note else {})}
    return write(
        "invoice.close",
        "invoice",
        Invoice.from_raw,
        lambda headers: write_site().Invoice.close(checked(invoice_id), params, headers),
        idempotency_key,
    )


def _dunning(verb: str, invoice_id: str, idempotency_key: str, params: dict[str, Any]) -> Written[Invoice]:
    return write(
        f"invoice.{verb}",
        "invoice",
        Invoice.from_raw,
        lambda headers: getattr(write_site().Invoice, verb)(checked(invoice_id), params, headers),
        idempotency_key,
    )
