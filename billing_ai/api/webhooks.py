"""Webhooks out: a change is told to each endpoint that wants it, signed, again and again with longer pauses until it is taken or parked.

Rows are the truth: a delivery waits, is leased, ends done or parked. What is told are ids and derived values, never a name or a word.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import logging
import secrets
import socket
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.db import transaction
from django.db.models import F

from audit import ledger, seal
from audit.actor import Actor
from billing_ai.api import reach
from billing_ai.api.models import ApiClient, Change, WebhookDelivery, WebhookEndpoint
from billing_ai.kernel import clock, ids
from billing_ai.work import claims
from billing_ai.work.models import Lane, Leased
from billing_ai.work.wake import wake

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=2)
ATTEMPTS = 12
"""With `pause`, about two days."""
SECRET_OVERLAP = timedelta(hours=24)
MOST_REPLAYED = 1000


class BadAddress(ValueError):
    """We do not call this address. The message says why."""


def pause(attempt: int) -> timedelta:
    """How long to wait after a failed attempt: 5 s, 20 s, 80 s … at most eight hours."""
    return timedelta(seconds=min(8 * 3600, 5 * 4 ** max(0, attempt - 1)))


def check_url(url: str) -> None:
    """Raises BadAddress for what is not https to a public host. Hosts of the own network are allowed only where the settings say so."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadAddress("This is no address.") from error
    private = settings.WEBHOOKS_TO_PRIVATE_HOSTS
    if parts.scheme not in (("https", "http") if private else ("https",)) or not host or not host.isascii() or port == 0:
        raise BadAddress("Give an address that begins with https:// and names a host.")
    if parts.username or parts.password or parts.fragment or any(ord(sign) <= 32 or ord(sign) > 126 for sign in url):
        raise BadAddress("The address may hold no credentials, no fragment, and nothing but printable ASCII.")
    if not private and (host == "localhost" or host.endswith((".local", ".internal", ".localhost"))):
        raise BadAddress("This host is not a public one.")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return
    if not private and not literal.is_global:
        raise BadAddress("This host is not a public one.")


def new_secret() -> str:
    """A signing secret, shown once."""
    return "whsec_" + secrets.token_urlsafe(32)


