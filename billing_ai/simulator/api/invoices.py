"""Invoices: looking at them, collecting, dunning."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import billing, dunning
from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public


@answers("invoice.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"invoice": public(site.must("invoice", ids[0]))}


@answers("invoice.list")
def list_invoices(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    wanted = params.pop("subscription_id", None)
    if isinstance(wanted, dict) and "is" in wanted:
        # A consolidated invoice has no subscription of its own: its lines have.
        customer = (site.store.get("subscription", wanted["is"]) or {}).get("customer_id", "")
        like = f'%"subscription_id":"{wanted["is"]}"%'
        return list_things(site, "invoice", params, where="customer_id = ? AND body LIKE ?", values=(customer, like))
    if wanted is not None:
        params["subscription_id"] = wanted
    return list_things(site, "invoice", params)


@answers("invoice.invoices_for_customer")
def invoices_for_customer(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "invoice", params, where="customer_id = ?", values=(ids[0],))


@answers("invoice.invoices_for_subscription")
def invoices_for_subscription(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "invoice", params, where="subscription_id = ?", values=(ids[0],))


@answers("invoice.collect_payment")
def collect_payment(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice, transaction = billing.collect(site, ids[0], params)
    return {"invoice": public(invoice), "transaction": public(transaction)}


@answers("invoice.stop_dunning")
def stop_dunning(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"invoice": public(dunning.stop(site, ids[0]))}


@answers("invoice.pause_dunning")
def pause_dunning(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"invoice": public(dunning.pause(site, ids[0], params))}


@answers("invoice.resume_dunning")
def resume_dunning(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"invoice": public(dunning.resume(site, ids[0]))}
