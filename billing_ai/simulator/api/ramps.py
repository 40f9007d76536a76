"""Ramps."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import ramps
from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import ApiError, invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing


@answers("ramp.create_for_subscription")
def create(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    ramp: Thing = {
        "id": site.new_id("ramp"),
        "subscription_id": ids[0],
        "status": "scheduled",
        "created_at": site.now(),
        "deleted": False,
        "object": "ramp",
    }
    _set(site, ramp, subscription, params)
    emit(site, "subscription_ramp_created", ramp=ramp)
    return {"ramp": public(ramp)}


@answers("ramp.update")
def update(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    ramp = _scheduled(site, ids[0])
    site.store.unschedule(ramps.APPLY, ids[0])
    _set(site, ramp, site.must("subscription", ramp["subscription_id"]), params)
    emit(site, "subscription_ramp_updated", ramp=ramp)
    return {"ramp": public(ramp)}


@answers("ramp.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"ramp": public(site.must("ramp", ids[0]))}


@answers("ramp.delete")
def delete(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    ramp = _scheduled(site, ids[0])
    site.store.unschedule(ramps.APPLY, ids[0])
    site.save("ramp", ramp | {"deleted": True})
    emit(site, "subscription_ramp_deleted", ramp=ramp)
    return {"ramp": public(ramp | {"deleted": True})}


@answers("ramp.list")
def list_ramps(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "ramp", params)


def _scheduled(site: Site, ident: str) -> Thing:
    ramp = site.must("ramp", ident)
    if ramp["status"] != "scheduled":
        raise invalid_state(f"The ramp {ident} is {ramp['status']}")
    return ramp


def _set(site: Site, ramp: Thing, subscription: Thing, params: dict[str, Any]) -> None:
    at = params["effective_from"]
    if at <= site.now():
        raise wrong_value("effective_from", "should be in the future")
    for name in ("items_to_add", "items_to_update"):
        ramp[name] = []
        for index, entry in enumerate(params.get(name) or []):
            price = site.store.get("item_price", entry["item_price_id"])
            if price is None or price["currency_code"] != subscription["currency_code"]:
                raise ApiError(
                    404,
                    "resource_not_found",
                    f"Sorry, we couldn't find the item price {entry['item_price_id']}",
                    param=f"{name}[item_price_id][{index}]",
                )
            unit = entry.get("unit_price") if entry.get("unit_price") is not None else price["price"]
            quantity = entry.get("quantity") or 1
            ramp[name].append(
                {
                    "item_price_id": price["id"],
                    "item_type": price["item_type"],
                    "quantity": quantity,
                    "unit_price": unit,
                    "amount": unit * quantity,
                    "object": name,
                }
            )
    ramp |= {"effective_from": at, "description": params.get("description"), "items_to_remove": params.get("items_to_remove") or []}
    ramp |= {"coupons_to_remove": params.get("coupons_to_remove") or [], "discounts_to_remove": params.get("discounts_to_remove") or []}
    site.save("ramp", ramp)
    site.store.schedule(at, ramps.APPLY, ramp["id"])
