"""Is the site set up so that this product can work with it? Asked at start-up, by the console and by `manage.py exercise_gateway`.

Nothing is changed: where an endpoint is missing, the finding says so, and a lead may have it created on the console's page (`set_up`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from itertools import islice
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from billing_ai.integrations import http
from billing_ai.integrations.chargebee import circuit, client, reads
from billing_ai.integrations.chargebee.events import HANDLED
from billing_ai.integrations.chargebee.shapes import Raw, text
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError

logger = logging.getLogger(__name__)
LARGEST_SKEW = timedelta(seconds=90)
MOST_ENDPOINTS = 100
"""A site has a handful of webhook endpoints; more are not looked at."""


class Level(Enum):
    """How bad a finding is: fine, worth a look, or in the way."""

    FINE = "fine"
    WARNING = "warning"
    BLOCKING = "blocking"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `code` is stable, `sentence` is for the person who sets the site up."""

    code: str
    level: Level
    sentence: str


def check_site(*, webhook_url: str = "") -> list[Finding]:
    """Look at the site through the key that may read. Never raises: whatever goes wrong is a finding.

    `webhook_url` is where events should arrive; empty looks only whether any endpoint has the events that we need.
    """
    findings = list(_reachable())
    if findings[0].level is Level.BLOCKING:
        return findings
    findings.extend(_scopes())
    findings.extend(_catalog())
    findings.extend(_webhooks(webhook_url))
    findings.append(_keys())
    return findings


def missing_events(endpoint: Raw) -> tuple[str, ...]:
    """The events that something here acts on and that an endpoint does not receive. An endpoint without a list receives all."""
    enabled = endpoint.get("enabled_events")
    if not isinstance(enabled, list) or not enabled or "all_events" in enabled:
        return ()
    return tuple(name for name in HANDLED if name not in enabled)


def worst_of(findings: Iterable[Finding]) -> Level:
    """The level of the worst finding."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.BLOCKING, Level.WARNING) if level in levels), Level.FINE)


def log_findings(findings: Sequence[Finding]) -> str:
    """Log what is not fine, and give the whole in a sentence."""
    worse = [finding for finding in findings if finding.level is not Level.FINE]
    for finding in worse:
        level = logging.ERROR if finding.level is Level.BLOCKING else logging.WARNING
        logger.log(level, "chargebee.set_up", extra={"code": finding.code, "sentence": finding.sentence})
    if not worse:
        return "the site is set up"
    first = next((finding for finding in worse if finding.level is Level.BLOCKING), worse[0])
    more = f" (and {len(worse) - 1} more)" if len(worse) > 1 else ""
    return f"{first.level.value}: {first.sentence[:150]}{more}"


def without_secret(url: str) -> str:
    """The webhook's address as it may be shown: its secret last segment is left out."""
    secret = settings.CHARGEBEE_WEBHOOK_SECRET_PATH
    return url.replace(f"/{secret}/", "/…/") if secret else url


def _reachable() -> Iterator[Finding]:
    state = circuit.state()
    if state.is_open:
        yield Finding("site.down", Level.BLOCKING, state.sentence)
        return
    try:
        endpoint = client.read_site().env.api_endpoint
    except OutsideError as error:
        yield Finding(error.code, Level.BLOCKING, error.sentence)
        return
    # The machine's own clock: the one that the demo moves is no clock that could be wrong.
    asked_at = time.time()
    try:
        answer = client.configurations()
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        meaning = http.transport_error(error, vendor="chargebee", label="Chargebee", has_effect=False)
        yield Finding("site.unreachable", Level.BLOCKING, f"The site at {urlsplit(endpoint).netloc} cannot be reached. {meaning.sentence}")
        return
    if answer.status == 401:
        yield Finding("key.refused", Level.BLOCKING, "Chargebee does not accept the API key: check CHARGEBEE_API_KEY and CHARGEBEE_SITE.")
        return
    yield Finding("site.reachable", Level.FINE, f"The site at {urlsplit(endpoint).netloc} answers.")
    yield _skew(answer.headers.get("date", ""), asked_at)


