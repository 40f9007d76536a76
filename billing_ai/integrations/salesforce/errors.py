"""Salesforce's error codes, and what they mean for us. Source: Salesforce's REST API developer guide."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from billing_ai.integrations.http import Answer
from billing_ai.integrations.rest import entry
from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal

_REFUSED: Mapping[str, tuple[str, str]] = {
    "INVALID_SESSION_ID": ("bad_credentials", "Salesforce does not accept our token. Somebody has to set it anew."),
    "INSUFFICIENT_ACCESS": ("forbidden", "Our user may not do this in Salesforce. Its permissions have to be widened."),
    "INSUFFICIENT_ACCESS_OR_READONLY": ("forbidden", "Our user may not change this record in Salesforce."),
    "INVALID_FIELD": ("no_field", "Salesforce has no field of that name; the fields of our package have to be created first."),
    "INVALID_FIELD_FOR_INSERT_UPDATE": ("no_field", "Salesforce does not let this field be set."),
    "INVALID_TYPE": ("no_object", "Salesforce has no object of that name."),
    "NOT_FOUND": ("not_found", "Salesforce has nothing under that id."),
    "REQUIRED_FIELD_MISSING": ("refused", "Salesforce has no such account, and one cannot be made from a score alone."),
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": ("refused", "A validation rule of this Salesforce refuses the record."),
    "DUPLICATE_VALUE": ("duplicate", "Salesforce has more than one record with that id."),
    "STRING_TOO_LONG": ("too_long", "One of the texts is longer than Salesforce's field."),
    "API_DISABLED_FOR_ORG": ("forbidden", "This Salesforce edition has no API."),
}
_LATER: Mapping[str, timedelta] = {
    "REQUEST_LIMIT_EXCEEDED": timedelta(hours=1),
    "UNABLE_TO_LOCK_ROW": timedelta(seconds=5),
    "SERVER_UNAVAILABLE": timedelta(minutes=1),
}


def salesforce_meaning(answer: Answer, content: Any, _has_effect: bool) -> OutsideError | None:
    """The meaning of Salesforce's first `errorCode`; None lets the HTTP status decide. A 5xx is never read as a refusal."""
    code = entry(content, 0, "errorCode")
    if not isinstance(code, str) or answer.status >= 500:
        return None
    if code in _LATER:
        kind = Retryable if code == "UNABLE_TO_LOCK_ROW" else Away
        return kind("salesforce.busy", "Salesforce cannot take this right now. Nothing was done.", after=_LATER[code])
    if code in _REFUSED:
        short, sentence = _REFUSED[code]
        return Terminal(f"salesforce.{short}", sentence)
    return None


def log_in_meaning(answer: Answer, content: Any, _has_effect: bool) -> OutsideError | None:
    """The meaning of OAuth's `error` (RFC 6749, 5.2) when a token is asked for."""
    code = entry(content, "error")
    if not isinstance(code, str) or answer.status >= 500:
        return None
    return Terminal(
        "salesforce.bad_credentials",
        f"Salesforce gives us no token ({code[:60]}). Look at SALESFORCE_CLIENT_ID and SALESFORCE_CLIENT_SECRET, and at the connected app's run-as user.",
    )


_SHARE_LEFT_TO_OTHERS = 0.1
"""The last tenth of the day's calls is not ours to use up: people and other tools need them."""
_USAGE = re.compile(r"api-usage=(\d+)/(\d+)")


def pause_after(headers: Mapping[str, str]) -> timedelta:
    """How long to leave Salesforce alone, from what it says of the day's calls (`Sforce-Limit-Info: api-usage=18/5000`)."""
    said = _USAGE.search(headers.get("sforce-limit-info", ""))
    if said is None:
        return timedelta(0)
    used, limit = int(said[1]), int(said[2])
    return timedelta(hours=1) if used >= limit * (1 - _SHARE_LEFT_TO_OTHERS) else timedelta(0)


def record_refusal(errors: Any) -> str:
    """The sentence for one refused record of a batch."""
    code = entry(errors, 0, "statusCode")
    known = _REFUSED.get(code) if isinstance(code, str) else None
    return known[1] if known else f"Salesforce refuses the record ({str(code or 'no reason given')[:60]})."