def make_endpoint(client: ApiClient, url: str, kinds: Iterable[str], actor: Actor) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which nobody can read again. Raises BadAddress."""
    check_url(url)
    secret = new_secret()
    endpoint = WebhookEndpoint(client=client, url=url, kinds=sorted(set(kinds)))
    with transaction.atomic():
        endpoint.sealed_secret = seal.seal(endpoint.key_name, secret)
        endpoint.save()
        _note("api.webhook_made", endpoint, actor, {"kinds": endpoint.kinds})
    return endpoint, secret


def rotate_secret(endpoint: WebhookEndpoint, actor: Actor) -> str:
    """A new secret; for 24 hours the old one signs as well."""
    secret = new_secret()
    with transaction.atomic():
        endpoint.sealed_previous_secret, endpoint.previous_secret_until = bytes(endpoint.sealed_secret), clock.now() + SECRET_OVERLAP
        endpoint.sealed_secret = seal.seal(endpoint.key_name, secret)
        endpoint.save()
        _note("api.webhook_secret_rotated", endpoint, actor, {})
    return secret


def stop_endpoint(endpoint: WebhookEndpoint, actor: Actor, reason: str, user: User | None = None) -> None:
    """It is not called any more; what waits for it is dropped."""
    with transaction.atomic():
        endpoint.is_active, endpoint.stopped_reason = False, reason[:200]
        endpoint._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
        endpoint.save()
        WebhookDelivery.objects.filter(endpoint=endpoint, status__in=(Leased.WAITING, Leased.PARKED)).update(
            status="dropped", reason=reason
        )
        _note("api.webhook_stopped", endpoint, actor, {"reason": reason})


def fan_out(changes: list[Change]) -> None:
    """A delivery for each change and each endpoint that wants it and may know of it."""
    endpoints = list(WebhookEndpoint.objects.filter(is_active=True, client__is_active=True).select_related("client"))
    if not endpoints:
        return
    within: dict[int, set[str]] = {}
    for client in {endpoint.client_id: endpoint.client for endpoint in endpoints}.values():
        customer_ids = {change.chargebee_customer_id for change in changes}
        within[client.pk] = set(reach.customers(client).filter(pk__in=customer_ids).values_list("pk", flat=True))
    made = []
    for endpoint in endpoints:
        for change in changes:
            if change.only_for_id is not None:
                wanted = change.only_for_id == endpoint.client_id and change.subject_id == str(endpoint.pk)
            else:
                wanted = change.kind in endpoint.kinds and change.chargebee_customer_id in within[endpoint.client_id]
            if wanted:
                made.append(WebhookDelivery(endpoint=endpoint, change=change, max_attempts=ATTEMPTS, lane=Lane.NEWS))
    WebhookDelivery.objects.bulk_create(made, ignore_conflicts=True)


def replay(endpoint: WebhookEndpoint, actor: Actor, *, delivery_id: Any = None, since: datetime | None = None) -> int:
    """Send again: one delivery, or all since a moment (at most 1,000, oldest first). Gives how many wait now."""
    rows = WebhookDelivery.objects.filter(endpoint=endpoint).exclude(status=Leased.LEASED)
    rows = rows.filter(pk=delivery_id) if delivery_id is not None else rows.filter(change__happened_at__gte=since)
    with transaction.atomic():
        chosen = list(rows.order_by("made_at", "pk").values_list("pk", flat=True)[:MOST_REPLAYED])
        count = (
            WebhookDelivery.objects.filter(pk__in=chosen)
            .exclude(status=Leased.LEASED)
            .update(
                status=Leased.WAITING,
                not_before=clock.now(),
                max_attempts=F("attempt") + ATTEMPTS,
                replays=F("replays") + 1,
                reason="replayed",
            )
        )
        if count:
            _note("api.webhook_replayed", endpoint, actor, {"count": count})
            wake("api.deliver")
    return count


def deliver_due(limit: int = 20) -> int:
    """Send up to `limit` that are due. Gives how many were claimed."""
    rows = claims.claim(WebhookDelivery, limit, LEASE, of=lambda rows: rows.select_related("endpoint__client", "change"))
    silent: set[Any] = set()
    for row in rows:
        if row.endpoint_id in silent:
            _spare(row)
        elif not deliver(row):
            silent.add(row.endpoint_id)
            _hold_back(row)
    return len(rows)


def _spare(row: WebhookDelivery) -> None:
    """Not tried, and not counted as an attempt: its endpoint failed a moment ago, and others wait for their turn."""
    WebhookDelivery.objects.filter(pk=row.pk).update(max_attempts=F("max_attempts") + 1)
    row.max_attempts += 1
    claims.put_back(row, pause(row.attempt), "its endpoint failed a moment ago")


def _hold_back(failed: WebhookDelivery) -> None:
    """What else is due at an endpoint that failed waits as long as the failed one, so that one dead endpoint does not hold up the living."""
    until = claims.db_now() + pause(failed.attempt)
    due = WebhookDelivery.objects.filter(endpoint_id=failed.endpoint_id, status=Leased.WAITING, not_before__lt=until)
    due.update(not_before=until)


def deliver(row: WebhookDelivery) -> bool:
    """One claimed delivery: done on any 2xx, stopped on 410, otherwise tried again later. False when the endpoint failed."""
    endpoint = row.endpoint
    if not endpoint.is_active or not endpoint.client.is_active:
        claims.complete(row, "dropped", "its endpoint is not called any more")
        return True
    if row.change.only_for_id is None and not reach.customers(endpoint.client).filter(pk=row.change.chargebee_customer_id).exists():
        claims.complete(row, "dropped", "the customer is not in reach of this client any more")
        return True
    try:
        status = send(endpoint, body_of(row), str(row.pk))
    except (BadAddress, OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL, seal.Erased) as error:
        # UnicodeError: a name with a part that no host can have.
        row_reason = str(error) if isinstance(error, BadAddress) else f"it could not be reached ({type(error).__name__})"
        WebhookDelivery.objects.filter(pk=row.pk).update(last_status=None)
        claims.put_back(row, pause(row.attempt), row_reason[:300])
        return False
    WebhookDelivery.objects.filter(pk=row.pk).update(last_status=status)
    if 200 <= status < 300:
        claims.complete(row, delivered_at=clock.now(), reason="")
    elif status == 410:
        claims.complete(row, "dropped", "the endpoint answered 410 Gone")
        stop_endpoint(endpoint, Actor("system", "api", "api"), "it answered 410 Gone")
    else:
        claims.put_back(row, pause(row.attempt), f"it answered {status}")
        return False
    return True


def body_of(row: WebhookDelivery) -> bytes:
    """The bytes that are sent and signed. The same change always has the same id, however often it is sent."""
    change = row.change
    document = {
        "id": str(change.pk),
        "kind": change.kind,
        "happened_at": change.happened_at.isoformat().replace("+00:00", "Z"),
        "cursor": cursor_of(change),
        "data": change.payload,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def cursor_of(change: Change) -> str:
    """The cursor after this change."""
    return str(change.position or 0)


def sign(secret: str, moment: int, body: bytes) -> str:
    """HMAC-SHA-256, in hex, of `<seconds>.<body>`."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


