"""The room of the API."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Tokens, the change feed and the webhooks that go out."""

    name = "billing_ai.api"
    label = "api"
    verbose_name = "API"

    def ready(self) -> None:
        """Hear of changes to cases and proposals."""
        from billing_ai.api import changes

        changes.listen()
