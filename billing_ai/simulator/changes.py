"""Changes of a subscription's items, with proration, now or later."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import credits, terms
from billing_ai.simulator.calendar_steps import add_period, day_of
from billing_ai.simulator.errors import ApiError, invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.invoicing import line_item
from billing_ai.simulator.money import prorated
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

CHANGE = "change"
LIVE = ("active", "non_renewing", "in_trial")
_KEPT = ("auto_collection", "net_term_days", "po_number", "invoice_notes", "meta_data", "payment_source_id", "billing_cycles")


# -- items ---------------------------------------------------------------------------------------------------------------------


def wanted_items(site: Site, subscription: Thing, params: dict[str, Any]) -> list[Thing]:
    """The item list after a change. A plan takes the place of the plan; `replace_items_list` drops what is left out."""
    given = params.get("subscription_items") or []
    kept = {} if params.get("replace_items_list") else {item["item_price_id"]: item for item in subscription["subscription_items"]}
    for index, entry in enumerate(given):
        price = site.store.get("item_price", entry["item_price_id"])
        if price is None or price.get("deleted"):
            message = f"Sorry, we couldn't find the item price {entry['item_price_id']}"
            raise ApiError(404, "resource_not_found", message, param=f"subscription_items[item_price_id][{index}]")
        if price["currency_code"] != subscription["currency_code"]:
            raise wrong_value(
                f"subscription_items[item_price_id][{index}]",
                f"has another currency than the subscription ({subscription['currency_code']})",
            )
        if price["item_type"] == "plan":
            kept = {ident: item for ident, item in kept.items() if item["item_type"] != "plan" or ident == price["id"]}
        kept[price["id"]] = _item(price, entry, kept.get(price["id"]))
    for ident in params.get("mandatory_items_to_remove") or []:
        kept.pop(ident, None)
    if not any(item["item_type"] == "plan" for item in kept.values()):
        raise wrong_value("subscription_items", "a subscription needs a plan")
    return sorted(kept.values(), key=lambda item: (item["item_type"] != "plan", item["item_price_id"]))


def _item(price: Thing, entry: dict[str, Any], before: Thing | None) -> Thing:
    asked = entry.get("unit_price")
    unit: int = (before or price | {"unit_price": price["price"]})["unit_price"] if asked is None else asked
    item: Thing = {
        "item_price_id": price["id"],
        "item_type": price["item_type"],
        "unit_price": unit,
        "free_quantity": 0,
        "object": "subscription_item",
    }
    if price["_metered"]:
        return item | {"metered_quantity": "0", "amount": 0}
    quantity = entry.get("quantity") or (before or {}).get("quantity") or 1
    return item | {"quantity": quantity, "amount": unit * quantity}


def _same(one: Thing | None, other: Thing | None) -> bool:
    return (
        one is not None and other is not None and (one["unit_price"], one.get("quantity")) == (other["unit_price"], other.get("quantity"))
    )


def _period_of(site: Site, items: list[Thing]) -> tuple[int, str]:
    plan = next(item for item in items if item["item_type"] == "plan")
    price = site.must("item_price", plan["item_price_id"])
    return price.get("period", 1), price.get("period_unit", "month")


def change_items(site: Site, subscription: Thing, params: dict[str, Any]) -> tuple[Thing | None, list[Thing]]:
    """Put a change into force now: credit what is not used of the old, charge what is left of the term of the new.
    Returns the invoice (or None) and the credit notes."""
    items = wanted_items(site, subscription, params)
    old = {item["item_price_id"]: item for item in subscription["subscription_items"]}
    new = {item["item_price_id"]: item for item in items}
    period = _period_of(site, items)
    resets = period != (subscription["billing_period"], subscription["billing_period_unit"]) or bool(params.get("force_term_reset"))
    leaving = [item for ident, item in old.items() if resets or not _same(item, new.get(ident))]
    coming = [item for ident, item in new.items() if resets or not _same(old.get(ident), item)]
    began, ends, now = subscription["current_term_start"], subscription["current_term_end"], site.now()
    wants_proration = params.get("prorate") is not False
    share = (max(0, ends - now), max(1, ends - began))
    notes = credit_unused(site, subscription, leaving) if wants_proration and leaving else []
    customer = site.must("customer", subscription["customer_id"])
    subscription["subscription_items"] = items
    if resets:
        ends = add_period(now, period[0], period[1])
        subscription |= {
            "billing_period": period[0],
            "billing_period_unit": period[1],
            "current_term_start": now,
            "current_term_end": ends,
            "next_billing_at": ends,
            "_anchor_day": day_of(now),
        }
        site.store.unschedule(terms.RENEW, subscription["id"])
        site.store.schedule(ends, terms.RENEW, subscription["id"])
        share = (1, 1)
    elif not wants_proration:
        coming = []
    for name in _KEPT:
        if params.get(name) is not None:
            subscription[name] = params[name]
    _apply_coupons(subscription, params)
    subscription["mrr"] = monthly(subscription)
    site.save("subscription", subscription)
    lines = [_prorated_line(site, subscription, customer, item, share, (now, ends)) for item in coming if not _is_metered(item)]
    lines = [line for line in lines if line["amount"] > 0]
    invoice = bill(site, customer, subscription, lines, notes, immediately=params.get("invoice_immediately") is not False)
    emit(site, "subscription_changed", subscription=subscription, invoice=invoice)
    return invoice, notes


def _is_metered(item: Thing) -> bool:
    return "metered_quantity" in item


def _prorated_line(site: Site, subscription: Thing, customer: Thing, item: Thing, share: tuple[int, int], period: tuple[int, int]) -> Thing:
    price = site.must("item_price", item["item_price_id"])
    return line_item(
        ident=site.new_id("line_item"), subscription_id=subscription["id"], customer_id=customer["id"],
        description=price.get("external_name") or price["name"], entity_type=f"{item['item_type']}_item_price", entity_id=price["id"],
        unit_amount=item["unit_price"], quantity=item["quantity"], period=period, tax_rate=customer.get("_tax_rate", 0),
        amount=prorated(item["amount"], *share),
    )  # fmt: skip


def credit_unused(site: Site, subscription: Thing, leaving: list[Thing], *, whole: bool = False) -> list[Thing]:
    """Credit notes for what is left of each line's own period, on the invoices that billed it: what is used and what is
    credited add up to what was billed, to the minor unit. `whole` credits the lines as they were billed."""
    wanted = {item["item_price_id"] for item in leaving}
    notes = []
    for invoice in _term_invoices(site, subscription):
        lines = []
        for line in invoice["line_items"]:
            if line.get("subscription_id") != subscription["id"] or line.get("entity_id") not in wanted or line.get("metered"):
                continue
            wanted.discard(line["entity_id"])
            length = line["date_to"] - line["date_from"]
            left = length if whole else max(0, min(line["date_to"] - site.now(), length))
            amount, tax = prorated(line["amount"], left, max(1, length)), prorated(line["tax_amount"], left, max(1, length))
            if amount > 0:
                credit = {"id": site.new_id("line_item"), "reference_line_item_id": line["id"], "amount": amount, "tax_amount": tax}
                lines.append(line | credit | {"date_from": line["date_to"] - left})
        total = sum(line["amount"] + line["tax_amount"] for line in lines)
        unpaid = min(total, max(0, invoice["amount_due"]))
        if unpaid > 0:
            notes.append(credits.adjust(site, invoice, unpaid, "subscription_change", lines=lines))
        rest = min(total - unpaid, credits.refundable_left(site, invoice))
        if rest > 0:
            notes.append(credits.give_back(site, invoice, rest, "subscription_change", lines))
    return notes


def _term_invoices(site: Site, subscription: Thing) -> list[Thing]:
    """The invoices that billed the current term, newest first."""
    where = "customer_id = ? AND at >= ? AND status NOT IN ('voided','pending')"
    found = site.store.find("invoice", where, (subscription["customer_id"], subscription["current_term_start"]), order="at DESC, seq DESC")
    return [i for i in found if any(line.get("subscription_id") == subscription["id"] for line in i["line_items"])]


def term_invoice(site: Site, subscription: Thing) -> Thing | None:
    """The latest invoice of the current term."""
    return next(iter(_term_invoices(site, subscription)), None)


def bill(site: Site, customer: Thing, subscription: Thing, lines: list[Thing], notes: list[Thing], *, immediately: bool) -> Thing | None:
    if not lines:
        return None
    if not immediately:
        for line in lines:
            charge = {
                name: line[name]
                for name in (
                    "customer_id",
                    "subscription_id",
                    "date_from",
                    "date_to",
                    "unit_amount",
                    "quantity",
                    "amount",
                    "description",
                    "entity_type",
                    "entity_id",
                    "tax_amount",
                )
            }
            site.save(
                "unbilled_charge",
                charge
                | {
                    "id": line["id"],
                    "currency_code": subscription["currency_code"],
                    "is_voided": False,
                    "deleted": False,
                    "object": "unbilled_charge",
                    "created_at": site.now(),
                },
            )
        return None
    usable = [note for note in notes if note["type"] == "refundable"]
    return terms.issue(site, customer, lines, subscription, credit_notes=usable, subscription_id=subscription["id"], recurring=True)


def _apply_coupons(subscription: Thing, params: dict[str, Any]) -> None:
    wanted = list(params.get("coupon_ids") or []) + ([params["coupon"]] if params.get("coupon") else [])
    if not wanted and not params.get("replace_coupon_list"):
        return
    held = [] if params.get("replace_coupon_list") else subscription.get("coupons", [])
    known = {entry["coupon_id"] for entry in held}
    subscription["coupons"] = held + [
        {"coupon_id": ident, "applied_count": 0, "object": "coupon"} for ident in wanted if ident not in known
    ]


def monthly(subscription: Thing) -> int:
    """Monthly recurring revenue in minor units."""
    total = sum(item.get("amount", 0) for item in subscription["subscription_items"] if item["item_type"] != "charge")
    months = subscription["billing_period"] * (12 if subscription["billing_period_unit"] == "year" else 1)
    return int(total // months)


# -- later ---------------------------------------------------------------------------------------------------------------------


def update(site: Site, subscription: Thing, params: dict[str, Any]) -> tuple[Thing | None, list[Thing]]:
    """`update_for_items`: now, at the end of the term, or on a date."""
    if subscription["status"] not in LIVE:
        raise invalid_state(f"The subscription {subscription['id']} is {subscription['status']} and cannot be changed")
    option = params.get("change_option") or ("end_of_term" if params.get("end_of_term") else "immediately")
    if option == "immediately":
        return change_items(site, subscription, params)
    at = subscription["current_term_end"]
    if option == "specific_date":
        at = params.get("changes_scheduled_at") or 0
        if at <= site.now():
            raise wrong_value("changes_scheduled_at", "should be in the future")
        site.store.unschedule(CHANGE, subscription["id"])
        site.store.schedule(at, CHANGE, subscription["id"])
    wanted_items(site, subscription, params)
    subscription |= {
        "has_scheduled_changes": True,
        "changes_scheduled_at": at,
        "_scheduled_change": params | {"change_option": "immediately"},
    }
    site.save("subscription", subscription)
    emit(site, "subscription_changes_scheduled", subscription=subscription)
    return None, []


def take_scheduled(site: Site, subscription: Thing) -> dict[str, Any] | None:
    """The change that waits, taken off the subscription."""
    params: dict[str, Any] | None = subscription.pop("_scheduled_change", None)
    subscription["has_scheduled_changes"] = False
    subscription.pop("changes_scheduled_at", None)
    site.store.unschedule(CHANGE, subscription["id"])
    return params


def change_due(site: Site, subscription_id: str) -> None:
    subscription = site.store.get("subscription", subscription_id)
    if subscription is None or subscription["status"] not in LIVE or "_scheduled_change" not in subscription:
        return
    site.source = "scheduled_job"
    params = take_scheduled(site, subscription)
    if params is not None:
        change_items(site, subscription, params)
