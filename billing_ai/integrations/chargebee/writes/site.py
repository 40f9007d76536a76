"""The site itself: where it sends its events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from billing_ai.integrations.chargebee.shapes import Raw
from billing_ai.integrations.chargebee.writes.making import Written, as_sent, checked, write, write_site


def create_webhook_endpoint(
    name: str, url: str, *, idempotency_key: str, user: str, password: str, enabled_events: Sequence[str]
) -> Written[Raw]:
    """Register where Chargebee sends its events, with Basic auth, in the form of Product Catalog 2.0."""
    params = {
        "name": name,
        "url": url,
        "api_version": "v2",
        "chargebee_response_schema_type": "items",
        "basic_auth_username": user,
        "basic_auth_password": password,
        "send_card_resource": False,
        "enabled_events": list(enabled_events),
    }
    return write(
        "webhook_endpoint.create",
        "webhook_endpoint",
        as_sent,
        lambda headers: write_site().WebhookEndpoint.create(params, headers),
        idempotency_key,
    )


def update_webhook_endpoint(
    endpoint_id: str, *, idempotency_key: str, enabled_events: Sequence[str] = (), is_disabled: bool | None = None
) -> Written[Raw]:
    """Change which events an endpoint receives, or switch it on or off."""
    params: dict[str, Any] = {}
    if enabled_events:
        params["enabled_events"] = list(enabled_events)
    if is_disabled is not None:
        params["disabled"] = is_disabled
    return write(
        "webhook_endpoint.update",
        "webhook_endpoint",
        as_sent,
        lambda headers: write_site().WebhookEndpoint.update(checked(endpoint_id), params, headers),
        idempotency_key,
    )


def delete_webhook_endpoint(endpoint_id: str, *, idempotency_key: str) -> Written[Raw]:
    """Take a webhook endpoint away."""
    return write(
        "webhook_endpoint.delete",
        "webhook_endpoint",
        as_sent,
        lambda headers: write_site().WebhookEndpoint.delete(checked(endpoint_id), headers),
        idempotency_key,
    )
