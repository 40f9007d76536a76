"""Twilio's error codes, and what they mean for us. Source: Twilio's error dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from billing_ai.integrations.http import Answer, retry_after
from billing_ai.integrations.rest import entry
from billing_ai.kernel.errors import Away, OutsideError, Terminal

_REFUSED: Mapping[int, tuple[str, str]] = {
    20003: ("bad_credentials", "The SMS provider does not accept our credentials. Somebody has to set them anew."),
    20404: ("not_found", "The SMS provider has nothing under that id."),
    21211: ("bad_number", "The customer's number is no number that can receive a message."),
    21408: ("region_not_enabled", "Messages to the customer's country are switched off at the SMS provider."),
    21606: ("bad_sender", "The sending number cannot send messages."),
    21608: ("not_verified", "The provider's trial account may only send to verified numbers."),
    21610: ("opted_out", "The customer has told the SMS provider to stop (STOP)."),
    21612: ("no_route", "The provider has no route from our number to the customer's."),
    21614: ("not_mobile", "The customer's number is not a mobile number."),
    21617: ("too_long", "The message is longer than the provider takes."),
    21659: ("bad_sender", "The sending number does not belong to our account."),
    30007: ("filtered", "The message was filtered as unwanted by the provider or the carrier."),
}
_LATER = frozenset({14107, 20429, 30001, 63018})


def twilio_meaning(answer: Answer, content: Any, _has_effect: bool) -> OutsideError | None:
    """The meaning of Twilio's `code`; None lets the HTTP status decide. A 5xx is never read as a refusal."""
    code = entry(content, "code")
    if not isinstance(code, int) or answer.status >= 500:
        return None
    if code in _LATER:
        wait = retry_after(answer.headers, timedelta(seconds=60))
        return Away("sms.rate_limited", "The SMS provider asks us to slow down. Nothing was sent.", after=wait)
    if code in _REFUSED:
        short, sentence = _REFUSED[code]
        return Terminal(f"sms.{short}", f"{sentence} Nothing was sent.")
    return None
