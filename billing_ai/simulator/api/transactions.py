"""Transactions."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.api.registry import answers
from billing_ai.simulator.listing import list_things
from billing_ai.simulator.site import Site, public


@answers("transaction.retrieve")
def retrieve(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return {"transaction": public(site.must("transaction", ids[0]))}


@answers("transaction.list")
def list_transactions(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "transaction", params)


@answers("transaction.transactions_for_customer")
def transactions_for_customer(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "transaction", params, where="customer_id = ?", values=(ids[0],))


@answers("transaction.transactions_for_subscription")
def transactions_for_subscription(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    return list_things(site, "transaction", params, where="subscription_id = ?", values=(ids[0],))


@answers("transaction.payments_for_invoice")
def payments_for_invoice(site: Site, ids: list[str], params: dict[str, Any]) -> dict[str, Any]:
    invoice = site.must("invoice", ids[0])
    wanted = tuple(payment["txn_id"] for payment in invoice["linked_payments"])
    marks = ",".join("?" * len(wanted)) or "NULL"
    return list_things(site, "transaction", params, where=f"id IN ({marks})", values=wanted)
