"""Customers."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.events import card_of, emit
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public
from billing_ai.simulator.store import Thing


def answer(site: Site, customer: Thing) -> dict[str, Any]:
    card = card_of(site, customer)
    return {"customer": public(customer)} | ({"card": public(card)} if card else {})


@answers("customer.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return answer(site, site.must("customer", ids[0]))


@answers("customer.list")
def list_customers(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "customer", params)


@answers("customer.create")
def create(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    ident = params.pop("id", None) or site.new_id("customer")
    if site.store.get("customer", ident):
        raise ApiError(400, "duplicate_entry", f"id : The value {ident} is already present.", param="id")
    customer: Thing = {
        "id": ident,
        "auto_collection": "on",
        "net_term_days": 0,
        "allow_direct_debit": False,
        "created_at": site.now(),
        "taxability": "taxable",
        "locale": "en",
        "channel": "web",
        "pii_cleared": "active",
        "card_status": "no_card",
        "promotional_credits": 0,
        "refundable_credits": 0,
        "excess_payments": 0,
        "unbilled_charges": 0,
        "preferred_currency_code": "EUR",
        "deleted": False,
        "object": "customer",
    }
    _apply(customer, params)
    site.save("customer", customer)
    emit(site, "customer_created", customer=customer)
    return answer(site, customer)


@answers("customer.update")
def update(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    customer = site.must("customer", ids[0])
    _apply(customer, params)
    site.save("customer", customer)
    emit(site, "customer_changed", customer=customer)
    return answer(site, customer)


@answers("customer.update_billing_info")
def update_billing_info(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return update(site, ids, params)


@answers("customer.assign_payment_role")
def assign_payment_role(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    customer = site.must("customer", ids[0])
    source = site.must("payment_source", params["payment_source_id"])
    role = params["role"]
    if role == "primary":
        customer["primary_payment_source_id"] = source["id"]
    elif role == "backup":
        customer["backup_payment_source_id"] = source["id"]
    site.save("customer", customer)
    emit(site, "customer_changed", customer=customer)
    return answer(site, customer) | {"payment_source": public(source)}


@answers("customer.delete")
def delete(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    customer = site.must("customer", ids[0])
    customer["deleted"] = True
    site.save("customer", customer)
    emit(site, "customer_deleted", customer=customer)
    return answer(site, customer)


def _apply(customer: Thing, params: dict[str, Any]) -> None:
    for name, value in params.items():
        if name in ("card", "payment_method", "bank_account", "payment_intent", "token_id"):
            continue
        if name == "billing_address" and value:
            customer[name] = customer.get(name, {}) | value | {"object": "billing_address"}
        else:
            customer[name] = value
