"""The room of what other systems tell us."""

from django.apps import AppConfig


class SignalsConfig(AppConfig):
    """Usage, tickets, notes and CRM ownership, as told through the API."""

    name = "billing_ai.signals"
    label = "signals"
    verbose_name = "Signals from other systems"
