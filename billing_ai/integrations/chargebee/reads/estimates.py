"""What a change would bill and credit, and an invoice as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from chargebee import Chargebee  # type: ignore[import-untyped]  # the SDK ships no py.typed

from billing_ai.integrations.chargebee.call import run
from billing_ai.integrations.chargebee.client import read_site
from billing_ai.integrations.chargebee.reads.asking import as_sent, checked, one
from billing_ai.integrations.chargebee.shapes import Raw
from billing_ai.kernel import clock
from billing_ai.kernel.ids import new_id


def estimate_update(
    subscription_id: str,
    items: Sequence[Mapping[str, Any]],
    *,
    replace_items_list: bool = False,
    change_option: str = "immediately",
    prorate: bool | None = None,
) -> Raw:
    """What `update_for_items` would bill and credit. `items`: `{"item_price_id": …, "quantity": …}` each."""
    params: dict[str, Any] = {
        "subscription": {"id": checked(subscription_id)},
        "subscription_items": [dict(item) for item in items],
        "replace_items_list": replace_items_list,
        "change_option": change_option,
    }
    if prorate is not None:
        params["prorate"] = prorate
    return one(
        "estimate.update_subscription_for_items", "estimate", lambda: read_site().Estimate.update_subscription_for_items(params), as_sent
    )


def estimate_renewal(subscription_id: str, *, include_delayed_charges: bool = True, use_existing_balances: bool = True) -> Raw:
    """What the next renewal would bill."""
    params = {"include_delayed_charges": include_delayed_charges, "use_existing_balances": use_existing_balances}
    return one(
        "estimate.renewal_estimate", "estimate", lambda: read_site().Estimate.renewal_estimate(checked(subscription_id), params), as_sent
    )


def estimate_cancel(
    subscription_id: str,
    *,
    cancel_option: str = "end_of_term",
    cancel_at: datetime | None = None,
    credit_option_for_current_term_charges: str = "",
) -> Raw:
    """What a cancellation would bill and credit. `cancel_at` goes with `specific_date`."""
    params: dict[str, Any] = {"cancel_option": cancel_option}
    if cancel_at:
        params["cancel_at"] = clock.to_seconds(cancel_at)
    if credit_option_for_current_term_charges:
        params["credit_option_for_current_term_charges"] = credit_option_for_current_term_charges
    return one(
        "estimate.cancel_subscription_for_items",
        "estimate",
        lambda: read_site().Estimate.cancel_subscription_for_items(checked(subscription_id), params),
        as_sent,
    )


def estimate_pause(
    subscription_id: str, *, pause_option: str = "immediately", pause_date: datetime | None = None, resume_date: datetime | None = None
) -> Raw:
    """What a pause would bill and credit. `pause_date` goes with `specific_date`."""
    params: dict[str, Any] = {"pause_option": pause_option}
    dates = {
        name: clock.to_seconds(moment) for name, moment in (("pause_date", pause_date), ("resume_date", resume_date)) if moment is not None
    }
    if dates:
        params["subscription"] = dates
    return one(
        "estimate.pause_subscription",
        "estimate",
        lambda: read_site().Estimate.pause_subscription(checked(subscription_id), params),
        as_sent,
    )


def invoice_pdf_url(invoice_id: str) -> str:
    """An address of the invoice's PDF, which expires.

    Chargebee takes it as a POST, so it bears an idempotency key; a fresh one each time, since a replayed answer would name an address that has
    expired.
    """

    def call() -> str:
        headers = {Chargebee.idempotency_header: str(new_id())}
        answer = read_site().Invoice.pdf(checked(invoice_id), {"disposition_type": "attachment"}, headers)
        url = answer.download.raw_data.get("download_url")
        if not isinstance(url, str) or not url:
            raise ValueError("no address in the answer")
        return url

    return run("invoice.pdf", call, has_effect=False)
