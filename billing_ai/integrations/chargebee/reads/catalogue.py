"""What is sold, and what a subscription grants and uses, as Chargebee sends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from billing_ai.integrations.chargebee.client import read_site
from billing_ai.integrations.chargebee.reads.asking import as_sent, checked, in_, is_, many, one, since
from billing_ai.integrations.chargebee.shapes import Raw
from billing_ai.kernel import clock


def retrieve_coupon(coupon_id: str) -> Raw:
    """A coupon, as Chargebee sends it."""
    return one("coupon.retrieve", "coupon", lambda: read_site().Coupon.retrieve(checked(coupon_id)), as_sent)


def retrieve_item_price(item_price_id: str) -> Raw:
    """An item price, as Chargebee sends it."""
    return one("item_price.retrieve", "item_price", lambda: read_site().ItemPrice.retrieve(checked(item_price_id)), as_sent)


def list_usages(*, subscription_id: str, used_after: datetime | None = None, used_before: datetime | None = None) -> Iterator[Raw]:
    """Recorded usage of a subscription, newest first, as Chargebee sends it; `quantity` is a decimal text."""
    span: dict[str, Any] = {}
    if used_after and used_before:
        span = {"usage_date": {"between": [clock.to_seconds(used_after), clock.to_seconds(used_before)]}}
    elif used_after:
        span = since("usage_date", used_after)
    elif used_before:
        span = {"usage_date": {"before": clock.to_seconds(used_before)}}
    params = {**is_("subscription_id", checked(subscription_id)), **span, "sort_by": {"desc": "usage_date"}}
    return many("usage", lambda page: read_site().Usage.list(page), params, as_sent)


def list_items(*, type_in: Sequence[str] = (), status: str = "active") -> Iterator[Raw]:
    """The catalogue's items (`plan`, `addon`, `charge`), as Chargebee sends them."""
    params = {**in_("type", type_in), **is_("status", status)}
    return many("item", lambda page: read_site().Item.list(page), params, as_sent)


def list_item_prices(*, item_id: str = "", item_type_in: Sequence[str] = (), currency: str = "", status: str = "active") -> Iterator[Raw]:
    """The catalogue's prices, as Chargebee sends them."""
    params = {**is_("item_id", item_id), **in_("item_type", item_type_in), **is_("currency_code", currency), **is_("status", status)}
    return many("item_price", lambda page: read_site().ItemPrice.list(page), params, as_sent)


def list_features(*, status: str = "active") -> Iterator[Raw]:
    """Features that plans may grant, as Chargebee sends them."""
    return many("feature", lambda page: read_site().Feature.list(page), is_("status", status), as_sent)


def list_coupons(*, status: str = "active") -> Iterator[Raw]:
    """Coupons, as Chargebee sends them."""
    return many("coupon", lambda page: read_site().Coupon.list(page), is_("status", status), as_sent)


def subscription_entitlements(subscription_id: str) -> Iterator[Raw]:
    """What a subscription grants, feature by feature, as Chargebee sends it."""
    named = checked(subscription_id)
    return many(
        "subscription_entitlement",
        lambda page: read_site().SubscriptionEntitlement.subscription_entitlements_for_subscription(named, page),
        {},
        as_sent,
        verb="subscription_entitlements_for_subscription",
    )


def contract_terms(subscription_id: str) -> Iterator[Raw]:
    """A subscription's contract terms, as Chargebee sends them."""
    named = checked(subscription_id)
    return many(
        "contract_term",
        lambda page: read_site().Subscription.contract_terms_for_subscription(named, page),
        {},
        as_sent,
        verb="contract_terms_for_subscription",
    )


def list_ramps(*, subscription_ids: Sequence[str]) -> Iterator[Raw]:
    """Planned changes of subscriptions, as Chargebee sends them. Raises Terminal without a subscription: Chargebee takes the call for some only."""
    for subscription_id in subscription_ids or ("",):
        checked(subscription_id)
    return many("ramp", lambda page: read_site().Ramp.list(page), in_("subscription_id", subscription_ids), as_sent)
