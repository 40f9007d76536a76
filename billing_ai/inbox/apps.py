"""The room of incoming events."""

from django.apps import AppConfig


class InboxConfig(AppConfig):
    """Chargebee's events."""

    name = "billing_ai.inbox"
    label = "inbox"
    verbose_name = "Events"

    def ready(self) -> None:
        """When a customer is erased, blank why people let parked events of theirs go on or gave them up."""
        from audit.seal import register_eraser
        from billing_ai.inbox import intake

        register_eraser("inbox", intake.erase)
