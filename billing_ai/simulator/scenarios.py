"""Scenarios: small files that say what befalls the site, and when.

`{"description": …, "world": {"countries": {"JP": 5, …}}, "steps": [{"at_hours": 0, "do": "fail_payments", …}, …]}`. `world` shapes a
new world; `steps` run on the site's clock, counted from the scenario's start.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from billing_ai.simulator import actions, billing, changes
from billing_ai.simulator.errors import ApiError
from billing_ai.simulator.events import emit
from billing_ai.simulator.payments import payment
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

STEP = "scenario"
HOUR = 3_600
FOLDER = Path(__file__).parent / "scenarios"


def load(name: str) -> dict[str, Any]:
    """A scenario by the name of its file in `scenarios/`, or by a path. Raises ApiError when there is none or it is malformed."""
    path = Path(name) if name.endswith(".json") else FOLDER / f"{name}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ApiError(400, "invalid_request", f"the scenario {name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ApiError(400, "invalid_request", f"the scenario {name} is not an object")
    unknown = {step.get("do") for step in found.get("steps", [])} - set(DEEDS)
    if unknown:
        raise ApiError(400, "invalid_request", f"unknown steps in {name}: {sorted(map(str, unknown))}")
    return found


def known() -> list[tuple[str, str]]:
    """(name, description) of each file in `scenarios/`."""
    return [(path.stem, str(load(path.stem).get("description", ""))) for path in sorted(FOLDER.glob("*.json"))]


def start(site: Site, name: str) -> int:
    """Put the scenario's steps on the clock, from now; how many."""
    steps = load(name).get("steps", [])
    for step in steps:
        site.store.schedule(site.now() + int(step.get("at_hours", 0) * HOUR), STEP, json.dumps(step))
    return len(steps)


def step_due(site: Site, ref: str) -> None:
    """A step's hour has come."""
    step: dict[str, Any] = json.loads(ref)
    site.source = "scheduled_job"
    DEEDS[step["do"]](site, step)


def _chosen(site: Site, step: dict[str, Any], ids: list[str]) -> list[str]:
    """`share` of them (0 to 1), at most `count`, the same ones for the same seed."""
    coin = site.coin("scenario", step["do"], step.get("at_hours", 0))
    wanted = round(len(ids) * step.get("share", 1.0))
    return sorted(coin.sample(ids, min(wanted, step.get("count", wanted), len(ids))), key=ids.index)


def _payers(site: Site, gateway: str | None) -> list[str]:
    """Customers with an active subscription, by the gateway of the source they pay with."""
    rows = site.store.rows(
        "SELECT DISTINCT s.customer_id FROM subscription s JOIN payment_source p ON p.customer_id = s.customer_id"
        " WHERE s.status = 'active' AND (?1 IS NULL OR json_extract(p.body,'$.gateway') = ?1) ORDER BY s.seq",
        (gateway,),
    )
    return [row[0] for row in rows]


def _fail_payments(site: Site, step: dict[str, Any]) -> None:
    for customer_id in _chosen(site, step, _payers(site, step.get("gateway"))):
        actions.fail_payment(site, customer_id=customer_id, code=step.get("code"))


def _outage(site: Site, step: dict[str, Any]) -> None:
    site.store.set_setting(f"gateway_outage:{step['gateway']}", site.now() + int(step["hours"] * HOUR))


def _payday(site: Site, step: dict[str, Any]) -> None:
    """Everyone who had no funds has some, for so many hours."""
    for truth in site.store.find("truth", "json_extract(body,'$.state') = 'insufficient_funds'"):
        site.store.put("truth", truth | {"funded_until": site.now() + int(step.get("hours", 72) * HOUR)})


def _disputes(site: Site, step: dict[str, Any]) -> None:
    """Customers take payments back through their bank, and write to the help desk about it."""
    rows = site.store.rows("SELECT id FROM invoice WHERE status = 'paid' AND at > ? ORDER BY seq", (site.now() - 60 * 86_400,))
    for invoice_id in _chosen(site, step, [row[0] for row in rows]):
        invoice = site.must("invoice", invoice_id)
        paid = next((p for p in invoice["linked_payments"] if p["txn_status"] == "success" and p["applied_amount"] > 0), None)
        if paid is not None:
            _take_back(site, invoice, paid)


def _take_back(site: Site, invoice: Thing, paid: Thing) -> None:
    original = site.must("transaction", paid["txn_id"])
    amount = paid["applied_amount"]
    source = site.store.get("payment_source", original.get("payment_source_id") or "")
    reversal = payment(site.new_id("transaction"), invoice, source, amount, None, site.now(), "customer")
    reversal |= {"type": "payment_reversal", "reference_transaction_id": original["id"], "linked_invoices": []}
    site.save("transaction", reversal)
    site.save(
        "transaction", original | {"reversal_transaction_id": reversal["id"], "fraud_flag": "suspicious", "fraud_reason": "chargeback"}
    )
    paid["applied_amount"] = 0
    invoice["amount_paid"] -= amount
    billing.settle_totals(invoice)
    invoice |= {"status": "not_paid", "paid_at": None}
    site.save("invoice", invoice)
    billing.refresh_dues(site, invoice)
    emit(site, "transaction_created", transaction=reversal)
    emit(site, "invoice_updated", invoice=invoice)
    customer = site.must("customer", invoice["customer_id"])
    number = str(site.store.next_number("ticket"))
    words = f"I do not recognise the charge on invoice {invoice['id']} and have asked my bank for the money back."
    ticket: Thing = {
        "id": number,
        "status": "open",
        "priority": "high",
        "type": "problem",
        "tags": ["dispute"],
        "subject": f"Charge on invoice {invoice['id']}",
    }
    ticket |= {"requester": {"name": customer["company"], "email": customer["email"]}, "description": words, "_key": "", "_fingerprint": ""}
    site.store.put("ticket", ticket | {"created_at": site.now(), "at": site.now(), "updated_at": site.now()})
    comment = {
        "id": str(site.store.next_number("ticket_comment")),
        "ticket_id": number,
        "body": words,
        "public": True,
        "metadata": {},
        "at": site.now(),
    }
    site.store.put("ticket_comment", comment)


def _migrate(site: Site, step: dict[str, Any]) -> None:
    """Move subscriptions from one item to another, now or at the end of their terms."""
    rows = site.store.rows(
        "SELECT id FROM subscription WHERE status = 'active' AND body LIKE ? ORDER BY seq", (f'%"item_price_id":"{step["from"]}-%',)
    )
    for ident in _chosen(site, step, [row[0] for row in rows]):
        subscription = site.must("subscription", ident)
        items = []
        for item in subscription["subscription_items"]:
            price_id = item["item_price_id"]
            if price_id.startswith(f"{step['from']}-"):
                price_id = step["to"] + price_id.removeprefix(step["from"])
            items.append({"item_price_id": price_id, "quantity": item.get("quantity")})
        changes.update(
            site, subscription, {"subscription_items": items, "replace_items_list": True, "change_option": step.get("when", "immediately")}
        )


DEEDS: dict[str, Callable[[Site, dict[str, Any]], None]] = {
    "fail_payments": _fail_payments,
    "gateway_outage": _outage,
    "payday": _payday,
    "disputes": _disputes,
    "migrate_plan": _migrate,
}
