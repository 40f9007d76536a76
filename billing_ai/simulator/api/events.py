"""Events, for those who reconcile."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public

_SHOWN = {"pending": "scheduled", "waiting": "re_scheduled", "succeeded": "succeeded", "failed": "failed", "disabled": "disabled"}


@answers("event.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"event": _with_deliveries(site, public(site.must("event", ids[0])))}


@answers("event.list")
def list_events(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    lag = site.store.setting("event_list_lag_seconds", 0)
    page = list_things(site, "event", params, where="at <= ?", values=(site.now() - lag,)) if lag else list_things(site, "event", params)
    for entry in page["list"]:
        entry["event"] = _with_deliveries(site, entry["event"])
    return page


def _with_deliveries(site: Site, event: dict[str, Any]) -> dict[str, Any]:
    """How far each endpoint's webhook has come is kept with the delivery, not with the event."""
    for webhook in event["webhooks"]:
        delivery = site.store.get("delivery", f"{event['id']}:{webhook['id']}") or {}
        webhook["webhook_status"] = event["webhook_status"] = _SHOWN.get(delivery.get("status", ""), "scheduled")
    return event
