"""The site itself: which catalogue it is on, and where it sends its events."""

from __future__ import annotations

from collections.abc import Iterator

from billing_ai.integrations.chargebee.call import run
from billing_ai.integrations.chargebee.client import read_site
from billing_ai.integrations.chargebee.reads.asking import as_sent, many
from billing_ai.integrations.chargebee.shapes import Raw


def site_configuration() -> tuple[Raw, ...]:
    """The site's domains and which Product Catalog each is on."""
    return run(
        "configuration.list",
        lambda: tuple(entry.raw_data for entry in read_site().Configuration.list().configurations),
        has_effect=False,
    )


def list_webhook_endpoints() -> Iterator[Raw]:
    """The webhook endpoints that are registered at the site."""
    return many("webhook_endpoint", lambda page: read_site().WebhookEndpoint.list(page), {}, as_sent)
