"""The room of agents."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    """Runs, model calls and releases."""

    name = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        """Listen for rejections that ask for another draft; blank what was asked for when the customer is erased or its time is over."""
        from agents import runs
        from approvals.retention import register_dropper
        from audit.seal import register_eraser

        register_eraser("agents", runs.erase)
        register_dropper("agents", runs.drop_instructions)
