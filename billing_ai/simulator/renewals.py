"""Terms end: scheduled changes take effect, invoices are generated and collected, dues fall due."""

from __future__ import annotations

from billing_ai.simulator import billing, changes
from billing_ai.simulator.events import emit
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing
from billing_ai.simulator.terms import end, issue, start_term, term_lines

BILLABLE = ("active", "non_renewing", "in_trial")


def renew(site: Site, subscription_id: str) -> None:
    """A term has ended. Ends what is scheduled to end, bills what goes on."""
    subscription = site.store.get("subscription", subscription_id)
    if subscription is None or subscription.get("deleted") or subscription["status"] not in BILLABLE:
        return
    site.source = "scheduled_job"
    if subscription["status"] == "non_renewing":
        end(site, subscription, reason=subscription.get("cancel_reason"))
        return
    customer = site.must("customer", subscription["customer_id"])
    together = [subscription]
    if customer.get("consolidated_invoicing"):
        together += [
            other
            for other in site.store.find("subscription", "customer_id = ? AND status = 'active'", (customer["id"],))
            if other["id"] != subscription_id
            and other["next_billing_at"] <= site.now()
            and other["auto_collection"] == subscription["auto_collection"]
        ]
    lines: list[Thing] = []
    for one in together:
        _take_scheduled_items(site, one)
        start_term(site, one)
        lines += term_lines(site, customer, one)
    own = subscription_id if len(together) == 1 else None
    invoice = issue(site, customer, lines, subscription, subscription_id=own)
    for one in together:
        emit(site, "subscription_renewed", subscription=one, customer=customer, invoice=invoice)


def _take_scheduled_items(site: Site, subscription: Thing) -> None:
    """A change scheduled for the end of the term comes into force with the new one, without proration."""
    params = subscription.get("_scheduled_change")
    if params is None or subscription.get("changes_scheduled_at", 0) > site.now():
        return
    changes.take_scheduled(site, subscription)
    items = changes.wanted_items(site, subscription, params)
    plan = next(item for item in items if item["item_type"] == "plan")
    price = site.must("item_price", plan["item_price_id"])
    subscription |= {
        "subscription_items": items,
        "billing_period": price.get("period", 1),
        "billing_period_unit": price.get("period_unit", "month"),
    }
    subscription["mrr"] = changes.monthly(subscription)
    site.save("subscription", subscription)
    emit(site, "subscription_changed", subscription=subscription)


def fall_due(site: Site, invoice_id: str) -> None:
    """The net term is over: posted becomes payment_due."""
    invoice = site.store.get("invoice", invoice_id)
    if invoice is None or invoice["status"] != "posted":
        return
    site.source = "scheduled_job"
    invoice["status"] = "payment_due"
    site.save("invoice", invoice)
    billing.refresh_dues(site, invoice)
    emit(site, "invoice_updated", invoice=invoice)


def retry(site: Site, invoice_id: str) -> None:
    """Chargebee's own dunning attempt."""
    invoice = site.store.get("invoice", invoice_id)
    if invoice is None or invoice["status"] != "payment_due" or invoice.get("dunning_status") != "in_progress":
        return
    site.source = "scheduled_job"
    billing.charge(site, invoice, dunning_attempt=True)
