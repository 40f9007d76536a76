"""Estimates: the same action, tried and undone, so that a preview never differs from the deed."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import changes, lifecycle, renewals
from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.api.subscription_changes import new_subscription
from billing_ai.simulator.errors import invalid_state, wrong_value
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing

_INVOICE = (
    "recurring",
    "price_type",
    "currency_code",
    "sub_total",
    "total",
    "credits_applied",
    "line_items",
    "line_item_taxes",
    "line_item_discounts",
    "discounts",
    "taxes",
    "round_off_amount",
    "customer_id",
)
_NOTE = (
    "reference_invoice_id",
    "type",
    "price_type",
    "currency_code",
    "sub_total",
    "total",
    "amount_allocated",
    "amount_available",
    "line_items",
    "discounts",
    "taxes",
    "round_off_amount",
    "customer_id",
)


def _estimate(
    site: Site, subscription: Thing, *, invoice: Thing | None = None, notes: list[Thing] | None = None, following: Thing | None = None
) -> dict[str, Any]:
    shown = {
        "id": subscription["id"],
        "currency_code": subscription["currency_code"],
        "status": subscription["status"],
        "object": "subscription_estimate",
    }
    for name in ("next_billing_at", "pause_date", "resume_date"):
        if subscription.get(name):
            shown[name] = subscription[name]
    estimate: dict[str, Any] = {"created_at": site.now(), "object": "estimate", "subscription_estimate": shown}
    if invoice is not None:
        estimate["invoice_estimate"] = _invoice(invoice)
    if following is not None:
        estimate["next_invoice_estimate"] = _invoice(following)
    if notes:
        estimate["credit_note_estimates"] = [
            {name: note.get(name) for name in _NOTE} | {"object": "credit_note_estimate"} for note in notes
        ]
    return {"estimate": estimate}


def _invoice(invoice: Thing) -> dict[str, Any]:
    shown = {name: invoice.get(name) for name in _INVOICE if invoice.get(name) is not None}
    due = invoice["total"] - invoice["credits_applied"]
    return public(shown) | {"amount_paid": 0, "amount_due": due, "object": "invoice_estimate"}


@answers("estimate.update_subscription_for_items")
def update_subscription_for_items(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    ident = (params.get("subscription") or {}).get("id")
    if not ident:
        raise wrong_value("subscription[id]", "cannot be blank")
    with site.store.trial():
        subscription = site.must("subscription", ident)
        invoice, notes = changes.update(site, subscription, params)
        after = site.must("subscription", ident)
        if after.get("has_scheduled_changes"):
            return _estimate(site, after, following=_next_invoice(site, ident))
        return _estimate(site, after, invoice=invoice, notes=notes)


@answers("estimate.renewal_estimate")
def renewal_estimate(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    with site.store.trial():
        subscription = site.must("subscription", ids[0])
        if params.get("ignore_scheduled_changes"):
            changes.take_scheduled(site, subscription)
        if params.get("ignore_scheduled_cancellation") and subscription["status"] == "non_renewing":
            subscription["status"] = "active"
        site.save("subscription", subscription)
        if subscription["status"] not in ("active", "in_trial"):
            raise invalid_state(f"The subscription {ids[0]} is {subscription['status']} and will not renew")
        invoice = _next_invoice(site, ids[0])
        return _estimate(site, site.must("subscription", ids[0]), invoice=invoice)


def _next_invoice(site: Site, subscription_id: str) -> Thing | None:
    """Renew within the trial; the invoice that came of it."""
    subscription = site.must("subscription", subscription_id)
    site.clock.hold_at(subscription["current_term_end"])
    try:
        renewals.renew(site, subscription_id)
    finally:
        site.clock.hold_at(None)
        site.source = "api"
    return changes.term_invoice(site, site.must("subscription", subscription_id))


@answers("estimate.cancel_subscription_for_items")
def cancel_subscription_for_items(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    with site.store.trial():
        notes = lifecycle.cancel(site, site.must("subscription", ids[0]), params)
        return _estimate(site, site.must("subscription", ids[0]), notes=notes)


@answers("estimate.pause_subscription")
def pause_subscription(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    wanted = {"pause_option": params.get("pause_option")} | (params.get("subscription") or {})
    with site.store.trial():
        lifecycle.pause(site, site.must("subscription", ids[0]), wanted)
        return _estimate(site, site.must("subscription", ids[0]))


@answers("estimate.resume_subscription")
def resume_subscription(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    wanted = {"resume_option": params.get("resume_option"), "charges_handling": params.get("charges_handling")} | (
        params.get("subscription") or {}
    )
    with site.store.trial():
        invoice = lifecycle.resume(site, site.must("subscription", ids[0]), wanted)
        return _estimate(site, site.must("subscription", ids[0]), invoice=invoice)


@answers("estimate.create_sub_item_for_customer_estimate")
def create_for_customer(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    with site.store.trial():
        wanted = {name: value for name, value in params.items() if name not in ("subscription", "use_existing_balances")}
        subscription, invoice = new_subscription(site, site.must("customer", ids[0]), wanted)
        return _estimate(site, subscription, invoice=invoice)


@answers("estimate.upcoming_invoices_estimate")
def upcoming_invoices(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    found = []
    for subscription in site.store.find("subscription", "customer_id = ? AND status = 'active'", (ids[0],)):
        with site.store.trial():
            invoice = _next_invoice(site, subscription["id"])
            if invoice is not None:
                found.append(_invoice(invoice))
    return {"estimate": {"created_at": site.now(), "object": "estimate", "invoice_estimates": found}}
