"""The room of facts."""

from django.apps import AppConfig


class FactsConfig(AppConfig):
    """What we know of Chargebee's objects."""

    name = "billing_ai.facts"
    label = "facts"
    verbose_name = "Facts"
