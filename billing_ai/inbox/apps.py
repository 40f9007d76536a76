"""The room of incoming events."""

from django.apps import AppConfig


class InboxConfig(AppConfig):
    """Chargebee's events."""

    name = "billing_ai.inbox"
    label = "inbox"
    verbose_name = "Events"
