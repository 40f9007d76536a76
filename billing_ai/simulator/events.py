"""Events: what happened, with the content that Chargebee puts beside it, and a delivery for each endpoint that wants it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing


@functools.cache
def content_names() -> dict[str, list[str]]:
    """Event type → the resources it carries. Source: Chargebee's published API definitions."""
    found: dict[str, list[str]] = json.loads((Path(__file__).parent / "event_content.json").read_text(encoding="utf-8"))
    return found


def card_of(site: Site, customer: Thing) -> Thing | None:
    """The customer's primary card in the shape that events carry."""
    source = site.store.get("payment_source", customer.get("primary_payment_source_id") or "")
    return card_shape(source) if source else None


def card_shape(source: Thing) -> Thing | None:
    card = source.get("card")
    if not card:
        return None
    return {
        "payment_source_id": source["id"],
        "customer_id": source["customer_id"],
        "status": source["status"] if source["status"] in ("valid", "expiring", "expired") else "valid",
        "gateway": source["gateway"],
        "gateway_account_id": source["gateway_account_id"],
        "first_name": card.get("first_name"),
        "last_name": card.get("last_name"),
        "iin": card["iin"],
        "last4": card["last4"],
        "card_type": card["brand"],
        "funding_type": card["funding_type"],
        "expiry_month": card["expiry_month"],
        "expiry_year": card["expiry_year"],
        "issuing_country": source.get("issuing_country"),
        "masked_number": card["masked_number"],
        "created_at": source["created_at"],
        "updated_at": source["updated_at"],
        "resource_version": source["resource_version"],
        "object": "card",
    }


def emit(site: Site, event_type: str, *, at: int | None = None, **resources: Any) -> Thing:
    """Record an event and its deliveries. `resources` are by name (`invoice=…`); customer, subscription and card are filled
    in from the others where the type carries them."""
    wanted = content_names().get(event_type, list(resources))
    _fill_in(site, wanted, resources)
    content: dict[str, Any] = {}
    for name in wanted:
        value = resources.get(name)
        if isinstance(value, list):
            content[name] = [public(item) for item in value]
        elif value:
            content[name] = public(value)
    moment = site.now() if at is None else at
    event: Thing = {
        "id": site.new_id("event"),
        "occurred_at": moment,
        "source": site.source,
        "object": "event",
        "api_version": "v2",
        "content": content,
        "event_type": event_type,
        "webhook_status": "not_configured",
        "webhooks": [],
    }
    if site.source in ("api", "admin_console"):
        event["user"] = "full_access_key_v1" if site.source == "api" else "admin@northwind.example"
    for endpoint in site.store.find("webhook_endpoint"):
        enabled = endpoint.get("enabled_events") or []
        if endpoint.get("disabled") or (enabled and event_type not in enabled):
            continue
        event["webhooks"].append({"id": endpoint["id"], "webhook_status": "scheduled", "object": "webhook"})
        event["webhook_status"] = "scheduled"
        delivery = {"id": f"{event['id']}:{endpoint['id']}", "event_id": event["id"], "endpoint_id": endpoint["id"]}
        site.store.put("delivery", delivery | {"status": "pending", "attempts": 0, "at": moment, "event_type": event_type})
        site.webhooks_wanted.set()
    site.store.put("event", event)
    return event


def _fill_in(site: Site, wanted: list[str], resources: dict[str, Any]) -> None:
    customer_id = next((r["customer_id"] for r in resources.values() if isinstance(r, dict) and r.get("customer_id")), None)
    if "customer" in wanted and "customer" not in resources and customer_id:
        resources["customer"] = site.store.get("customer", customer_id)
    if "subscription" in wanted and "subscription" not in resources:
        invoice = resources.get("invoice") or {}
        if invoice.get("subscription_id"):
            resources["subscription"] = site.store.get("subscription", invoice["subscription_id"])
    if "card" in wanted and "card" not in resources and resources.get("customer"):
        resources["card"] = card_of(site, resources["customer"])
