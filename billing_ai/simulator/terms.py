"""Terms of a subscription: where one begins, what it bills, how the invoice is issued, where it all ends."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from billing_ai.simulator import billing, credits
from billing_ai.simulator.calendar_steps import add_period
from billing_ai.simulator.events import emit
from billing_ai.simulator.invoicing import document, item_lines, line_item
from billing_ai.simulator.money import prorated
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

RENEW = "renew"
FALL_DUE = "fall_due"


def start_term(site: Site, subscription: Thing) -> None:
    """Move to the next term and schedule its end."""
    began = subscription["current_term_end"]
    ends = add_period(began, subscription["billing_period"], subscription["billing_period_unit"], subscription.get("_anchor_day"))
    subscription |= {"status": "active", "current_term_start": began, "current_term_end": ends, "next_billing_at": ends}
    site.store.unschedule(RENEW, subscription["id"])
    site.store.schedule(ends, RENEW, subscription["id"])
    site.save("subscription", subscription)


def term_lines(site: Site, customer: Thing, subscription: Thing) -> list[Thing]:
    """Lines for the term that the subscription is in, and for usage that nobody billed yet."""
    prices = {
        item["item_price_id"]: site.store.get("item_price", item["item_price_id"]) or {} for item in subscription["subscription_items"]
    }
    flat = [item for item in subscription["subscription_items"] if "metered_quantity" not in item]
    ids = [site.new_id("line_item") for _ in flat]
    period = (subscription["current_term_start"], subscription["current_term_end"])
    lines = item_lines(subscription | {"subscription_items": flat}, prices, period, customer.get("_tax_rate", 0), ids)
    return lines + _usage_lines(site, customer, subscription, prices)


def _usage_lines(site: Site, customer: Thing, subscription: Thing, prices: dict[str, Thing]) -> list[Thing]:
    """What was used and not billed yet, priced per unit and rounded half up."""
    lines = []
    for item in subscription["subscription_items"]:
        if "metered_quantity" not in item:
            continue
        used = site.store.find("usage", "subscription_id = ?", (subscription["id"],))
        usages = [u for u in used if not u.get("invoice_id") and u["item_price_id"] == item["item_price_id"]]
        quantity = sum((Decimal(usage["quantity"]) for usage in usages), Decimal(0))
        if quantity <= 0:
            continue
        ident = site.new_id("line_item")
        line = line_item(
            ident=ident, subscription_id=subscription["id"], customer_id=customer["id"],
            description=prices[item["item_price_id"]].get("external_name", item["item_price_id"]),
            entity_type=f"{item['item_type']}_item_price", entity_id=item["item_price_id"], unit_amount=item["unit_price"],
            quantity=int(quantity), period=(min(u["usage_date"] for u in usages), site.now()), tax_rate=customer.get("_tax_rate", 0),
            amount=int((quantity * item["unit_price"]).quantize(Decimal(1), ROUND_HALF_UP)),
        )  # fmt: skip
        lines.append(line | {"metered": True, "quantity_in_decimal": str(quantity)})
        for usage in usages:
            site.save("usage", usage | {"line_item_id": ident})
    return lines


def issue(
    site: Site,
    customer: Thing,
    lines: list[Thing],
    subscription: Thing | None,
    *,
    credit_notes: list[Thing] | None = None,
    pending: bool = False,
    **more: Any,
) -> Thing:
    """Generate an invoice, use credits, announce it, and collect it where collection is automatic. `subscription` gives currency,
    net term and collection; `more` goes on the document."""
    basis = subscription or {}
    invoice = document(
        site.new_id("invoice"),
        customer,
        lines,
        site.now(),
        basis.get("currency_code") or customer["preferred_currency_code"],
        net_term_days=basis.get("net_term_days", customer.get("net_term_days", 0)),
        business_entity_id=customer.get("business_entity_id"),
        discounts=_coupon_discounts(site, basis, lines),
        **more,
    )
    if pending:
        invoice["status"] = "pending"
        site.save("invoice", invoice)
        emit(site, "pending_invoice_created", invoice=invoice)
        return invoice
    _bind_usages(site, lines, invoice)
    for note in credit_notes or []:
        credits.use_on(site, note, invoice)
    use_promotional_credits(site, site.must("customer", customer["id"]), invoice)
    automatic = basis.get("auto_collection", customer["auto_collection"]) != "off" and invoice["status"] == "payment_due"
    if invoice["amount_due"] == 0:
        invoice |= {"status": "paid", "paid_at": site.now()}
    site.save("invoice", invoice)
    emit(site, "invoice_generated", invoice=invoice)
    if invoice["status"] == "posted":
        site.store.schedule(invoice["due_date"], FALL_DUE, invoice["id"])
    elif invoice["status"] == "payment_due" and automatic:
        billing.charge(site, invoice)
    else:
        billing.refresh_dues(site, invoice)
    return invoice


def _bind_usages(site: Site, lines: list[Thing], invoice: Thing) -> None:
    for line in lines:
        if line.get("metered"):
            for usage in site.store.find("usage", "subscription_id = ?", (line["subscription_id"],)):
                if usage.get("line_item_id") == line["id"]:
                    site.save("usage", usage | {"invoice_id": invoice["id"]})


def _coupon_discounts(site: Site, subscription: Thing, lines: list[Thing]) -> list[Thing]:
    """What the subscription's coupons take off, never more than there is."""
    left = sum(line["amount"] for line in lines)
    discounts = []
    for held in subscription.get("coupons", []):
        coupon = site.store.get("coupon", held["coupon_id"])
        if coupon is None or coupon["status"] != "active":
            continue
        if coupon.get("discount_type") == "percentage":
            amount = prorated(left, round(coupon["discount_percentage"] * 100), 10_000)
        else:
            amount = coupon.get("discount_amount") or 0
        amount = min(amount, left)
        if amount > 0:
            left -= amount
            discounts.append(
                {
                    "amount": amount,
                    "description": coupon["name"],
                    "entity_type": "document_level_coupon",
                    "entity_id": coupon["id"],
                    "object": "discount",
                }
            )
    return discounts


def use_promotional_credits(site: Site, customer: Thing, invoice: Thing) -> None:
    """Promotional credits pay before the card does."""
    available = min(customer.get("promotional_credits", 0), invoice["amount_due"])
    if available <= 0:
        return
    customer["promotional_credits"] -= available
    invoice["credits_applied"] += available
    invoice["applied_credits"].append(
        {"cn_id": "promotional", "applied_amount": available, "applied_at": site.now(), "object": "applied_credit"}
    )
    billing.settle_totals(invoice)
    site.save("customer", customer)


def end(site: Site, subscription: Thing, *, reason: str | None = None) -> None:
    """Cancel now, without money moving."""
    subscription |= {"status": "cancelled", "cancelled_at": site.now()}
    if reason:
        subscription["cancel_reason"] = reason
    for name in ("next_billing_at", "cancel_schedule_created_at", "pause_date", "resume_date"):
        subscription.pop(name, None)
    subscription["mrr"] = 0
    site.store.unschedule(RENEW, subscription["id"])
    site.save("subscription", subscription)
    emit(site, "subscription_cancelled", subscription=subscription)
