"""Subscriptions: looking at them."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import wrong_value
from billing_ai.simulator.events import card_of
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing


def answer(site: Site, subscription: Thing, **more: Any) -> dict[str, Any]:
    """Subscription with customer and card, as every subscription call answers."""
    customer = site.must("customer", subscription["customer_id"])
    card = card_of(site, customer)
    found: dict[str, Any] = {"subscription": public(subscription), "customer": public(customer)} | ({"card": public(card)} if card else {})
    for name, value in more.items():
        if value:
            found[name] = [public(item) for item in value] if isinstance(value, list) else public(value)
    return found


@answers("subscription.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return answer(site, site.must("subscription", ids[0]))


@answers("subscription.list")
def list_subscriptions(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    where, values = _by_items(params)
    page = list_things(site, "subscription", params, where=where, values=values)
    for entry in page["list"]:
        entry["customer"] = public(site.must("customer", entry["subscription"]["customer_id"]))
    return page


@answers("subscription.subscriptions_for_customer")
def subscriptions_for_customer(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "subscription", params, where="customer_id = ?", values=(ids[0],))


_ITEM_FILTERS = {
    "item_price_id": "json_extract(e.value,'$.item_price_id') IN ({marks})",
    "item_id": "json_extract(e.value,'$.item_price_id') IN (SELECT id FROM item_price p WHERE json_extract(p.body,'$.item_id') IN ({marks}))",
}


def _by_items(params: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """The filters that look into the subscription's items, taken out of `params`: any item that fits is enough."""
    clauses, values = ["1"], []
    for name, condition in _ITEM_FILTERS.items():
        for operator, wanted in (params.pop(name, None) or {}).items():
            if operator not in ("is", "in"):
                raise wrong_value(f"{name}[{operator}]", "the operator is not supported for this attribute")
            listed = wanted if isinstance(wanted, list) else [wanted]
            fits = condition.format(marks=",".join("?" * len(listed)) or "NULL")
            clauses.append(f"EXISTS (SELECT 1 FROM json_each(subscription.body,'$.subscription_items') e WHERE {fits})")  # noqa: S608
            values += listed
    return " AND ".join(clauses), tuple(values)
