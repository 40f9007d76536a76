"""Charges, refunds and credits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing_ai.integrations.chargebee import budget
from billing_ai.integrations.chargebee.call import run
from billing_ai.integrations.chargebee.payment_resources import CreditNote, PromotionalCredit, Transaction
from billing_ai.integrations.chargebee.resources import Invoice
from billing_ai.integrations.chargebee.writes.making import (
    LONGEST_COLLECT_COMMENT,
    Written,
    checked,
    headers_for,
    not_longer,
    write,
    write_site,
)


@dataclass(frozen=True, slots=True)
class Collected:
    """A payment that went through, or that is on its way (`transaction.status` `in_progress` for a direct debit)."""

    invoice: Invoice
    transaction: Transaction
    was_replayed: bool


def collect_payment(
    invoice_id: str, *, idempotency_key: str, amount_minor: int | None = None, payment_source_id: str = "", comment: str = ""
) -> Collected:
    """Charge an open invoice, in full or `amount_minor` of it. A decline raises Declined. Success ends Chargebee's own dunning of it."""
    not_longer(comment, LONGEST_COLLECT_COMMENT, "comment")
    params: dict[str, Any] = {"payment_initiator": "merchant"}
    if amount_minor is not None:
        params["amount"] = amount_minor
    if payment_source_id:
        params["payment_source_id"] = payment_source_id
    if comment:
        params["comment"] = comment
    headers = headers_for(idempotency_key)

    def call() -> Collected:
        answer = write_site().Invoice.collect_payment(checked(invoice_id), params, headers)
        return Collected(
            Invoice.from_raw(answer.invoice.raw_data),
            Transaction.from_raw(answer.transaction.raw_data),
            bool(answer.is_idempotency_replayed),
        )

    with budget.at_least(budget.Lane.EXECUTION):
        return run("invoice.collect_payment", call, has_effect=True)


def refund_invoice(
    invoice_id: str,
    *,
    idempotency_key: str,
    amount_minor: int | None = None,
    reason_code: str = "",
    comment: str = "",
    customer_notes: str = "",
) -> Written[Transaction]:
    """Give back a paid invoice, in full or in part, to where it was paid from."""
    params: dict[str, Any] = {}
    if amount_minor is not None:
        params["refund_amount"] = amount_minor
    if reason_code:
        params["credit_note"] = {"reason_code": reason_code}
    if comment:
        params["comment"] = comment
    if customer_notes:
        params["customer_notes"] = customer_notes
    return write(
        "invoice.refund",
        "transaction",
        Transaction.from_raw,
        lambda headers: write_site().Invoice.refund(checked(invoice_id), params, headers),
        idempotency_key,
    )


def create_credit_note(
    reference_invoice_id: str,
    *,
    idempotency_key: str,
    type: str,
    reason_code: str,
    total_minor: int | None = None,
    line_items: Sequence[Mapping[str, Any]] = (),
    customer_notes: str = "",
    comment: str = "",
) -> Written[CreditNote]:
    """Credit an invoice by a total or by lines. `type`: `adjustment` (still due) or `refundable` (paid)."""
    params: dict[str, Any] = {"reference_invoice_id": checked(reference_invoice_id), "type": type, "reason_code": reason_code}
    if total_minor is not None:
        params["total"] = total_minor
    if line_items:
        params["line_items"] = [dict(line) for line in line_items]
    if customer_notes:
        params["customer_notes"] = customer_notes
    if comment:
        params["comment"] = comment
    return write(
        "credit_note.create",
        "credit_note",
        CreditNote.from_raw,
        lambda headers: write_site().CreditNote.create(params, headers),
        idempotency_key,
    )


def add_promotional_credit(
    customer_id: str, *, idempotency_key: str, amount_minor: int, currency: str, description: str, reference: str = ""
) -> Written[PromotionalCredit]:
    """Give a customer credit for coming invoices."""
    params: dict[str, Any] = {
        "customer_id": checked(customer_id),
        "amount": amount_minor,
        "currency_code": currency,
        "description": description,
        "credit_type": "general",
    }
    if reference:
        params["reference"] = reference
    return write(
        "promotional_credit.add",
        "promotional_credit",
        PromotionalCredit.from_raw,
        lambda headers: write_site().PromotionalCredit.add(params, headers),
        idempotency_key,
    )
