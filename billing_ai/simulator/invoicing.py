"""Invoices as documents: lines, tax, totals."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.money import prorated
from billing_ai.simulator.store import Thing

DAY = 86_400


def line_item(
    *,
    ident: str,
    subscription_id: str | None,
    customer_id: str,
    description: str,
    entity_type: str,
    entity_id: str | None,
    unit_amount: int,
    quantity: int,
    period: tuple[int, int],
    tax_rate: float,
    amount: int | None = None,
) -> Thing:
    """One line. `amount` is in minor units, before tax, and may be negative for a credit."""
    total = unit_amount * quantity if amount is None else amount
    return {
        "id": ident,
        "subscription_id": subscription_id,
        "customer_id": customer_id,
        "date_from": period[0],
        "date_to": period[1],
        "unit_amount": unit_amount,
        "quantity": quantity,
        "amount": total,
        "pricing_model": "per_unit",
        "is_taxed": tax_rate > 0,
        "tax_amount": prorated(total, round(tax_rate * 100), 10_000),
        "tax_rate": tax_rate,
        "discount_amount": 0,
        "item_level_discount_amount": 0,
        "description": description,
        "entity_type": entity_type,
        "entity_id": entity_id,
        "object": "line_item",
    }


def document(ident: str, customer: Thing, lines: list[Thing], at: int, currency: str, **more: Any) -> Thing:
    """An invoice over lines, not yet collected. `more`: subscription_id, net_term_days, recurring, first_invoice, discounts…"""
    discounts = more.pop("discounts", [])
    discount = sum(entry["amount"] for entry in discounts)
    tax = sum(line["tax_amount"] for line in lines)
    sub_total = sum(line["amount"] for line in lines)
    if discount and sub_total:
        tax = prorated(tax, sub_total - discount, sub_total)
    total = max(0, sub_total - discount + tax)
    net_term_days = more.pop("net_term_days", 0) or 0
    rate = next((line["tax_rate"] for line in lines if line["tax_rate"]), 0)
    invoice: Thing = {
        "id": ident,
        "customer_id": customer["id"],
        "payment_owner": customer["id"],
        "subscription_id": more.pop("subscription_id", None),
        "recurring": more.pop("recurring", True),
        "status": "payment_due" if not net_term_days else "posted",
        "price_type": "tax_exclusive",
        "date": at,
        "due_date": at + net_term_days * DAY,
        "net_term_days": net_term_days,
        "exchange_rate": 1.0,
        "currency_code": currency,
        "base_currency_code": "EUR",
        "sub_total": sub_total,
        "tax": tax,
        "total": total,
        "amount_paid": 0,
        "amount_adjusted": 0,
        "write_off_amount": 0,
        "credits_applied": 0,
        "round_off_amount": 0,
        "amount_due": total,
        "amount_to_collect": total,
        "first_invoice": more.pop("first_invoice", False),
        "new_sales_amount": 0,
        "has_advance_charges": False,
        "term_finalized": True,
        "is_gifted": False,
        "generated_at": at,
        "channel": "web",
        "deleted": False,
        "object": "invoice",
        "line_items": lines,
        "discounts": discounts,
        "line_item_discounts": [],
        "taxes": [{"name": "VAT", "amount": tax, "description": f"VAT @ {rate:g}%", "object": "tax"}] if tax else [],
        "line_item_taxes": [_line_tax(line) for line in lines if line["tax_amount"]],
        "linked_payments": [],
        "dunning_attempts": [],
        "applied_credits": [],
        "adjustment_credit_notes": [],
        "issued_credit_notes": [],
        "linked_orders": [],
        "notes": more.pop("notes", []),
        "billing_address": customer.get("billing_address"),
    }
    return invoice | more


def _line_tax(line: Thing) -> Thing:
    return {
        "line_item_id": line["id"],
        "tax_name": "VAT",
        "tax_rate": line["tax_rate"],
        "taxable_amount": line["amount"],
        "tax_amount": line["tax_amount"],
        "is_partial_tax_applied": False,
        "is_non_compliance_tax": False,
        "object": "line_item_tax",
    }


def item_lines(subscription: Thing, prices: dict[str, Thing], period: tuple[int, int], tax_rate: float, new_ids: list[str]) -> list[Thing]:
    """A line for each recurring item of a subscription, over one term."""
    lines = []
    for item, ident in zip(subscription["subscription_items"], new_ids, strict=False):
        price = prices.get(item["item_price_id"]) or {}
        lines.append(
            line_item(
                ident=ident,
                subscription_id=subscription["id"],
                customer_id=subscription["customer_id"],
                description=price.get("external_name") or item["item_price_id"],
                entity_type=f"{item.get('item_type', 'plan')}_item_price",
                entity_id=item["item_price_id"],
                unit_amount=item.get("unit_price", 0),
                quantity=item.get("quantity") or 1,
                period=period,
                tax_rate=tax_rate,
            )
        )
    return lines
