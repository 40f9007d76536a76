"""How Twilio is called: Basic auth, forms in, JSON out."""

from __future__ import annotations

from django.conf import settings

from billing_ai.integrations.rest import RestVendor, basic_auth
from billing_ai.integrations.sms.errors import twilio_meaning
from billing_ai.kernel.errors import Terminal


def twilio() -> RestVendor:
    """The configured account. Raises Terminal when no SMS provider is set."""
    if not (settings.SMS_API_URL and settings.SMS_ACCOUNT and settings.SMS_FROM):
        raise Terminal("sms.not_set_up", "No SMS provider is set up.")
    return RestVendor(
        vendor="sms",
        label="The SMS provider",
        base_url=f"{settings.SMS_API_URL.rstrip('/')}/2010-04-01/Accounts/{settings.SMS_ACCOUNT}",
        headers={"Authorization": basic_auth(settings.SMS_ACCOUNT, settings.SMS_TOKEN), "Accept": "application/json"},
        refine=twilio_meaning,
    )
