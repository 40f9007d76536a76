"""Subscriptions: making and changing them."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import changes, lifecycle, ramps, terms
from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.api.subscriptions import answer
from billing_ai.simulator.calendar_steps import day_of
from billing_ai.simulator.errors import ApiError, invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing


def new_subscription(site: Site, customer: Thing, params: dict[str, Any]) -> tuple[Thing, Thing | None]:
    """A subscription from now, billed; with the invoice."""
    given = params.get("subscription_items") or []
    plan = next((p for e in given if (p := site.store.get("item_price", e["item_price_id"])) and p["item_type"] == "plan"), None)
    if plan is None:
        raise wrong_value("subscription_items", "a subscription needs a plan")
    ident = params.get("id") or site.new_id("subscription")
    if site.store.get("subscription", ident):
        raise ApiError(400, "duplicate_entry", f"id : The value {ident} is already present.", param="id")
    now = site.now()
    subscription: Thing = {
        "id": ident, "customer_id": customer["id"], "currency_code": plan["currency_code"], "billing_period": plan["period"],
        "billing_period_unit": plan["period_unit"], "status": "active", "created_at": now, "started_at": now, "activated_at": now, "start_date": now,
        "current_term_end": now, "has_scheduled_changes": False, "channel": "web", "deleted": False, "due_invoices_count": 0, "total_dues": 0,
        "exchange_rate": 1.0, "base_currency_code": "EUR", "auto_collection": params.get("auto_collection") or customer["auto_collection"],
        "net_term_days": params.get("net_term_days", customer["net_term_days"]), "payment_source_id": params.get("payment_source_id"),
        "subscription_items": [], "business_entity_id": customer.get("business_entity_id"), "object": "subscription", "_anchor_day": day_of(now),
    }  # fmt: skip
    subscription["subscription_items"] = changes.wanted_items(site, subscription, params)
    subscription |= {
        name: value for name, value in params.items() if name in ("meta_data", "po_number", "invoice_notes") or name.startswith("cf_")
    }
    invoice = lifecycle.start_afresh(site, subscription, immediately=params.get("invoice_immediately") is not False)
    if params.get("contract_term"):
        ramps.start_contract(site, subscription, params["contract_term"])
    emit(site, "subscription_created", subscription=subscription, invoice=invoice)
    return subscription, invoice


@answers("subscription.create_with_items", "subscription.import_for_items")
def create_with_items(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    customer = site.must("customer", ids[0])
    subscription, invoice = new_subscription(site, customer, params)
    return answer(site, subscription, invoice=invoice)


@answers("subscription.update_for_items")
def update_for_items(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    invoice, notes = changes.update(site, subscription, params)
    if params.get("contract_term"):
        ramps.start_contract(site, site.must("subscription", ids[0]), params["contract_term"])
    return answer(site, site.must("subscription", ids[0]), invoice=invoice, credit_notes=notes)


@answers("subscription.retrieve_with_scheduled_changes")
def retrieve_with_scheduled_changes(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    if "_scheduled_change" not in subscription:
        raise invalid_state(f"The subscription {ids[0]} has no scheduled changes")
    items = changes.wanted_items(site, subscription, subscription["_scheduled_change"])
    return answer(site, subscription | {"subscription_items": items})


@answers("subscription.remove_scheduled_changes")
def remove_scheduled_changes(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    if changes.take_scheduled(site, subscription) is None:
        raise invalid_state(f"The subscription {ids[0]} has no scheduled changes")
    site.save("subscription", subscription)
    emit(site, "subscription_scheduled_changes_removed", subscription=subscription)
    return answer(site, subscription)


@answers("subscription.cancel_for_items")
def cancel_for_items(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    notes = lifecycle.cancel(site, site.must("subscription", ids[0]), params)
    return answer(site, site.must("subscription", ids[0]), credit_notes=notes)


@answers("subscription.remove_scheduled_cancellation")
def remove_scheduled_cancellation(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    lifecycle.uncancel(site, subscription)
    return answer(site, subscription)


@answers("subscription.pause")
def pause(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    lifecycle.pause(site, site.must("subscription", ids[0]), params)
    return answer(site, site.must("subscription", ids[0]))


@answers("subscription.remove_scheduled_pause")
def remove_scheduled_pause(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    if subscription["status"] != "active" or not subscription.get("pause_date"):
        raise invalid_state(f"The subscription {ids[0]} has no scheduled pause")
    for name in ("pause_date", "resume_date"):
        subscription.pop(name, None)
    for what in (lifecycle.PAUSE, lifecycle.RESUME):
        site.store.unschedule(what, ids[0])
    site.save("subscription", subscription)
    emit(site, "subscription_scheduled_pause_removed", subscription=subscription)
    return answer(site, subscription)


@answers("subscription.resume")
def resume(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice = lifecycle.resume(site, site.must("subscription", ids[0]), params)
    return answer(site, site.must("subscription", ids[0]), invoice=invoice)


@answers("subscription.remove_scheduled_resumption")
def remove_scheduled_resumption(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    if subscription["status"] != "paused" or not subscription.get("resume_date"):
        raise invalid_state(f"The subscription {ids[0]} has no scheduled resumption")
    subscription.pop("resume_date")
    site.store.unschedule(lifecycle.RESUME, ids[0])
    return answer(site, site.save("subscription", subscription))


@answers("subscription.reactivate")
def reactivate(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    if subscription["status"] != "cancelled":
        raise invalid_state(f"The subscription {ids[0]} is {subscription['status']}, not cancelled")
    for name in ("cancelled_at", "cancel_reason", "cancel_reason_code"):
        subscription.pop(name, None)
    invoice = lifecycle.start_afresh(site, subscription)
    emit(site, "subscription_reactivated", subscription=subscription, invoice=invoice)
    return answer(site, site.must("subscription", ids[0]), invoice=invoice)


@answers("subscription.change_term_end")
def change_term_end(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    at = params["term_ends_at"]
    if at <= site.now():
        raise wrong_value("term_ends_at", "should be in the future")
    subscription |= {"current_term_end": at, "next_billing_at": at, "_anchor_day": day_of(at)}
    site.store.unschedule(terms.RENEW, ids[0])
    site.store.schedule(at, terms.RENEW, ids[0])
    site.save("subscription", subscription)
    emit(site, "subscription_changed", subscription=subscription)
    return answer(site, subscription)


@answers("subscription.remove_coupons")
def remove_coupons(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    leaving = set(params.get("coupon_ids") or [])
    subscription["coupons"] = [entry for entry in subscription.get("coupons", []) if leaving and entry["coupon_id"] not in leaving]
    site.save("subscription", subscription)
    emit(site, "subscription_changed", subscription=subscription)
    return answer(site, subscription)


@answers("subscription.delete")
def delete(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    terms.end(site, subscription)
    subscription["deleted"] = True
    site.save("subscription", subscription)
    emit(site, "subscription_deleted", subscription=subscription)
    return answer(site, subscription)


@answers("subscription.contract_terms_for_subscription")
def contract_terms(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    site.must("subscription", ids[0])
    return list_things(site, "contract_term", params, where="subscription_id = ?", values=(ids[0],))


@answers("subscription.list_discounts")
def list_discounts(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    return {
        "list": [
            {"discount": {"id": c["coupon_id"], "coupon_id": c["coupon_id"], "subscription_id": ids[0]}}
            for c in subscription.get("coupons", [])
        ]
    }
