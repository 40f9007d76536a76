"""Invoices: refunding, recording, closing, writing off, voiding, making them by hand, and the PDF."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import billing, credits, dunning, terms
from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.invoicing import line_item
from billing_ai.simulator.payments import linked, payment
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing

PDF_LIVES_SECONDS = 3_600


@answers("invoice.refund")
def refund(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice = site.must("invoice", ids[0])
    reason = (params.get("credit_note") or {}).get("reason_code") or "other"
    note, transaction = credits.refund(site, invoice, params.get("refund_amount"), reason)
    if params.get("customer_notes"):
        site.save("credit_note", note | {"customer_notes": params["customer_notes"]})
    return {"invoice": public(site.must("invoice", ids[0])), "transaction": public(transaction), "credit_note": public(note)}


@answers("invoice.record_payment")
def record_payment(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice = site.must("invoice", ids[0])
    told = params.get("transaction") or {}
    if invoice["status"] not in billing.OPEN_STATUSES:
        raise invalid_state(f"The invoice {ids[0]} is {invoice['status']}")
    amount = told.get("amount") or invoice["amount_due"]
    if not 0 < amount <= invoice["amount_due"]:
        raise wrong_value("transaction[amount]", f"should be between 1 and {invoice['amount_due']}")
    transaction = payment(site.new_id("transaction"), invoice, None, amount, None, told.get("date") or site.now(), "customer")
    transaction |= {"payment_method": told.get("payment_method", "bank_transfer"), "reference_number": told.get("reference_number")}
    site.save("transaction", transaction)
    invoice["linked_payments"].append(linked(transaction))
    billing.record_success(site, invoice, transaction, amount)
    return {"invoice": public(invoice), "transaction": public(transaction)}


@answers("invoice.write_off")
def write_off(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    note = credits.write_off(site, site.must("invoice", ids[0]))
    return {"invoice": public(site.must("invoice", ids[0])), "credit_note": public(note)}


@answers("invoice.void_invoice")
def void(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice = site.must("invoice", ids[0])
    if invoice["status"] == "voided":
        raise invalid_state(f"The invoice {ids[0]} is already voided")
    if invoice["amount_paid"] or invoice["credits_applied"]:
        raise invalid_state(f"The invoice {ids[0]} has payments or credits and cannot be voided")
    dunning.end(site, invoice, "stopped")
    invoice |= {
        "status": "voided",
        "voided_at": site.now(),
        "amount_due": 0,
        "amount_to_collect": 0,
        "void_reason_code": params.get("void_reason_code"),
    }
    site.save("invoice", invoice)
    billing.refresh_dues(site, invoice)
    emit(site, "invoice_updated", invoice=invoice)
    return {"invoice": public(invoice)}


@answers("invoice.close")
def close(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice = site.must("invoice", ids[0])
    if invoice["status"] != "pending":
        raise invalid_state(f"The invoice {ids[0]} is {invoice['status']}: only a pending invoice can be closed")
    if params.get("invoice_note"):
        invoice["notes"].append({"note": params["invoice_note"], "object": "note"})
    invoice["status"] = "posted" if invoice["net_term_days"] else "payment_due"
    invoice["generated_at"] = site.now()
    site.save("invoice", invoice)
    emit(site, "invoice_generated", invoice=invoice)
    if invoice["status"] == "payment_due" and site.must("customer", invoice["customer_id"])["auto_collection"] != "off":
        billing.charge(site, invoice)
    return {"invoice": public(site.must("invoice", ids[0]))}


@answers("invoice.update_details")
def update_details(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice = site.must("invoice", ids[0])
    for name in ("billing_address", "shipping_address"):
        if params.get(name):
            invoice[name] = (invoice.get(name) or {}) | params[name]
    for name in ("vat_number", "po_number"):
        if params.get(name) is not None:
            invoice[name] = params[name]
    site.save("invoice", invoice)
    emit(site, "invoice_updated", invoice=invoice)
    return {"invoice": public(invoice)}


@answers("invoice.apply_credits")
def apply_credits(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice = site.must("invoice", ids[0])
    wanted = [entry["id"] for entry in params.get("credit_notes") or []]
    notes = [site.must("credit_note", ident) for ident in wanted] or site.store.find(
        "credit_note", "customer_id = ? AND status = 'refund_due'", (invoice["customer_id"],)
    )
    if not notes or invoice["amount_due"] <= 0:
        raise invalid_state("There is no credit to apply, or nothing due")
    for note in notes:
        credits.use_on(site, note, invoice)
    emit(site, "invoice_updated", invoice=invoice)
    return {"invoice": public(invoice)}


@answers("invoice.create_for_charge_items_and_charges")
def create_for_charges(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", params["subscription_id"]) if params.get("subscription_id") else None
    customer_id = params.get("customer_id") or (subscription or {}).get("customer_id")
    if not customer_id:
        raise wrong_value("customer_id", "cannot be blank")
    customer = site.must("customer", customer_id)
    lines = [_price_line(site, customer, subscription, entry) for entry in params.get("item_prices") or []]
    lines += [_charge_line(site, customer, subscription, entry) for entry in params.get("charges") or []]
    if not lines:
        raise wrong_value("charges", "at least one charge or item price is needed")
    basis = {
        "currency_code": params.get("currency_code") or (subscription or {}).get("currency_code") or customer["preferred_currency_code"],
        "auto_collection": params.get("auto_collection") or customer["auto_collection"],
        "net_term_days": params.get("net_term_days") or 0,
    }
    notes = [{"note": params["invoice_note"], "object": "note"}] if params.get("invoice_note") else []
    pending = bool(params.get("create_pending_invoice"))
    owner = subscription["id"] if subscription else None
    return {
        "invoice": public(terms.issue(site, customer, lines, basis, subscription_id=owner, recurring=False, notes=notes, pending=pending))
    }


@answers("invoice.create_for_charge_item")
def create_for_charge_item(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return create_for_charges(site, ids, params | {"item_prices": [params["item_price"]]} if params.get("item_price") else params)


def _price_line(site: Site, customer: Thing, subscription: Thing | None, entry: dict[str, Any]) -> Thing:
    price = site.must("item_price", entry.get("item_price_id") or "")
    unit = int(price["price"] if entry.get("unit_price") is None else entry["unit_price"])
    return _line(
        site,
        customer,
        subscription,
        entry.get("description") or price["external_name"],
        f"{price['item_type']}_item_price",
        price["id"],
        unit,
        entry.get("quantity") or 1,
    )


def _charge_line(site: Site, customer: Thing, subscription: Thing | None, entry: dict[str, Any]) -> Thing:
    amount = entry.get("amount")
    if not amount or amount <= 0:
        raise wrong_value("charges[amount]", "should be at least 1")
    return _line(site, customer, subscription, entry.get("description") or "Charge", "adhoc", None, amount, 1)


def _line(
    site: Site, customer: Thing, subscription: Thing | None, text: str, kind: str, entity: str | None, unit: int, quantity: int
) -> Thing:
    return line_item(
        ident=site.new_id("line_item"), subscription_id=(subscription or {}).get("id"), customer_id=customer["id"], description=text, entity_type=kind,
        entity_id=entity, unit_amount=unit, quantity=quantity, period=(site.now(), site.now()), tax_rate=customer.get("_tax_rate", 0),
    )  # fmt: skip


@answers("invoice.pdf", "credit_note.pdf")
def pdf(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    kind = "invoice" if site.store.get("invoice", ids[0]) else "credit_note"
    site.must(kind, ids[0])
    token = site.new_id("download")
    valid_till = site.now() + PDF_LIVES_SECONDS
    site.store.put("download", {"id": token, "kind": kind, "of": ids[0], "valid_till": valid_till})
    url = f"{site.options.base_url}/download/{token}.pdf"
    return {"download": {"download_url": url, "valid_till": valid_till, "mime_type": "application/pdf", "object": "download"}}
