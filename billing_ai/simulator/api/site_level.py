"""What concerns the site as a whole: configuration, business entities, the time machine, portal sessions."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import actions
from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import not_found, wrong_value
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.world.making import make_world

MACHINE = "delorean"


@answers("configuration.list")
def configuration(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "domain": site.options.site,
        "product_catalog_version": "v2",
        "chargebee_response_schema_type": "items",
        "object": "configuration",
    }
    return {"configurations": [shown]}


@answers("time_machine.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    if ids[0] != MACHINE:
        raise not_found("time_machine", ids[0])
    return {"time_machine": public(site.travel_state())}


@answers("time_machine.start_afresh")
def start_afresh(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    """Forget everything but the webhook endpoints, and make the site's world again at the genesis time."""
    retrieve(site, ids, {})
    genesis = params.get("genesis_time") or site.now()
    site.store.wipe(keep=("webhook_endpoint", "fault"))
    site.clock.move_to(genesis)
    make_world(site)
    actions.overnight_events(site)
    state = {"id": MACHINE, "name": MACHINE, "time_travel_status": "succeeded", "genesis_time": genesis, "destination_time": genesis}
    site.store.put("time_machine", state | {"object": "time_machine"})
    return {"time_machine": public(site.travel_state())}


@answers("time_machine.travel_forward")
def travel_forward(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    retrieve(site, ids, {})
    moment = params.get("destination_time")
    if not moment or moment <= site.now():
        raise wrong_value("destination_time", "should be in the future")
    state = {
        "id": MACHINE,
        "name": MACHINE,
        "time_travel_status": "in_progress",
        "genesis_time": site.store.setting("made_at"),
        "destination_time": moment,
        "object": "time_machine",
    }
    site.store.put("time_machine", state)
    site.start_travel(moment)
    return {"time_machine": public(state)}


@answers("portal_session.create")
def portal_session(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    customer_id = (params.get("customer") or {}).get("id") or ""
    site.must("customer", customer_id)
    ident = site.new_id("portal_session")
    session = {
        "id": ident, "token": ident, "access_url": f"{site.options.base_url}/mailbox/{customer_id}", "redirect_url": params.get("redirect_url"),
        "status": "created", "created_at": site.now(), "expires_at": site.now() + 3_600, "customer_id": customer_id, "object": "portal_session",
    }  # fmt: skip
    site.store.put("portal_session", session)
    return {"portal_session": public(session)}
