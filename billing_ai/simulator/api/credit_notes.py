"""Credit notes and promotional credits."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import credits
from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing


@answers("credit_note.create")
def create(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    if not params.get("reference_invoice_id"):
        raise wrong_value("reference_invoice_id", "cannot be blank")
    if not params.get("reason_code") and not params.get("create_reason_code"):
        raise wrong_value("reason_code", "cannot be blank")
    invoice = site.must("invoice", params["reference_invoice_id"])
    if invoice["status"] in ("voided", "pending"):
        raise invalid_state(f"The invoice {invoice['id']} is {invoice['status']}")
    lines = _lines(site, invoice, params.get("line_items") or [])
    total = sum(line["amount"] + line["tax_amount"] for line in lines) if lines else params.get("total")
    if not total:
        raise wrong_value("total", "cannot be blank without line items")
    reason = params.get("reason_code") or params["create_reason_code"]
    if params["type"] == "adjustment":
        if invoice["amount_due"] <= 0:
            raise invalid_state(f"The invoice {invoice['id']} has nothing due to adjust")
        note = credits.adjust(site, invoice, total, reason, lines=lines or None)
    elif params["type"] == "refundable":
        note = credits.give_back(site, invoice, total, reason, lines or None)
    else:
        raise wrong_value("type", "only adjustment and refundable credit notes are simulated")
    if params.get("customer_notes"):
        note["customer_notes"] = params["customer_notes"]
        site.save("credit_note", note)
    return {"credit_note": public(note), "invoice": public(site.must("invoice", invoice["id"]))}


def _lines(site: Site, invoice: Thing, given: list[dict[str, Any]]) -> list[Thing]:
    lines = []
    known = {line["id"]: line for line in invoice["line_items"]}
    for index, entry in enumerate(given):
        billed = known.get(entry.get("reference_line_item_id") or "")
        if billed is None:
            raise wrong_value(f"line_items[reference_line_item_id][{index}]", "is not a line of the invoice")
        amount = entry.get("amount")
        if amount is None:
            amount = (entry.get("unit_amount") or billed["unit_amount"]) * (entry.get("quantity") or 1)
        if not 0 < amount <= billed["amount"]:
            raise wrong_value(f"line_items[amount][{index}]", f"should be between 1 and {billed['amount']}")
        tax = round(billed["tax_amount"] * amount / billed["amount"])
        lines.append(billed | {"id": site.new_id("line_item"), "reference_line_item_id": billed["id"], "amount": amount, "tax_amount": tax})
    return lines


@answers("credit_note.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"credit_note": public(site.must("credit_note", ids[0]))}


@answers("credit_note.list")
def list_notes(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "credit_note", params)


@answers("credit_note.credit_notes_for_customer")
def for_customer(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "credit_note", params, where="customer_id = ?", values=(ids[0],))


@answers("credit_note.refund")
def refund(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    note = site.must("credit_note", ids[0])
    if note["type"] != "refundable" or note["amount_available"] <= 0:
        raise invalid_state(f"The credit note {ids[0]} has nothing to refund")
    invoice = site.must("invoice", note["reference_invoice_id"])
    transaction = credits.pay_out(site, invoice, note, params.get("refund_amount") or note["amount_available"])
    return {"credit_note": public(note), "transaction": public(transaction)}


@answers("credit_note.void_credit_note")
def void(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    note = site.must("credit_note", ids[0])
    if note["type"] != "refundable" or note["amount_allocated"] or note["amount_refunded"]:
        raise invalid_state(f"The credit note {ids[0]} is in use and cannot be voided")
    customer = site.must("customer", note["customer_id"])
    site.save("customer", customer | {"refundable_credits": customer["refundable_credits"] - note["amount_available"]})
    invoice = site.must("invoice", note["reference_invoice_id"])
    for entry in invoice["issued_credit_notes"]:
        if entry["cn_id"] == note["id"]:
            entry["cn_status"] = "voided"
    site.save("invoice", invoice)
    note |= {"status": "voided", "voided_at": site.now(), "amount_available": 0}
    site.save("credit_note", note)
    emit(site, "credit_note_updated", credit_note=note)
    return {"credit_note": public(note)}


@answers("promotional_credit.list")
def list_promotional(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "promotional_credit", params)


@answers("promotional_credit.retrieve")
def retrieve_promotional(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"promotional_credit": public(site.must("promotional_credit", ids[0]))}


@answers("promotional_credit.add")
def add(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return _promotional(site, params, 1)


@answers("promotional_credit.deduct")
def deduct(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return _promotional(site, params, -1)


@answers("promotional_credit.set")
def set_balance(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    customer = site.must("customer", params["customer_id"])
    difference = params["amount"] - customer["promotional_credits"]
    return _promotional(site, params | {"amount": abs(difference)}, 1 if difference >= 0 else -1)


def _promotional(site: Site, params: dict[str, Any], sign: int) -> dict[str, Any]:
    customer = site.must("customer", params["customer_id"])
    amount = params.get("amount")
    if amount is None or amount <= 0:
        raise wrong_value("amount", "should be at least 1")
    if params.get("currency_code", customer["preferred_currency_code"]) != customer["preferred_currency_code"]:
        raise wrong_value("currency_code", f"the customer's currency is {customer['preferred_currency_code']}")
    if sign < 0 and amount > customer["promotional_credits"]:
        raise wrong_value("amount", f"the customer has only {customer['promotional_credits']}")
    customer["promotional_credits"] += sign * amount
    site.save("customer", customer)
    credit: Thing = {
        "id": site.new_id("promotional_credit"),
        "customer_id": customer["id"],
        "type": "increment" if sign > 0 else "decrement",
        "amount": amount,
        "currency_code": customer["preferred_currency_code"],
        "description": params["description"],
        "credit_type": params.get("credit_type") or "general",
        "reference": params.get("reference"),
        "closing_balance": customer["promotional_credits"],
        "done_by": "full_access_key_v1",
        "created_at": site.now(),
        "object": "promotional_credit",
    }
    site.save("promotional_credit", credit)
    emit(site, "promotional_credits_added" if sign > 0 else "promotional_credits_deducted", customer=customer, promotional_credit=credit)
    return {"customer": public(customer), "promotional_credit": public(credit)}