def signature_header(endpoint: WebhookEndpoint, moment: int, body: bytes) -> str:
    """`t=<seconds>,v1=<hex>`, with a second v1 while a secret is being replaced."""
    held = [endpoint.sealed_secret]
    if endpoint.sealed_previous_secret is not None and endpoint.previous_secret_until and endpoint.previous_secret_until > clock.now():
        held.append(endpoint.sealed_previous_secret)
    marks = [sign(seal.unseal(endpoint.key_name, bytes(sealed)), moment, body) for sealed in held]
    return ",".join([f"t={moment}", *(f"v1={mark}" for mark in marks)])


def send(endpoint: WebhookEndpoint, body: bytes, delivery_id: str) -> int:
    """One POST to the address that was looked up and checked just now, so that no name can point inwards. Gives the status.

    Raises BadAddress, OSError, httpx.HTTPError.
    """
    check_url(endpoint.url)
    parts = urlsplit(endpoint.url)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    address = _public_address(host, port)
    # The receiver compares it with its own clock, which the demo's moved one would fail.
    moment = int(time.time())
    netloc = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    target = parts._replace(netloc=netloc).geturl()
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "User-Agent": "billing-ai-webhooks/1",
        "Billing-Signature": signature_header(endpoint, moment, body),
        "Billing-Delivery": delivery_id,
    }
    extensions = {"sni_hostname": host} if parts.scheme == "https" else {}
    with _caller().stream("POST", target, content=body, headers=headers, extensions=extensions, timeout=10.0) as response:
        # What the other side says beyond its status is of no interest, and could be endless.
        return response.status_code


@lru_cache(maxsize=1)
def _caller() -> httpx.Client:
    # No connection is kept: addresses are shared between hosts, and one that was checked for one host's name must not serve another's.
    return httpx.Client(limits=httpx.Limits(max_connections=32, max_keepalive_connections=0), follow_redirects=False)


def _public_address(host: str, port: int) -> str:
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    for address in found:
        if settings.WEBHOOKS_TO_PRIVATE_HOSTS or ipaddress.ip_address(address.split("%")[0]).is_global:
            return address
    raise BadAddress("The host has no public address.")


def _note(kind: str, endpoint: WebhookEndpoint, actor: Actor, data: dict[str, object]) -> None:
    subject = ("webhook_endpoint", str(endpoint.pk))
    ledger.append(kind, actor=actor, trace_id=ids.new_trace_id(), subject=subject, data={"client": endpoint.client.name, **data})
