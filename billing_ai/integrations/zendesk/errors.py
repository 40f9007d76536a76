"""Zendesk's error names, and what they mean for us. Source: Zendesk's API reference."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from billing_ai.integrations.http import Answer, retry_after
from billing_ai.integrations.rest import entry
from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal

_REFUSED: Mapping[str, tuple[str, str]] = {
    "RecordInvalid": ("refused", "Zendesk refuses the ticket as it was written."),
    "RecordNotFound": ("not_found", "Zendesk has no ticket under that number."),
    "InvalidEndpoint": ("bad_address", "The address set for Zendesk is not that of its API."),
    "Forbidden": ("forbidden", "Our account may not do this in Zendesk. Its role has to be widened."),
    "IdempotentRequestError": ("key_reused", "This ticket's key was used before with other words. Nothing was done this time."),
    "SubdomainNotFound": ("bad_address", "There is no Zendesk under the address that is set."),
    "SuspendedAccount": ("suspended", "Our Zendesk account is suspended."),
}
_LATER: Mapping[str, timedelta] = {"DatabaseConflict": timedelta(seconds=5), "TooManyRequests": timedelta(seconds=60)}


def zendesk_meaning(answer: Answer, content: Any, _has_effect: bool) -> OutsideError | None:
    """The meaning of Zendesk's `error`; None lets the HTTP status decide. A 5xx is never read as a refusal."""
    name = entry(content, "error")
    if not isinstance(name, str) or answer.status >= 500:
        return None
    if name in _LATER:
        kind = Away if name == "TooManyRequests" else Retryable
        return kind(
            "zendesk.busy", "Zendesk cannot take this right now. Nothing was done.", after=retry_after(answer.headers, _LATER[name])
        )
    if name in _REFUSED:
        short, sentence = _REFUSED[name]
        return Terminal(f"zendesk.{short}", sentence)
    return None
