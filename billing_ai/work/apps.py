"""The room of waiting work."""

from django.apps import AppConfig


class WorkConfig(AppConfig):
    """Leases, claims, ticks and wake-ups."""

    name = "billing_ai.work"
    label = "work"
    verbose_name = "Waiting work"
