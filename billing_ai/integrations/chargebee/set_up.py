"""The one change that setting a site up makes: Chargebee is told to send its events to us.

It concerns the installation and no customer, so it is no proposal: a person orders it, and whoever calls this writes that down.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from django.conf import settings

from billing_ai.integrations.chargebee import reads, writes
from billing_ai.integrations.chargebee.events import HANDLED
from billing_ai.integrations.chargebee.setup_check import MOST_ENDPOINTS, missing_events
from billing_ai.integrations.chargebee.shapes import text
from billing_ai.kernel.errors import Terminal
from billing_ai.kernel.ids import effect_key

NAME = "Billing AI"


@dataclass(frozen=True, slots=True)
class Registered:
    """The endpoint at Chargebee that now sends to us. `was_there`: it existed, and was completed or left as it was."""

    endpoint_id: str
    was_there: bool


def send_events_to(url: str, *, order: str) -> Registered:
    """Have every event that something here acts on sent to `url`, under the Basic auth of the settings; `order` makes a repeat the same order.

    An endpoint with that address is switched on and given what it lacks; otherwise one is made. Raises Retryable, Terminal, Unknown.
    """
    password = next((one for one in settings.CHARGEBEE_WEBHOOK_PASSWORD.split(",") if one), "")
    if not (settings.CHARGEBEE_WEBHOOK_USER and password):
        raise Terminal(
            "chargebee.no_webhook_password", "Set CHARGEBEE_WEBHOOK_USER and CHARGEBEE_WEBHOOK_PASSWORD first. Nothing was sent."
        )
    key = effect_key("webhook_endpoint", url, order)
    for endpoint in islice(reads.list_webhook_endpoints(), MOST_ENDPOINTS):
        if text(endpoint, "url").rstrip("/") != url.rstrip("/"):
            continue
        endpoint_id = text(endpoint, "id")
        lacking = missing_events(endpoint)
        if lacking or endpoint.get("disabled") is True:
            known = [name for name in endpoint.get("enabled_events") or [] if isinstance(name, str)] if lacking else []
            events = list(dict.fromkeys([*known, *lacking]))
            writes.update_webhook_endpoint(endpoint_id, idempotency_key=key, enabled_events=events, is_disabled=False)
        return Registered(endpoint_id, was_there=True)
    made = writes.create_webhook_endpoint(
        NAME, url, idempotency_key=key, user=settings.CHARGEBEE_WEBHOOK_USER, password=password, enabled_events=list(HANDLED)
    )
    return Registered(text(made.resource, "id"), was_there=False)
