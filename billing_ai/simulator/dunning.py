"""Chargebee's own dunning: its schedule, its pause, its end. It races ours until paused."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator.errors import invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

DAY = 86_400
RETRY_AFTER_DAYS = (3, 6, 10, 15)
RETRY = "dunning_retry"


def note_failure(site: Site, invoice: Thing, transaction: Thing, *, is_first: bool) -> None:
    """Add the attempt; set the next retry or, when the schedule is through, exhaust."""
    attempts = invoice.setdefault("dunning_attempts", [])
    if not is_first:
        attempts.append(_attempt(site, transaction, len(attempts) + 1))
    invoice["dunning_status"] = "in_progress"
    if is_first:
        invoice["_dunning_began_at"] = site.now()
    site.store.unschedule(RETRY, invoice["id"])
    past_the_end = site.now() >= invoice["_dunning_began_at"] + RETRY_AFTER_DAYS[-1] * DAY
    coming = [invoice["_dunning_began_at"] + days * DAY for days in RETRY_AFTER_DAYS]
    following = next((moment for moment in coming if moment > site.now()), None)
    invoice.pop("expected_payment_date", None)
    if following is None or past_the_end:
        invoice["dunning_status"] = "exhausted"
        invoice["status"] = "not_paid"
        invoice.pop("next_retry_at", None)
        return
    invoice["next_retry_at"] = following
    site.store.schedule(following, RETRY, invoice["id"])


def _attempt(site: Site, transaction: Thing, number: int) -> Thing:
    return {
        "attempt": number,
        "transaction_id": transaction["id"],
        "dunning_type": "direct_debit" if transaction["payment_method"] == "direct_debit" else "auto_collect",
        "created_at": site.now(),
        "txn_status": transaction["status"],
        "txn_amount": transaction["amount"],
        "retry_engine": "chargebee",
        "object": "dunning_attempt",
    }


def end(site: Site, invoice: Thing, status: str) -> None:
    """Dunning is over: `success` or `stopped`."""
    site.store.unschedule(RETRY, invoice["id"])
    invoice.pop("next_retry_at", None)
    if invoice.get("dunning_status") is not None:
        invoice["dunning_status"] = status


def final_action(site: Site, invoice: Thing) -> None:
    """The schedule is through without money: what the site is set to do with the subscription (cancel it, or keep it)."""
    if site.store.setting("dunning_final_action", "cancel") != "cancel":
        return
    for line in invoice["line_items"]:
        subscription = site.store.get("subscription", line.get("subscription_id") or "")
        if subscription and subscription["status"] in ("active", "non_renewing", "in_trial"):
            subscription |= {"status": "cancelled", "cancelled_at": site.now(), "cancel_reason": "not_paid"}
            for name in ("next_billing_at", "current_term_end"):
                subscription.pop(name, None)
            site.store.unschedule("renew", subscription["id"])
            site.save("subscription", subscription)
            emit(site, "subscription_cancelled", subscription=subscription, invoice=invoice)


def stop(site: Site, invoice_id: str) -> Thing:
    """`Invoice.stop_dunning`: no more retries; the invoice becomes not_paid."""
    invoice = _in_dunning(site, invoice_id)
    end(site, invoice, "stopped")
    invoice["status"] = "not_paid"
    site.save("invoice", invoice)
    emit(site, "dunning_updated", invoice=invoice)
    return invoice


def pause(site: Site, invoice_id: str, params: dict[str, Any]) -> Thing:
    """`Invoice.pause_dunning`: no retries until the date, on which Chargebee itself tries."""
    invoice = _in_dunning(site, invoice_id)
    moment = params["expected_payment_date"]
    if moment <= site.now():
        raise wrong_value("expected_payment_date", "should be in the future")
    site.store.unschedule(RETRY, invoice_id)
    invoice["expected_payment_date"] = moment
    invoice["next_retry_at"] = moment
    site.store.schedule(moment, RETRY, invoice_id)
    site.save("invoice", invoice)
    emit(site, "dunning_updated", invoice=invoice)
    return invoice


def resume(site: Site, invoice_id: str) -> Thing:
    """`Invoice.resume_dunning`: back to the schedule, from where it would be now."""
    invoice = site.must("invoice", invoice_id)
    if invoice["status"] not in ("payment_due", "not_paid") or not (
        invoice.get("expected_payment_date") or invoice.get("dunning_status") == "stopped"
    ):
        raise invalid_state(f"The dunning of invoice {invoice_id} is not paused")
    invoice.pop("expected_payment_date", None)
    invoice |= {"status": "payment_due", "dunning_status": "in_progress"}
    invoice.setdefault("_dunning_began_at", site.now())
    coming = [invoice["_dunning_began_at"] + days * DAY for days in RETRY_AFTER_DAYS]
    following = next((m for m in coming if m > site.now()), site.now() + DAY)
    site.store.unschedule(RETRY, invoice_id)
    invoice["next_retry_at"] = following
    site.store.schedule(following, RETRY, invoice_id)
    site.save("invoice", invoice)
    emit(site, "dunning_updated", invoice=invoice)
    return invoice


def _in_dunning(site: Site, invoice_id: str) -> Thing:
    invoice = site.must("invoice", invoice_id)
    if invoice["status"] != "payment_due" or invoice.get("dunning_status") != "in_progress":
        raise invalid_state(f"The invoice {invoice_id} is not in dunning")
    return invoice
