"""The tables of the churn agent."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ChurnConfig(AppConfig):
    """Scores, their history, rules of intervention, and what is watched."""

    name = "agents.churn"
    label = "churn"
    verbose_name = "Churn and health"

    def ready(self) -> None:
        """The shipped rules are there as soon as the tables are."""
        post_migrate.connect(_install, sender=self, dispatch_uid="churn.rules")


def _install(using: str = "default", **_: Any) -> None:
    if using == "default":
        from agents.churn.interventions import install_default_rules

        install_default_rules()
