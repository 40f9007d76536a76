"""How Zendesk is called: Basic auth with an API token, JSON both ways."""

from __future__ import annotations

import re

from django.conf import settings

from billing_ai.integrations.rest import RestVendor, basic_auth
from billing_ai.integrations.zendesk.errors import zendesk_meaning
from billing_ai.kernel.errors import Terminal


def zendesk() -> RestVendor:
    """The configured help desk. Raises Terminal when none is set."""
    if not (settings.ZENDESK_URL and settings.ZENDESK_TOKEN):
        raise Terminal("zendesk.not_set_up", "No help desk is set up.")
    return RestVendor(
        vendor="zendesk",
        label="Zendesk",
        base_url=f"{settings.ZENDESK_URL.rstrip('/')}/api/v2",
        headers={"Authorization": basic_auth(settings.ZENDESK_USER, settings.ZENDESK_TOKEN), "Accept": "application/json"},
        refine=zendesk_meaning,
    )


def customer_tag(customer_id: str) -> str:
    """The tag that every ticket of ours about a customer bears. Zendesk's tags hold no spaces and no capitals."""
    return "billing_customer_" + re.sub(r"[^a-z0-9_-]", "_", customer_id.lower())
