"""Ramps: item changes agreed on beforehand; and contract terms."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import changes
from billing_ai.simulator.calendar_steps import add_period
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.events import emit
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

APPLY = "ramp"


def apply_due(site: Site, ramp_id: str) -> None:
    """A ramp's day has come."""
    ramp = site.store.get("ramp", ramp_id)
    if ramp is None or ramp["status"] != "scheduled" or ramp.get("deleted"):
        return
    site.source = "scheduled_job"
    subscription = site.store.get("subscription", ramp["subscription_id"])
    if subscription is None or subscription["status"] not in changes.LIVE:
        site.save("ramp", ramp | {"status": "failed"})
        return
    leaving = set(ramp["items_to_remove"])
    kept = [item for item in subscription["subscription_items"] if item["item_price_id"] not in leaving]
    wanted = {item["item_price_id"]: item for item in kept} | {
        item["item_price_id"]: item for item in ramp["items_to_update"] + ramp["items_to_add"]
    }
    try:
        changes.change_items(site, subscription, {"subscription_items": list(wanted.values()), "replace_items_list": True})
    except ApiError:
        site.save("ramp", ramp | {"status": "failed"})
        return
    site.save("ramp", ramp | {"status": "succeeded"})
    emit(site, "subscription_ramp_applied", ramp=ramp | {"status": "succeeded"})


def start_contract(site: Site, subscription: Thing, params: dict[str, Any] | None, cycles: int = 12) -> Thing:
    """A contract term from the current term's start."""
    wanted = params or {}
    began = wanted.get("contract_start") or subscription["current_term_start"]
    count = (wanted.get("total_contract_value") and cycles) or wanted.get("billing_cycle") or cycles
    value = sum(item.get("amount", 0) for item in subscription["subscription_items"]) * count
    term: Thing = {
        "id": site.new_id("contract_term"),
        "subscription_id": subscription["id"],
        "status": "active",
        "contract_start": began,
        "contract_end": add_period(began, count * subscription["billing_period"], subscription["billing_period_unit"]),
        "billing_cycle": count,
        "remaining_billing_cycles": count - 1,
        "action_at_term_end": wanted.get("action_at_term_end") or "renew",
        "cancellation_cutoff_period": wanted.get("cancellation_cutoff_period") or 30,
        "total_contract_value": value,
        "total_contract_value_before_tax": value,
        "created_at": site.now(),
        "object": "contract_term",
    }
    site.save("contract_term", term)
    subscription["contract_term"] = {name: value for name, value in term.items() if name not in ("updated_at", "resource_version")}
    site.save("subscription", subscription)
    emit(site, "contract_term_created", contract_term=term)
    return term
