"""Pauses, cancellations, changes of items, usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from billing_ai.integrations.chargebee.resources import Subscription
from billing_ai.integrations.chargebee.shapes import Raw
from billing_ai.integrations.chargebee.writes.making import Written, as_sent, checked, dates, write, write_site


def pause_subscription(
    subscription_id: str,
    *,
    idempotency_key: str,
    pause_option: str = "immediately",
    pause_date: datetime | None = None,
    resume_date: datetime | None = None,
    unbilled_charges_handling: str = "no_action",
    invoice_dunning_handling: str = "continue",
) -> Written[Subscription]:
    """Pause a subscription. `pause_date` goes with `specific_date`; `invoice_dunning_handling` is `continue` or `stop`."""
    params: dict[str, Any] = {
        "pause_option": pause_option,
        "unbilled_charges_handling": unbilled_charges_handling,
        "invoice_dunning_handling": invoice_dunning_handling,
        **dates(pause_date=pause_date, resume_date=resume_date),
    }
    return _subscription("pause", subscription_id, params, idempotency_key)


def resume_subscription(
    subscription_id: str,
    *,
    idempotency_key: str,
    resume_option: str = "immediately",
    resume_date: datetime | None = None,
    charges_handling: str = "invoice_immediately",
    unpaid_invoices_handling: str = "no_action",
) -> Written[Subscription]:
    """Resume a paused subscription. `resume_date` goes with `specific_date`."""
    params: dict[str, Any] = {
        "resume_option": resume_option,
        "charges_handling": charges_handling,
        "unpaid_invoices_handling": unpaid_invoices_handling,
        **dates(resume_date=resume_date),
    }
    return _subscription("resume", subscription_id, params, idempotency_key)


def cancel_for_items(
    subscription_id: str,
    *,
    idempotency_key: str,
    cancel_option: str = "end_of_term",
    cancel_at: datetime | None = None,
    cancel_reason_code: str = "",
    credit_option_for_current_term_charges: str = "",
    unbilled_charges_option: str = "",
    account_receivables_handling: str = "",
    refundable_credits_handling: str = "",
) -> Written[Subscription]:
    """Cancel a subscription. `cancel_at` goes with `specific_date`; the rest defaults to the site's own settings."""
    optional = {
        "cancel_reason_code": cancel_reason_code,
        "credit_option_for_current_term_charges": credit_option_for_current_term_charges,
        "unbilled_charges_option": unbilled_charges_option,
        "account_receivables_handling": account_receivables_handling,
        "refundable_credits_handling": refundable_credits_handling,
    }
    params: dict[str, Any] = {
        "cancel_option": cancel_option,
        **dates(cancel_at=cancel_at),
        **{name: value for name, value in optional.items() if value},
    }
    return _subscription("cancel_for_items", subscription_id, params, idempotency_key)


def update_for_items(
    subscription_id: str,
    items: Sequence[Mapping[str, Any]],
    *,
    idempotency_key: str,
    replace_items_list: bool = False,
    change_option: str = "immediately",
    changes_scheduled_at: datetime | None = None,
    prorate: bool | None = None,
    invoice_immediately: bool | None = None,
    coupon_ids: Sequence[str] = (),
) -> Written[Subscription]:
    """Change a subscription's items: `{"item_price_id": …, "quantity": …}` each. `replace_items_list` drops the items that are left out."""
    params: dict[str, Any] = {
        "subscription_items": [dict(item) for item in items],
        "replace_items_list": replace_items_list,
        "change_option": change_option,
        **dates(changes_scheduled_at=changes_scheduled_at),
    }
    if prorate is not None:
        params["prorate"] = prorate
    if invoice_immediately is not None:
        params["invoice_immediately"] = invoice_immediately
    if coupon_ids:
        params["coupon_ids"] = list(coupon_ids)
    return _subscription("update_for_items", subscription_id, params, idempotency_key)


def remove_scheduled_cancellation(subscription_id: str, *, idempotency_key: str) -> Written[Subscription]:
    """Take back a cancellation that has not come into force."""
    return _subscription("remove_scheduled_cancellation", subscription_id, {}, idempotency_key)


def create_usage(
    subscription_id: str, *, idempotency_key: str, item_price_id: str, quantity: str, used_at: datetime, note: str = ""
) -> Written[Raw]:
    """Record usage. `quantity` is a decimal text."""
    params: dict[str, Any] = {"item_price_id": item_price_id, "quantity": quantity, **dates(usage_date=used_at)}
    if note:
        params["note"] = note
    return write(
        "usage.create",
        "usage",
        as_sent,
        lambda headers: write_site().Usage.create(checked(subscription_id), params, headers),
        idempotency_key,
    )


def _subscription(verb: str, subscription_id: str, params: dict[str, Any], idempotency_key: str) -> Written[Subscription]:
    def call(headers: dict[str, str]) -> Any:
        method = getattr(write_site().Subscription, verb)
        return method(checked(subscription_id), params, headers) if params else method(checked(subscription_id), headers=headers)

    return write(f"subscription.{verb}", "subscription", Subscription.from_raw, call, idempotency_key)
