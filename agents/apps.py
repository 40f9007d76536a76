"""The room of agents."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Runs, model calls and releases."""

    name = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        """Listen for rejections that ask for another draft."""
        from agents import runs  # noqa: F401
