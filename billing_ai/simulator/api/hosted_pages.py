"""Hosted pages: links on which the customer pays or changes the card."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import invalid_state, wrong_value
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing

LIVES_SECONDS = {"collect_now": 10 * 86_400, "manage_payment_sources": 5 * 86_400, "update_payment_method": 5 * 86_400}


def make_page(site: Site, page_type: str, customer_id: str, params: dict[str, Any]) -> Thing:
    ident = site.new_id("hosted_page")
    page: Thing = {
        "id": ident,
        "type": page_type,
        "url": f"{site.options.base_url}/pay/{ident}",
        "state": "created",
        "embed": params.get("embed", False),
        "created_at": site.now(),
        "expires_at": site.now() + LIVES_SECONDS.get(page_type, 86_400),
        "object": "hosted_page",
        "_customer_id": customer_id,
        "_currency": params.get("currency_code"),
        "_redirect_url": params.get("redirect_url"),
    }
    return site.save("hosted_page", page)


@answers("hosted_page.collect_now")
def collect_now(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    customer = _customer(site, params)
    unpaid = site.store.count("invoice", "customer_id = ? AND status IN ('payment_due','not_paid','posted')", (customer["id"],))
    if not unpaid:
        raise invalid_state(f"The customer {customer['id']} has no invoice to collect")
    return {"hosted_page": public(make_page(site, "collect_now", customer["id"], params))}


@answers("hosted_page.manage_payment_sources")
def manage_payment_sources(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"hosted_page": public(make_page(site, "manage_payment_sources", _customer(site, params)["id"], params))}


@answers("hosted_page.update_payment_method")
def update_payment_method(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"hosted_page": public(make_page(site, "update_payment_method", _customer(site, params)["id"], params))}


@answers("hosted_page.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"hosted_page": public(site.must("hosted_page", ids[0]))}


@answers("hosted_page.list")
def list_pages(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "hosted_page", params)


@answers("hosted_page.acknowledge")
def acknowledge(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    page = site.must("hosted_page", ids[0])
    if page["state"] != "succeeded":
        raise invalid_state("The hosted page has not succeeded yet")
    page["state"] = "acknowledged"
    return {"hosted_page": public(site.save("hosted_page", page))}


def _customer(site: Site, params: dict[str, Any]) -> Thing:
    ident = (params.get("customer") or {}).get("id")
    if not ident:
        raise wrong_value("customer[id]", "cannot be blank")
    return site.must("customer", ident)
