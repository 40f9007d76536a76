"""Where a subscription ends or rests: cancellation, pause, resumption, now or later."""

from __future__ import annotations

from typing import Any

from billing_ai.simulator import billing, changes, credits, dunning, terms
from billing_ai.simulator.calendar_steps import add_period, day_of
from billing_ai.simulator.errors import invalid_state, wrong_value
from billing_ai.simulator.events import emit
from billing_ai.simulator.site import Site
from billing_ai.simulator.store import Thing

CANCEL, PAUSE, RESUME = "cancel", "pause", "resume"


# -- cancellation ----------------------------------------------------------------------------------------------------------------


def cancel(site: Site, subscription: Thing, params: dict[str, Any]) -> list[Thing]:
    """`cancel_for_items`: now, at the end of the term, or on a date. Returns the credit notes."""
    if subscription["status"] == "cancelled":
        raise invalid_state(f"The subscription {subscription['id']} is already cancelled")
    option = params.get("cancel_option") or (
        "end_of_term" if params.get("end_of_term") else "specific_date" if params.get("cancel_at") else "immediately"
    )
    subscription["cancel_reason_code"] = params.get("cancel_reason_code")
    if option == "immediately":
        return _cancel_now(site, subscription, params)
    at = params.get("cancel_at") if option == "specific_date" else subscription["current_term_end"]
    if not at or at <= site.now():
        raise wrong_value("cancel_at", "should be in the future")
    subscription |= {"status": "non_renewing", "cancelled_at": at, "cancel_schedule_created_at": site.now(), "_cancel": params}
    subscription.pop("next_billing_at", None)
    if at < subscription["current_term_end"]:
        site.store.schedule(at, CANCEL, subscription["id"])
    site.save("subscription", subscription)
    emit(site, "subscription_cancellation_scheduled", subscription=subscription)
    return []


def _cancel_now(site: Site, subscription: Thing, params: dict[str, Any]) -> list[Thing]:
    option = params.get("credit_option_for_current_term_charges") or "none"
    everything = subscription["subscription_items"]
    notes = [] if option == "none" else changes.credit_unused(site, subscription, everything, whole=option == "full")
    terms.end(site, subscription)
    handling = params.get("account_receivables_handling") or "no_action"
    for invoice in _open_invoices(site, subscription):
        if handling == "write_off":
            credits.write_off(site, invoice)
        elif handling == "schedule_payment_collection":
            billing.charge(site, invoice)
    if params.get("refundable_credits_handling") == "schedule_refund":
        for note in notes:
            if note["type"] == "refundable" and note["amount_available"] > 0:
                credits.pay_out(site, site.must("invoice", note["reference_invoice_id"]), note, note["amount_available"])
    return notes


def _open_invoices(site: Site, subscription: Thing) -> list[Thing]:
    found = site.store.find("invoice", "customer_id = ? AND status IN ('payment_due','not_paid','posted')", (subscription["customer_id"],))
    return [i for i in found if any(line.get("subscription_id") == subscription["id"] for line in i["line_items"])]


def cancel_due(site: Site, subscription_id: str) -> None:
    subscription = site.store.get("subscription", subscription_id)
    if subscription is not None and subscription["status"] == "non_renewing":
        site.source = "scheduled_job"
        _cancel_now(site, subscription, subscription.pop("_cancel", {}))


def uncancel(site: Site, subscription: Thing) -> None:
    """`remove_scheduled_cancellation`."""
    if subscription["status"] != "non_renewing":
        raise invalid_state(f"The subscription {subscription['id']} has no scheduled cancellation")
    subscription |= {"status": "active", "next_billing_at": subscription["current_term_end"]}
    for name in ("cancelled_at", "cancel_schedule_created_at", "_cancel", "cancel_reason_code"):
        subscription.pop(name, None)
    site.store.unschedule(CANCEL, subscription["id"])
    site.save("subscription", subscription)
    emit(site, "subscription_changed", subscription=subscription)


# -- pause and resume ------------------------------------------------------------------------------------------------------------


