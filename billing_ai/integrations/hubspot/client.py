"""How HubSpot is called: a private app's bearer token, JSON both ways."""

from __future__ import annotations

from django.conf import settings

from billing_ai.integrations.hubspot.errors import hubspot_meaning
from billing_ai.integrations.rest import RestVendor
from billing_ai.kernel.errors import Terminal

COMPANY_KEY_PROPERTY = "chargebee_customer_id"
"""Unique property on company: Chargebee's customer id."""
TASK_KEY_PROPERTY = "billing_effect_key"
"""Unique property on task: the key of the effect that made it."""
TASK_TO_COMPANY = 192
"""HubSpot's number for the association from a task to its company."""


def hubspot() -> RestVendor:
    """The configured portal. Raises Terminal when none is set."""
    if not (settings.HUBSPOT_URL and settings.HUBSPOT_TOKEN):
        raise Terminal("hubspot.not_set_up", "No HubSpot is set up.")
    return RestVendor(
        vendor="hubspot",
        label="HubSpot",
        base_url=f"{settings.HUBSPOT_URL.rstrip('/')}/crm/v3/objects",
        headers={"Authorization": f"Bearer {settings.HUBSPOT_TOKEN}", "Accept": "application/json"},
        refine=hubspot_meaning,
    )
