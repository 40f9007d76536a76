"""The tables of the churn agent."""

from django.apps import AppConfig


class ChurnConfig(AppConfig):
    """Scores, their history, rules of intervention, and what is watched."""

    name = "agents.churn"
    label = "churn"
    verbose_name = "Churn and health"
