"""Money in and out of invoices: charging, failing, settling, and what the books say."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import dunning
from billing_ai.simulator.declines import Decline, decline_named, judge
from billing_ai.simulator.errors import ApiError, invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.payments import linked, payment
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

OPEN_STATUSES = ("payment_due", "not_paid", "posted")


def settle_totals(invoice: Thing) -> None:
    """Keep `total = paid + due + written off + credited` true after a change to any part."""
    invoice["amount_due"] = (
        invoice["total"] - invoice["amount_paid"] - invoice["write_off_amount"] - invoice["credits_applied"] - invoice["amount_adjusted"]
    )
    invoice["amount_to_collect"] = max(0, invoice["amount_due"])


def charge(
    site: Site,
    invoice: Thing,
    *,
    amount: int | None = None,
    payment_source_id: str | None = None,
    initiator: str | None = None,
    dunning_attempt: bool = False,
    forced_code: str | None = None,
    forced_success: bool = False,
) -> tuple[Thing, Decline | None]:
    """One attempt to collect. Writes the transaction, the invoice, and the event; returns the transaction and why it failed."""
    customer = site.must("customer", invoice["customer_id"])
    source_id = payment_source_id or _source_of(site, invoice, customer)
    source = site.store.get("payment_source", source_id) if source_id else None
    if payment_source_id and (source is None or source["customer_id"] != customer["id"]):
        raise wrong_value("payment_source_id", f"there is no payment source {payment_source_id} for this customer")
    truth = site.store.get("truth", source_id) if source_id else None
    attempts = len([p for p in invoice["linked_payments"] if p["txn_status"] in ("success", "failure")])
    decline: Decline | None
    if forced_success:
        decline = None
    elif forced_code:
        decline = decline_named(source["gateway"] if source else "stripe", forced_code)
    else:
        decline = judge(site, source, truth, invoice["id"], attempts, site.now())
    due = invoice["amount_to_collect"] if amount is None else amount
    chosen = initiator or ("customer" if site.source == "hosted_page" else "merchant")
    transaction = payment(site.new_id("transaction"), invoice, source, due, decline, site.now(), chosen)
    site.save("transaction", transaction)
    invoice["linked_payments"].append(linked(transaction))
    if decline is None:
        record_success(site, invoice, transaction, due)
    else:
        _record_failure(site, invoice, transaction, dunning_attempt)
    return transaction, decline


def record_success(site: Site, invoice: Thing, transaction: Thing, amount: int) -> None:
    """Apply a payment that came in. Paid in full stops dunning."""
    invoice["amount_paid"] += amount
    settle_totals(invoice)
    if invoice["amount_due"] <= 0:
        invoice["status"] = "paid"
        invoice["paid_at"] = site.now()
        dunning.end(site, invoice, "success")
    site.save("invoice", invoice)
    refresh_dues(site, invoice)
    emit(site, "payment_succeeded", transaction=transaction, invoice=invoice)


def _record_failure(site: Site, invoice: Thing, transaction: Thing, dunning_attempt: bool) -> None:
    is_first = invoice.get("dunning_status") is None
    if invoice["status"] in ("posted", "payment_due"):
        invoice["status"] = "payment_due"
    if dunning_attempt or is_first:
        dunning.note_failure(site, invoice, transaction, is_first=is_first)
    site.save("invoice", invoice)
    refresh_dues(site, invoice)
    emit(site, "payment_failed", transaction=transaction, invoice=invoice)
    if invoice.get("dunning_status") == "exhausted":
        dunning.final_action(site, invoice)


def collect(site: Site, invoice_id: str, params: dict[str, Any]) -> tuple[Thing, Thing]:
    """`Invoice.collect_payment`: invoice and transaction. Raises 409 in the wrong state, 400 payment on a decline."""
    invoice = site.must("invoice", invoice_id)
    if invoice["status"] not in OPEN_STATUSES or invoice["amount_to_collect"] <= 0:
        raise invalid_state(f"The invoice {invoice_id} is {invoice['status']} and has nothing to collect")
    amount = params.get("amount")
    if amount is not None and not 0 < amount <= invoice["amount_to_collect"]:
        raise wrong_value("amount", f"should be between 1 and {invoice['amount_to_collect']}")
    transaction, decline = charge(
        site, invoice, amount=amount, payment_source_id=params.get("payment_source_id"), initiator=params.get("payment_initiator")
    )
    if decline is not None:
        raise Declined(decline, transaction)
    return invoice, transaction


class Declined(ApiError):
    """A decline: the answer is an error, yet what happened stays (the failed transaction is committed)."""

    def __init__(self, decline: Decline, transaction: Thing) -> None:
        super().__init__(
            400,
            "payment_processing_failed",
            f"Problem while processing the payment. Error message: {decline.text}",
            kind="payment",
            extra={"error_cause_id": transaction["id"]},
        )


def _source_of(site: Site, invoice: Thing, customer: Thing) -> str | None:
    subscription = site.store.get("subscription", invoice.get("subscription_id") or "")
    chosen = (subscription or {}).get("payment_source_id") or customer.get("primary_payment_source_id")
    return str(chosen) if chosen else None


def refresh_dues(site: Site, invoice: Thing) -> None:
    """Bring the due figures of the invoice's subscriptions up to date."""
    owners = {line.get("subscription_id") for line in invoice["line_items"]} | {invoice.get("subscription_id")}
    for subscription_id in sorted(owner for owner in owners if owner):
        subscription = site.store.get("subscription", subscription_id)
        if subscription is None:
            continue
        open_ones = [
            i
            for i in site.store.find("invoice", "customer_id = ? AND status IN ('payment_due','not_paid')", (invoice["customer_id"],))
            if any(line.get("subscription_id") == subscription_id for line in i["line_items"])
        ]
        dues = sum(i["amount_due"] for i in open_ones)
        if (len(open_ones), dues) == (subscription.get("due_invoices_count", 0), subscription.get("total_dues", 0)):
            continue
        subscription["due_invoices_count"] = len(open_ones)
        subscription["total_dues"] = dues
        subscription["due_since"] = min((i["due_date"] or i["date"] for i in open_ones), default=None)
        site.save("subscription", subscription)


def books(site: Site) -> dict[str, dict[str, int]]:
    """Per currency: billed, paid, due, written off, credited (minor units), and whether they balance."""
    rows = site.store.rows(
        "SELECT json_extract(body,'$.currency_code'), sum(json_extract(body,'$.total')), sum(json_extract(body,'$.amount_paid')),"
        " sum(json_extract(body,'$.amount_due')), sum(json_extract(body,'$.write_off_amount')),"
        " sum(json_extract(body,'$.credits_applied') + json_extract(body,'$.amount_adjusted'))"
        " FROM invoice WHERE status NOT IN ('voided','pending') GROUP BY 1 ORDER BY 1"
    )
    names = ("billed", "paid", "due", "written_off", "credited")
    result: dict[str, dict[str, int]] = {}
    for row in rows:
        entry = dict(zip(names, (int(value or 0) for value in row[1:]), strict=True))
        entry["difference"] = entry["billed"] - entry["paid"] - entry["due"] - entry["written_off"] - entry["credited"]
        result[row[0]] = entry
    return result
