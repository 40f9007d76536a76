"""SmsPort over Twilio's REST API."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from django.conf import settings

from billing_ai.integrations.ports import Absent, Found, LookUp, OutgoingSms, SentReceipt
from billing_ai.integrations.rest import entry
from billing_ai.integrations.sms.client import twilio
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal

LONGEST_BODY = 1600
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_NEVER_SENT = frozenset({"failed", "canceled"})
_CLOCK_TOLERANCE = timedelta(minutes=2)


class TwilioSms:
    """Twilio keeps no idempotency keys for messages, so `look_up` compares number, words and time."""

    def send(self, sms: OutgoingSms, *, key: str) -> SentReceipt:
        """Hand over one message; `reference` is Twilio's sid. Raises Retryable, Terminal, Unknown."""
        _check(sms)
        vendor = twilio()
        reply = vendor.call(
            "POST",
            "/Messages.json",
            has_effect=True,
            form={"To": sms.to_number, "From": settings.SMS_FROM, "Body": sms.body},
            headers={"Idempotency-Key": key, "I-Twilio-Idempotency-Token": key},
        )
        sid = entry(reply.content, "sid")
        if not isinstance(sid, str) or not sid:
            raise vendor.unreadable(has_effect=True)
        if entry(reply.content, "status") in _NEVER_SENT:
            raise Terminal("sms.failed", "The SMS provider took the message and failed to send it.")
        return SentReceipt(reference=sid, accepted_at=clock.now())

    def look_up(self, key: str, *, sms: OutgoingSms, sent_after: datetime) -> LookUp:
        """Found when a message with these words went to this number since `sent_after`. Raises Retryable or Terminal."""
        path: str | None = "/Messages.json"
        params: dict[str, Any] | None = {
            "To": sms.to_number,
            "DateSent>": sent_after.astimezone(UTC).date().isoformat(),
            "PageSize": 100,
        }
        vendor = twilio()
        while path:
            reply = vendor.call("GET", path, has_effect=False, params=params)
            messages = entry(reply.content, "messages")
            if not isinstance(messages, list):
                raise vendor.unreadable(has_effect=False)
            for message in messages:
                if _is_it(message, sms, sent_after):
                    return Found(SentReceipt(reference=str(entry(message, "sid")), accepted_at=_at(message) or clock.now(), replayed=True))
            path, params = _next_page(entry(reply.content, "next_page_uri")), None
        return Absent()


def _check(sms: OutgoingSms) -> None:
    if not _E164.fullmatch(sms.to_number):
        raise Terminal("sms.bad_number", "The customer's number is not in international form. Nothing was sent.")
    if not sms.body.strip():
        raise Terminal("sms.empty", "The message is empty. Nothing was sent.")
    if len(sms.body) > LONGEST_BODY:
        raise Terminal("sms.too_long", f"The message has {len(sms.body)} characters; the provider takes {LONGEST_BODY}. Nothing was sent.")


def _is_it(message: Any, sms: OutgoingSms, sent_after: datetime) -> bool:
    if (
        not isinstance(entry(message, "sid"), str)
        or entry(message, "body") != sms.body
        or entry(message, "to") != sms.to_number
        or entry(message, "status") in _NEVER_SENT
    ):
        return False
    at = _at(message)
    return at is None or at >= sent_after - _CLOCK_TOLERANCE


def _at(message: Any) -> datetime | None:
    for name in ("date_created", "date_sent"):
        text = entry(message, name)
        if isinstance(text, str) and text:
            try:
                moment = parsedate_to_datetime(text)
            except ValueError:
                continue
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _next_page(uri: Any) -> str | None:
    """Twilio names the next page by its whole path; only the part after the account is ours to call."""
    if not isinstance(uri, str) or "/Messages.json" not in uri:
        return None
    return "/Messages.json" + uri.partition("/Messages.json")[2]
