"""Payment sources: cards and mandates."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.cards import add_card, set_primary
from billing_ai.simulator.events import emit
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public


@answers("payment_source.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"payment_source": public(site.must("payment_source", ids[0]))}


@answers("payment_source.list")
def list_sources(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "payment_source", params)


@answers("payment_source.create_card")
def create_card(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    customer = site.must("customer", params["customer_id"])
    card = params.get("card") or {}
    source = add_card(
        site,
        customer,
        number=card.get("number", ""),
        expiry=(card.get("expiry_month"), card.get("expiry_year")),
        first_name=card.get("first_name"),
        last_name=card.get("last_name"),
    )
    if params.get("replace_primary_payment_source") or not customer.get("primary_payment_source_id"):
        set_primary(site, customer, source)
    return {"customer": public(site.must("customer", customer["id"])), "payment_source": public(source)}


@answers("payment_source.delete")
def delete(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    source = site.must("payment_source", ids[0])
    source["deleted"] = True
    site.save("payment_source", source)
    customer = site.must("customer", source["customer_id"])
    if customer.get("primary_payment_source_id") == source["id"]:
        customer.pop("primary_payment_source_id")
        customer["card_status"] = "no_card"
        site.save("customer", customer)
    emit(site, "payment_source_deleted", customer=customer, payment_source=source)
    return {"customer": public(customer), "payment_source": public(source)}
