"""HubSpot's error categories, and what they mean for us. Source: HubSpot's API reference."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from billing_ai.integrations.http import Answer, retry_after
from billing_ai.integrations.rest import entry
from billing_ai.kernel.errors import Away, OutsideError, Terminal

_REFUSED: Mapping[str, tuple[str, str]] = {
    "VALIDATION_ERROR": ("refused", "HubSpot refuses the record as it was written."),
    "OBJECT_NOT_FOUND": ("not_found", "HubSpot has nothing under that id."),
    "CONFLICT": ("already_there", "HubSpot has a record with that key already."),
    "INVALID_AUTHENTICATION": ("bad_credentials", "HubSpot does not accept our token. Somebody has to set it anew."),
    "EXPIRED_AUTHENTICATION": ("bad_credentials", "Our HubSpot token has expired. Somebody has to set it anew."),
    "MISSING_SCOPES": ("forbidden", "Our HubSpot app lacks a scope for this. It has to be added in HubSpot."),
    "PROPERTY_DOESNT_EXIST": ("no_field", "HubSpot has no property of that name; it has to be created first."),
}

_SHARE_LEFT_TO_OTHERS = 0.1
"""The last tenth of the day's calls is not ours to use up: people and other tools need them."""


def hubspot_meaning(answer: Answer, content: Any, _has_effect: bool) -> OutsideError | None:
    """The meaning of HubSpot's `category`; None lets the HTTP status decide. A 5xx is never read as a refusal."""
    category = entry(content, "category")
    if not isinstance(category, str) or answer.status >= 500:
        return None
    if category == "RATE_LIMITS":
        is_daily = entry(content, "policyName") == "DAILY"
        wait = retry_after(answer.headers, timedelta(hours=1) if is_daily else timedelta(seconds=10))
        return Away("hubspot.rate_limited", "HubSpot asks us to slow down. Nothing was done.", after=wait)
    if category in _REFUSED:
        short, sentence = _REFUSED[category]
        return Terminal(f"hubspot.{short}", sentence)
    return None


def pause_after(headers: Mapping[str, str]) -> timedelta:
    """How long to leave HubSpot alone, from what it says of its windows: ten seconds and a day."""
    daily, left = _figure(headers, "x-hubspot-ratelimit-daily-remaining"), _figure(headers, "x-hubspot-ratelimit-remaining")
    limit = _figure(headers, "x-hubspot-ratelimit-daily")
    if daily is not None and (daily <= 0 or (limit is not None and daily < limit * _SHARE_LEFT_TO_OTHERS)):
        return timedelta(hours=1)
    if left is not None and left <= 1:
        return timedelta(milliseconds=_figure(headers, "x-hubspot-ratelimit-interval-milliseconds") or 10_000)
    return timedelta(0)


def _figure(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if value.isdecimal() else None
