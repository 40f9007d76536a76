"""A sender of webhooks, with the right credentials unless told otherwise, and a record of what was woken."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

USER, OLD, NEW = "chargebee", "the-old-password", "the-new-password"


def basic(user: str = USER, password: str = NEW) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def event(event_id: str = "ev_1", event_type: str = "payment_failed", **more: Any) -> dict[str, Any]:
    """A webhook's body as Chargebee sends it, with the kind of detail that must not be kept."""
    return {
        "id": event_id,
        "object": "event",
        "event_type": event_type,
        "api_version": "v2",
        "source": "scheduled_job",
        "occurred_at": 1_760_000_000,
        "content": {
            "customer": {"id": "cus_1", "first_name": "Zsófia", "email": "zsofia@example.com", "resource_version": 1_760_000_000_001},
            "invoice": {"id": "INV-1", "customer_id": "cus_1", "amount_due": 4_900, "resource_version": 1_760_000_000_002},
            "transaction": {"id": "txn_1", "customer_id": "cus_1", "masked_card_number": "************1881"},
        },
        **more,
    }


class Refusing:
    """Middleware that lets nothing through."""

    def __init__(self, get_response: Any) -> None:
        """As Django calls it."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=403)


class Chargebee:
    """Posts to our webhook."""

    def __init__(self) -> None:
        self.client = Client(raise_request_exception=True)

    def post(self, body: Any = None, *, auth: str | None = "", secret: str = "", **environ: Any) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(event() if body is None else body).encode()
        headers = {} if auth is None else {"HTTP_AUTHORIZATION": auth or basic()}
        return self.client.generic(
            "POST", f"/webhooks/chargebee/{secret + '/' if secret else ''}", raw, content_type="application/json", **headers, **environ
        )


@pytest.fixture
def chargebee(settings: Any) -> Chargebee:
    settings.CHARGEBEE_WEBHOOK_USER = USER
    settings.CHARGEBEE_WEBHOOK_PASSWORD = f"{NEW},{OLD}"
    settings.CHARGEBEE_WEBHOOK_SECRET_PATH = ""
    return Chargebee()


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks that were woken, in order."""
    tasks: list[str] = []
    monkeypatch.setattr("billing_ai.inbox.reception.wake", tasks.append)
    return tasks
