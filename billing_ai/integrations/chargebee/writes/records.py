"""Notes, pages for the customer, and the customer record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from billing_ai.integrations.chargebee.payment_resources import Comment, HostedPage
from billing_ai.integrations.chargebee.resources import Customer
from billing_ai.integrations.chargebee.writes.making import LONGEST_NOTE, Written, checked, not_longer, write, write_site
from billing_ai.kernel.errors import Terminal


def create_comment(entity_type: str, entity_id: str, notes: str, *, idempotency_key: str, added_by: str = "") -> Written[Comment]:
    """An internal note on a record (`invoice`, `customer`, `subscription`, `transaction`, `credit_note` …), at most 1000 characters."""
    not_longer(notes, LONGEST_NOTE, "note")
    params = {
        "entity_type": entity_type,
        "entity_id": checked(entity_id),
        "notes": notes,
        **({"added_by": added_by} if added_by else {}),
    }
    return write(
        "comment.create", "comment", Comment.from_raw, lambda headers: write_site().Comment.create(params, headers), idempotency_key
    )


def create_collect_now_page(customer_id: str, *, idempotency_key: str, currency: str = "", redirect_url: str = "") -> Written[HostedPage]:
    """A page on which the customer pays all that is due."""
    params: dict[str, Any] = {"customer": {"id": checked(customer_id)}}
    if currency:
        params["currency_code"] = currency
    return _page("collect_now", params, redirect_url, idempotency_key)


def create_manage_payment_sources_page(customer_id: str, *, idempotency_key: str, redirect_url: str = "") -> Written[HostedPage]:
    """A page on which the customer adds, changes and removes payment sources."""
    return _page("manage_payment_sources", {"customer": {"id": checked(customer_id)}}, redirect_url, idempotency_key)


def create_update_payment_method_page(customer_id: str, *, idempotency_key: str, redirect_url: str = "") -> Written[HostedPage]:
    """A page on which the customer puts in a new payment method."""
    return _page("update_payment_method", {"customer": {"id": checked(customer_id)}}, redirect_url, idempotency_key)


def update_customer(
    customer_id: str,
    *,
    idempotency_key: str,
    meta_data: Mapping[str, Any] | None = None,
    auto_collection: str = "",
    locale: str = "",
    custom_fields: Mapping[str, str | int | bool] | None = None,
) -> Written[Customer]:
    """Set a customer's meta data (replaced as a whole), collection, language or the site's own `cf_…` fields."""
    params: dict[str, Any] = {}
    if meta_data is not None:
        # The SDK sends a dict here as Python writes it; Chargebee wants JSON.
        params["meta_data"] = json.dumps(dict(meta_data), sort_keys=True, separators=(",", ":"))
    if auto_collection:
        params["auto_collection"] = auto_collection
    if locale:
        params["locale"] = locale
    for name, value in (custom_fields or {}).items():
        if not name.startswith("cf_"):
            raise Terminal("chargebee.no_custom_field", f"“{name[:40]}” is no custom field of the site; their names begin with cf_.")
        params[name] = value
    return write(
        "customer.update",
        "customer",
        Customer.from_raw,
        lambda headers: write_site().Customer.update(checked(customer_id), params, headers),
        idempotency_key,
    )


def _page(verb: str, params: dict[str, Any], redirect_url: str, idempotency_key: str) -> Written[HostedPage]:
    # A page that nobody was told of does nothing, so a lost answer is no question for a person: it is simply made again.
    if redirect_url:
        params = {**params, "redirect_url": redirect_url}
    return write(
        f"hosted_page.{verb}",
        "hosted_page",
        HostedPage.from_raw,
        lambda headers: getattr(write_site().HostedPage, verb)(params, headers),
        idempotency_key,
        has_effect=False,
    )
