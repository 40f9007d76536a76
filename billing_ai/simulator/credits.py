"""Credit notes, refunds, write-offs: money given back or given up, so that the books stay true."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import billing, dunning
from billing_ai.simulator.errors import invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.payments import payment
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing


def credited_so_far(site: Site, invoice: Thing) -> int:
    """What refundable credit notes have already given back on an invoice."""
    return sum(note["cn_total"] for note in invoice["issued_credit_notes"] if note["cn_status"] != "voided")


def refundable_left(site: Site, invoice: Thing) -> int:
    """How much of what came in can still be credited."""
    return int(invoice["amount_paid"] + invoice["credits_applied"] - credited_so_far(site, invoice))


def adjust(site: Site, invoice: Thing, total: int, reason: str, *, write_off: bool = False, lines: list[Thing] | None = None) -> Thing:
    """An adjustment credit note: less is due. Raises wrong_value above what is due."""
    if not 0 < total <= invoice["amount_due"]:
        raise wrong_value("total", f"should be between 1 and the amount due, {invoice['amount_due']}")
    note = _note(site, invoice, "adjustment", total, reason, lines)
    note |= {"status": "adjusted", "amount_allocated": total, "amount_available": 0}
    invoice["write_off_amount" if write_off else "amount_adjusted"] += total
    invoice["adjustment_credit_notes"].append(_reference(note))
    _settle_if_done(site, invoice)
    site.save("credit_note", note)
    emit(site, "credit_note_created", credit_note=note)
    emit(site, "invoice_updated", invoice=invoice)
    return note


def give_back(site: Site, invoice: Thing, total: int, reason: str, lines: list[Thing] | None = None) -> Thing:
    """A refundable credit note over a paid amount: the customer may use it or have it refunded."""
    if not 0 < total <= refundable_left(site, invoice):
        raise wrong_value("total", f"should be between 1 and what is left to credit, {refundable_left(site, invoice)}")
    note = _note(site, invoice, "refundable", total, reason, lines)
    note |= {"status": "refund_due", "amount_allocated": 0, "amount_available": total}
    invoice["issued_credit_notes"].append(_reference(note))
    site.save("invoice", invoice)
    site.save("credit_note", note)
    _add_refundable(site, note["customer_id"], total)
    emit(site, "credit_note_created", credit_note=note)
    return note


def use_on(site: Site, note: Thing, invoice: Thing) -> int:
    """Apply what a refundable credit note has left to an open invoice; how much that was."""
    amount = min(int(note["amount_available"]), int(invoice["amount_due"]))
    if amount <= 0:
        return 0
    note["amount_available"] -= amount
    note["amount_allocated"] += amount
    note["allocations"].append(
        {
            "invoice_id": invoice["id"],
            "allocated_amount": amount,
            "allocated_at": site.now(),
            "invoice_date": invoice["date"],
            "invoice_status": invoice["status"],
            "object": "allocation",
        }
    )
    if note["amount_available"] == 0:
        note["status"] = "refunded"
    invoice["credits_applied"] += amount
    invoice["applied_credits"].append(
        {
            "cn_id": note["id"],
            "applied_amount": amount,
            "applied_at": site.now(),
            "cn_reason_code": note["reason_code"],
            "cn_date": note["date"],
            "cn_status": note["status"],
            "object": "applied_credit",
        }
    )
    _add_refundable(site, note["customer_id"], -amount)
    site.save("credit_note", note)
    _settle_if_done(site, invoice)
    return amount


def refund(site: Site, invoice: Thing, amount: int | None, reason: str, comment: str | None = None) -> tuple[Thing, Thing]:
    """Pay back: a refundable credit note and the refund transaction, at once."""
    left = min(refundable_left(site, invoice), invoice["amount_paid"])
    if invoice["amount_paid"] <= 0 or left <= 0:
        raise invalid_state(f"The invoice {invoice['id']} has no payment left to refund")
    total = left if amount is None else amount
    if not 0 < total <= left:
        raise wrong_value("refund_amount", f"should be between 1 and {left}")
    note = give_back(site, invoice, total, reason)
    return note, pay_out(site, invoice, note, total)


def pay_out(site: Site, invoice: Thing, note: Thing, total: int) -> Thing:
    """The refund transaction for a refundable credit note."""
    if not 0 < total <= note["amount_available"]:
        raise wrong_value("refund_amount", f"should be between 1 and {note['amount_available']}")
    paid_by = next((p["txn_id"] for p in invoice["linked_payments"] if p["txn_status"] == "success"), None)
    original = site.store.get("transaction", paid_by or "")
    source = site.store.get("payment_source", (original or {}).get("payment_source_id") or "")
    transaction = payment(site.new_id("transaction"), invoice, source, total, None, site.now())
    transaction |= {"type": "refund", "linked_invoices": [], "refunded_txn_id": paid_by, "reference_transaction_id": paid_by}
    transaction["linked_credit_notes"] = [
        {
            "cn_id": note["id"],
            "applied_amount": total,
            "applied_at": site.now(),
            "cn_reason_code": note["reason_code"],
            "cn_date": note["date"],
            "cn_total": note["total"],
            "cn_status": "refunded",
            "cn_reference_invoice_id": invoice["id"],
            "object": "linked_credit_note",
        }
    ]
    site.save("transaction", transaction)
    if original is not None:
        original["linked_refunds"].append(
            {"txn_id": transaction["id"], "txn_status": "success", "txn_date": site.now(), "txn_amount": total, "object": "linked_refund"}
        )
        site.save("transaction", original)
    note["amount_available"] -= total
    note["amount_refunded"] += total
    note["linked_refunds"].append(
        {
            "txn_id": transaction["id"],
            "applied_amount": total,
            "applied_at": site.now(),
            "txn_status": "success",
            "txn_date": site.now(),
            "txn_amount": total,
            "object": "linked_refund",
        }
    )
    if note["amount_available"] == 0:
        note |= {"status": "refunded", "refunded_at": site.now()}
    site.save("credit_note", note)
    _add_refundable(site, note["customer_id"], -total)
    emit(site, "payment_refunded", transaction=transaction, invoice=invoice, credit_note=note)
    return transaction


def write_off(site: Site, invoice: Thing) -> Thing:
    """Give up what is due."""
    if invoice["status"] not in billing.OPEN_STATUSES or invoice["amount_due"] <= 0:
        raise invalid_state(f"The invoice {invoice['id']} is {invoice['status']} and cannot be written off")
    return adjust(site, invoice, invoice["amount_due"], "write_off", write_off=True)


def _settle_if_done(site: Site, invoice: Thing) -> None:
    billing.settle_totals(invoice)
    if invoice["amount_due"] <= 0 and invoice["status"] in billing.OPEN_STATUSES:
        invoice |= {"status": "paid", "paid_at": site.now()}
        dunning.end(site, invoice, "success")
    site.save("invoice", invoice)
    billing.refresh_dues(site, invoice)


def _add_refundable(site: Site, customer_id: str, amount: int) -> None:
    customer = site.must("customer", customer_id)
    customer["refundable_credits"] = customer.get("refundable_credits", 0) + amount
    site.save("customer", customer)


def _note(site: Site, invoice: Thing, kind: str, total: int, reason: str, lines: list[Thing] | None) -> Thing:
    shown = lines or [
        {
            "id": site.new_id("line_item"), "subscription_id": invoice.get("subscription_id"), "customer_id": invoice["customer_id"],
            "date_from": invoice["date"], "date_to": invoice["date"], "unit_amount": total, "quantity": 1, "amount": total, "is_taxed": False,
            "tax_amount": 0, "discount_amount": 0, "description": f"Credit for invoice {invoice['id']}", "entity_type": "adhoc",
            "reference_line_item_id": invoice["line_items"][0]["id"] if invoice["line_items"] else None, "object": "line_item",
        }
    ]  # fmt: skip
    note: dict[str, Any] = {
        "id": site.new_id("credit_note"),
        "customer_id": invoice["customer_id"],
        "subscription_id": invoice.get("subscription_id"),
        "reference_invoice_id": invoice["id"],
        "type": kind,
        "reason_code": reason,
        "create_reason_code": reason,
        "date": site.now(),
        "generated_at": site.now(),
        "price_type": "tax_exclusive",
        "currency_code": invoice["currency_code"],
        "total": total,
        "sub_total": total - sum(line.get("tax_amount", 0) for line in shown),
        "amount_refunded": 0,
        "round_off_amount": 0,
        "channel": "web",
        "deleted": False,
        "object": "credit_note",
        "line_items": shown,
        "discounts": [],
        "taxes": [],
        "linked_refunds": [],
        "allocations": [],
    }
    return note


def _reference(note: Thing) -> Thing:
    return {
        "cn_id": note["id"],
        "cn_reason_code": note["reason_code"],
        "cn_create_reason_code": note["create_reason_code"],
        "cn_date": note["date"],
        "cn_total": note["total"],
        "cn_status": note["status"],
        "object": "issued_credit_note",
    }