def pause(site: Site, subscription: Thing, params: dict[str, Any]) -> None:
    """`pause`: now, at the end of the term, on a date, or for some billing cycles."""
    if subscription["status"] != "active":
        raise invalid_state(f"The subscription {subscription['id']} is {subscription['status']} and cannot be paused")
    option = params.get("pause_option") or ("specific_date" if params.get("pause_date") else "immediately")
    resume_at = params.get("resume_date")
    at = (
        site.now()
        if option == "immediately"
        else params.get("pause_date")
        if option == "specific_date"
        else subscription["current_term_end"]
    )
    if not at or (option == "specific_date" and at <= site.now()):
        raise wrong_value("pause_date", "should be in the future")
    if option == "billing_cycles":
        cycles = params.get("skip_billing_cycles")
        if not cycles:
            raise wrong_value("skip_billing_cycles", "cannot be blank")
        resume_at = add_period(at, cycles * subscription["billing_period"], subscription["billing_period_unit"])
    if resume_at is not None and resume_at <= at:
        raise wrong_value("resume_date", "should be after the pause")
    if params.get("invoice_dunning_handling") == "stop":
        for invoice in _open_invoices(site, subscription):
            if invoice.get("dunning_status") == "in_progress":
                dunning.stop(site, invoice["id"])
        subscription = site.must("subscription", subscription["id"])
    subscription["pause_date"] = at
    if resume_at is not None:
        subscription["resume_date"] = resume_at
        site.store.schedule(resume_at, RESUME, subscription["id"])
    if option == "immediately":
        _pause_now(site, subscription)
        return
    site.store.schedule(at - (1 if at == subscription["current_term_end"] else 0), PAUSE, subscription["id"])
    site.save("subscription", subscription)
    emit(site, "subscription_pause_scheduled", subscription=subscription)


def _pause_now(site: Site, subscription: Thing) -> None:
    subscription["status"] = "paused"
    subscription.pop("next_billing_at", None)
    site.store.unschedule(terms.RENEW, subscription["id"])
    site.save("subscription", subscription)
    emit(site, "subscription_paused", subscription=subscription)


def pause_due(site: Site, subscription_id: str) -> None:
    subscription = site.store.get("subscription", subscription_id)
    if subscription is not None and subscription["status"] == "active" and subscription.get("pause_date"):
        site.source = "scheduled_job"
        _pause_now(site, subscription)


def resume(site: Site, subscription: Thing, params: dict[str, Any]) -> Thing | None:
    """`resume`: now or on a date. Returns the invoice of the new term, if one begins."""
    if subscription["status"] != "paused":
        raise invalid_state(f"The subscription {subscription['id']} is {subscription['status']}, not paused")
    if (params.get("resume_option") or "immediately") == "specific_date":
        at = params.get("resume_date")
        if not at or at <= site.now():
            raise wrong_value("resume_date", "should be in the future")
        site.store.unschedule(RESUME, subscription["id"])
        site.store.schedule(at, RESUME, subscription["id"])
        subscription["resume_date"] = at
        site.save("subscription", subscription)
        emit(site, "subscription_resumption_scheduled", subscription=subscription)
        return None
    return _resume_now(site, subscription, params)


def _resume_now(site: Site, subscription: Thing, params: dict[str, Any]) -> Thing | None:
    for name in ("pause_date", "resume_date"):
        subscription.pop(name, None)
    site.store.unschedule(RESUME, subscription["id"])
    subscription["status"] = "active"
    invoice = None
    if subscription["current_term_end"] > site.now():
        subscription["next_billing_at"] = subscription["current_term_end"]
        site.store.schedule(subscription["current_term_end"], terms.RENEW, subscription["id"])
        site.save("subscription", subscription)
    else:
        invoice = start_afresh(site, subscription, immediately=params.get("charges_handling") != "add_to_unbilled_charges")
    if params.get("unpaid_invoices_handling") == "schedule_payment_collection":
        for open_one in _open_invoices(site, subscription):
            billing.charge(site, open_one)
    emit(site, "subscription_resumed", subscription=site.must("subscription", subscription["id"]), invoice=invoice)
    return invoice


def start_afresh(site: Site, subscription: Thing, *, immediately: bool = True) -> Thing | None:
    """A new term from now, billed."""
    subscription["current_term_end"] = site.now()
    subscription["_anchor_day"] = day_of(site.now())
    subscription["mrr"] = changes.monthly(subscription)
    terms.start_term(site, subscription)
    customer = site.must("customer", subscription["customer_id"])
    return changes.bill(site, customer, subscription, terms.term_lines(site, customer, subscription), [], immediately=immediately)


def resume_due(site: Site, subscription_id: str) -> None:
    subscription = site.store.get("subscription", subscription_id)
    if subscription is not None and subscription["status"] == "paused":
        site.source = "scheduled_job"
        _resume_now(site, subscription, {})
