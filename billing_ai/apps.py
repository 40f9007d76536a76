"""The project as an app, for its management commands and system checks."""

from django.apps import AppConfig
from django.conf import settings

from billing_ai.kernel import clock


class BillingAiConfig(AppConfig):
    """Holds no models."""

    name = "billing_ai"
    label = "billing_ai"
    verbose_name = "Billing AI"

    def ready(self) -> None:
        """Let the clock follow the demo's time machine, where there is one."""
        clock.follow(settings.CLOCK_OFFSET_FILE)