def _skew(date_header: str, asked_at: float) -> Finding:
    try:
        theirs = parsedate_to_datetime(date_header).timestamp()
    except (ValueError, TypeError):
        return Finding("clock.unknown", Level.WARNING, "The site does not say what time it has, so the clocks could not be compared.")
    took = time.time() - asked_at
    skew = timedelta(seconds=abs(theirs - asked_at - took / 2))
    if skew > LARGEST_SKEW:
        return Finding(
            "clock.skewed",
            Level.WARNING,
            f"This machine's clock differs from Chargebee's by {int(skew.total_seconds())} s; set it by NTP, or retry times and promises will be off.",
        )
    return Finding("clock.right", Level.FINE, "The clocks agree.")


def _scopes() -> Iterator[Finding]:
    """The reads that every run needs, one call each."""
    probes: dict[str, Callable[[], object]] = {
        "customers": lambda: next(reads.list_customers(), None),
        "subscriptions": lambda: next(reads.list_subscriptions(), None),
        "invoices": lambda: next(reads.list_invoices(), None),
        "transactions": lambda: next(reads.list_transactions(), None),
        "events": lambda: next(reads.list_events(occurred_after=clock.now() - timedelta(days=1)), None),
    }
    refused = []
    for name, probe in probes.items():
        try:
            probe()
        except OutsideError as error:
            refused.append(name)
            yield Finding(f"scope.{name}", Level.BLOCKING, f"The key cannot read {name}: {error.sentence}")
    if not refused:
        yield Finding("scope.read", Level.FINE, "The key reads customers, subscriptions, invoices, transactions and events.")


def _catalog() -> Iterator[Finding]:
    try:
        domains = reads.site_configuration()
    except OutsideError as error:
        yield Finding("catalog.unknown", Level.WARNING, f"Which Product Catalog the site is on could not be asked: {error.sentence}")
        return
    versions = {text(domain, "product_catalog_version") for domain in domains} - {""}
    if versions == {"v2"}:
        yield Finding("catalog.v2", Level.FINE, "The site is on Product Catalog 2.0.")
    elif versions:
        yield Finding(
            "catalog.v1",
            Level.BLOCKING,
            "The site is on Product Catalog 1.0 (plans and add-ons). This product needs 2.0 (items and item prices); Chargebee migrates sites on request.",
        )
    else:
        yield Finding("catalog.unknown", Level.WARNING, "The site does not say which Product Catalog it is on.")


def _webhooks(webhook_url: str) -> Iterator[Finding]:
    try:
        endpoints = [one for one in islice(reads.list_webhook_endpoints(), MOST_ENDPOINTS) if one.get("disabled") is not True]
    except OutsideError as error:
        yield Finding("webhook.unknown", Level.WARNING, f"The registered webhooks could not be listed: {error.sentence}")
        return
    if webhook_url:
        wanted = webhook_url.rstrip("/")
        endpoints = [endpoint for endpoint in endpoints if text(endpoint, "url").rstrip("/") == wanted]
    if not endpoints:
        where = f" that points to {without_secret(webhook_url)}" if webhook_url else ""
        yield Finding(
            "webhook.missing", Level.BLOCKING, f"No active webhook{where} is registered; without one nothing is noticed. It can be created."
        )
        return
    missing = min((missing_events(endpoint) for endpoint in endpoints), key=len)
    if missing:
        yield Finding("webhook.events", Level.WARNING, f"The webhook does not receive: {', '.join(missing)}. Add them to it.")
    elif any(text(endpoint, "api_version") == "v1" for endpoint in endpoints):
        yield Finding(
            "webhook.version", Level.WARNING, "The webhook sends events in the old form (v1). They are understood, but set it to v2."
        )
    else:
        yield Finding("webhook.registered", Level.FINE, "A webhook is registered and receives every event that is needed.")


def _keys() -> Finding:
    if settings.CHARGEBEE_API_KEY and settings.CHARGEBEE_READ_API_KEY == settings.CHARGEBEE_API_KEY:
        return Finding(
            "keys.shared",
            Level.WARNING,
            "One key serves both reading and execution. Set CHARGEBEE_READ_API_KEY to a read-only key, so that the agents hold none that can write.",
        )
    return Finding("keys.separate", Level.FINE, "Reading and execution use different keys.")
