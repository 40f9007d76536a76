"""Usages of metered items."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import ApiError, wrong_value
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing


@answers("usage.create")
def create(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    price = site.must("item_price", params["item_price_id"])
    if not price["_metered"] or not any(item["item_price_id"] == price["id"] for item in subscription["subscription_items"]):
        raise wrong_value("item_price_id", f"{price['id']} is not a metered item of this subscription")
    try:
        quantity = Decimal(params["quantity"])
    except InvalidOperation:
        raise wrong_value("quantity", "is not a valid number") from None
    if quantity < 0 or not quantity.is_finite():
        raise wrong_value("quantity", "should not be negative")
    if params["usage_date"] > site.now() + 60:
        raise wrong_value("usage_date", "should not be in the future")
    ident = params.get("id") or site.new_id("usage")
    if site.store.get("usage", ident):
        raise ApiError(400, "duplicate_entry", f"id : The value {ident} is already present.", param="id")
    usage: Thing = {
        "id": ident, "subscription_id": ids[0], "item_price_id": price["id"], "quantity": params["quantity"], "usage_date": params["usage_date"],
        "source": "api", "note": params.get("note"), "created_at": site.now(), "object": "usage",
    }  # fmt: skip
    return {"usage": public(site.save("usage", usage))}


@answers("usage.list")
def list_usages(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "usage", params)


@answers("usage.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"usage": public(site.must("usage", params["id"]))}


@answers("usage.delete")
def delete(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    usage = site.must("usage", params["id"])
    if usage["subscription_id"] != ids[0] or usage.get("invoice_id"):
        raise ApiError(409, "invalid_state_for_request", "The usage is billed, or belongs to another subscription")
    site.store.drop("usage", usage["id"])
    return {"usage": public(usage)}
