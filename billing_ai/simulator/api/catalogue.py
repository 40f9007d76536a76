"""Items, prices, families, features, entitlements, coupons: the catalogue."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import HANDLERS, Handler, answers
from billing_ai.simulator.errors import ApiError, wrong_value
from billing_ai.simulator.events import content_names, emit
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing

_PLAIN = ("item", "item_price", "item_family", "feature", "coupon")


def _plain_handlers(kind: str) -> dict[str, Handler]:
    """retrieve, list, create, update, delete for a resource that has no behaviour of its own."""

    def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
        return {kind: public(site.must(kind, ids[0]))}

    def list_all(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
        return list_things(site, kind, params)

    def create(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
        ident = params.get("id") or site.new_id(kind)
        if site.store.get(kind, ident):
            raise ApiError(400, "duplicate_entry", f"id : The value {ident} is already present.", param="id")
        thing: Thing = {"id": ident, "status": "active", "created_at": site.now(), "object": kind} | params
        if kind == "item_price":
            _complete_price(site, thing)
        site.save(kind, thing)
        _announce(site, kind, "created", thing)
        return {kind: public(thing)}

    def update(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
        thing = site.must(kind, ids[0]) | params
        site.save(kind, thing)
        _announce(site, kind, "updated", thing)
        return {kind: public(thing)}

    def delete(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
        thing = site.must(kind, ids[0]) | {"deleted": True, "status": "deleted"}
        site.save(kind, thing)
        _announce(site, kind, "deleted", thing)
        return {kind: public(thing)}

    return {"retrieve": retrieve, "list": list_all, "create": create, "update": update, "delete": delete}


def _complete_price(site: Site, price: Thing) -> None:
    item = site.must("item", price["item_id"])
    price.setdefault("currency_code", "EUR")
    price.setdefault("price", 0)
    price.setdefault("pricing_model", "flat_fee")
    price.setdefault("external_name", price.get("name"))
    price |= {
        "item_family_id": item.get("item_family_id"),
        "item_type": item["type"],
        "free_quantity": 0,
        "_metered": bool(item.get("metered")),
    }


def _announce(site: Site, kind: str, what: str, thing: Thing) -> None:
    if f"{kind}_{what}" in content_names():
        emit(site, f"{kind}_{what}", at=None, **{kind: thing})


for _kind in _PLAIN:
    for _name, _handler in _plain_handlers(_kind).items():
        HANDLERS[f"{_kind}.{_name}"] = _handler
HANDLERS["coupon.create_for_items"] = HANDLERS["coupon.create"]
HANDLERS["coupon.update_for_items"] = HANDLERS["coupon.update"]


@answers("feature.activate", "feature.reactivate", "feature.archive")
def change_feature(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    feature = site.must("feature", ids[0])
    feature["status"] = "active" if feature["status"] in ("draft", "archived") else "archived"
    return {"feature": public(site.save("feature", feature))}


@answers("entitlement.list")
def list_entitlements(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "entitlement", {name: value for name, value in params.items() if name not in ("include_drafts", "embed")})


@answers("subscription_entitlement.subscription_entitlements_for_subscription")
def entitlements_of_subscription(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    subscription = site.must("subscription", ids[0])
    rows: dict[str, dict[str, Any]] = {}
    for item in subscription["subscription_items"]:
        price = site.store.get("item_price", item["item_price_id"]) or {}
        for grant in site.store.find("entitlement", "json_extract(body,'$.entity_id') = ?", (price.get("item_id"),)):
            feature = site.store.get("feature", grant["feature_id"]) or {}
            rows[grant["feature_id"]] = {
                "subscription_id": ids[0], "feature_id": grant["feature_id"], "feature_name": feature.get("name"), "feature_unit": feature.get("unit"),
                "feature_type": feature.get("type"), "value": grant["value"], "name": grant["value"], "is_overridden": False, "is_enabled": grant["value"] != "false",
                "object": "subscription_entitlement",
            }  # fmt: skip
    limit = params.get("limit") or 10
    if not 1 <= limit <= 100:
        raise wrong_value("limit", "should be between 1 and 100")
    return {"list": [{"subscription_entitlement": public(row)} for row in list(rows.values())[:limit]]}
