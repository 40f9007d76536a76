"""One pooled HTTP client for the life of a process, and what its failures mean.

A client of its own per call costs a TLS context and a connection each time. A client shared across a fork would put two processes on
one socket. So: one per process, made on first use, dropped in a forked child.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from django.conf import settings

from billing_ai.kernel.errors import Away, OutsideError, Retryable, Terminal, Unknown

# httpx logs each address it calls at INFO; ours carry customer ids and mail addresses in their queries.
logging.getLogger("httpx").setLevel(logging.WARNING)
# httpcore writes whole headers at DEBUG, and ours carry the keys.
logging.getLogger("httpcore").setLevel(logging.WARNING)

CONNECT_SECONDS = 5.0
KEEPALIVE_SECONDS = 20.0
LARGEST_BODY = 32 * 1024 * 1024

_lock = threading.Lock()
_client: httpx.Client | None = None
_inherited: list[httpx.Client] = []


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer: status, headers, and the whole body."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        """Any 2xx."""
        return 200 <= self.status < 300


class BodyTooSlow(httpx.ReadTimeout):
    """The answer came so slowly that the whole of it would have outlasted our leases."""


class BodyTooLarge(httpx.DecodingError):
    """The answer is larger than anything that we ask for."""


def client() -> httpx.Client:
    """This process's client. Thread-safe."""
    global _client
    if _client is None:
        with _lock:
            if _client is None:
                _client = _new_client()
    return _client


def _new_client() -> httpx.Client:
    seconds = float(settings.OUTSIDE_TIMEOUT_SECONDS)
    return httpx.Client(
        timeout=httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
        limits=httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=KEEPALIVE_SECONDS),
        follow_redirects=False,
    )


def use_client(replacement: httpx.Client | None) -> httpx.Client | None:
    """Put another client in place (a bench or a test does) and hand back the one before; None means: make a new one on next use."""
    global _client
    with _lock:
        before, _client = _client, replacement
    return before


def _drop_after_fork() -> None:
    # The sockets belong to the parent: keep the object, so that nothing closes them from here, and never use it again.
    global _client, _lock
    _lock = threading.Lock()
    if _client is not None:
        _inherited.append(_client)
        _client = None


os.register_at_fork(after_in_child=_drop_after_fork)


def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    form: Mapping[str, Any] | None = None,
    json: Any = None,
    seconds: float | None = None,
) -> Answer:
    """One request, one whole answer, within OUTSIDE_TIMEOUT_SECONDS (or `seconds`) twice over at the very most. Raises httpx.HTTPError as it comes."""
    limit = httpx.USE_CLIENT_DEFAULT if seconds is None else httpx.Timeout(seconds)
    deadline = time.monotonic() + 2 * (float(settings.OUTSIDE_TIMEOUT_SECONDS) if seconds is None else seconds)
    with client().stream(method, url, headers=headers, params=params, data=form, json=json, timeout=limit) as response:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_bytes():
            size += len(part)
            if size > LARGEST_BODY:
                raise BodyTooLarge(f"more than {LARGEST_BODY} bytes", request=response.request)
            if time.monotonic() > deadline:
                raise BodyTooSlow("the body did not end in time", request=response.request)
            parts.append(part)
        return Answer(response.status_code, response.headers, b"".join(parts))


def retry_after(headers: Mapping[str, str], otherwise: timedelta) -> timedelta:
    """What `Retry-After` asks for, in either of its forms, between one second and one hour; `otherwise` when it is absent or unreadable."""
    text = headers.get("retry-after") or headers.get("Retry-After") or ""
    if not text:
        return otherwise
    try:
        wait = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return otherwise
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait = moment - datetime.now(UTC)
    return min(max(wait, timedelta(seconds=1)), timedelta(hours=1))


def jittered(seconds: float) -> float:
    """A wait of between half and the whole of `seconds`, so that many workers do not come back at once."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - spreading load, not a secret


def transport_error(
    error: httpx.HTTPError | httpx.InvalidURL | httpx.StreamError, *, vendor: str, label: str, has_effect: bool
) -> OutsideError:
    """What a failure of the transport means. `label` is the vendor's name as people say it; `has_effect` is true for a write.

    It could not be reached: Away. Sent, and the answer lost: Unknown for a write, Retryable for a read. A request that could not be formed: Terminal.
    """
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        return Away(f"{vendor}.unreachable", f"{label} could not be reached. Nothing was sent.", after=timedelta(seconds=30))
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.InvalidURL):
        return Terminal(f"{vendor}.bad_address", f"The address set for {label} cannot be called. Nothing was sent.")
    if isinstance(error, httpx.TimeoutException):
        code, what = f"{vendor}.timeout", f"{label} did not answer in time"
    elif isinstance(error, httpx.DecodingError):
        code, what = f"{vendor}.unreadable", f"{label} sent an answer that cannot be read"
    else:
        code, what = f"{vendor}.connection_lost", f"The connection to {label} broke before the answer was complete"
    if has_effect:
        return Unknown(code, f"{what}. It may have been carried out; it has to be looked up before anything is repeated.")
    return Retryable(code, f"{what}. It was only a look; it will be tried again.", after=timedelta(seconds=15))


def status_error(answer: Answer, *, vendor: str, label: str, has_effect: bool) -> OutsideError:
    """What a status outside 2xx means when the vendor says nothing more exact."""
    status = answer.status
    if status == 429:
        wait = retry_after(answer.headers, timedelta(seconds=60))
        return Away(
            f"{vendor}.rate_limited", f"{label} asks us to slow down and to come back in {int(wait.total_seconds())} s.", after=wait
        )
    if status == 501:
        return Terminal(f"{vendor}.not_offered", f"{label} does not offer this call. Nothing was done.")
    if status >= 500:
        if has_effect:
            return Unknown(
                f"{vendor}.server_error",
                f"{label} failed while it worked on this (status {status}). It may have been carried out; it has to be looked up.",
            )
        return Retryable(
            f"{vendor}.server_error",
            f"{label} has a fault of its own (status {status}). It will be tried again.",
            after=retry_after(answer.headers, timedelta(seconds=30)),
        )
    if status == 401:
        return Terminal(f"{vendor}.bad_credentials", f"{label} does not accept our credentials. Somebody has to set them anew.")
    if status == 403:
        return Terminal(f"{vendor}.forbidden", f"{label} does not allow our account to do this. Its permissions have to be widened.")
    if status == 404:
        return Terminal(f"{vendor}.not_found", f"{label} has nothing under that id.")
    if status == 408:
        return Retryable(f"{vendor}.timeout", f"{label} gave up waiting for our request. Nothing was done.")
    if status == 409:
        return Terminal(f"{vendor}.conflict", f"{label} refuses this because of the state that the record is in.")
    if status in (400, 413, 422):
        return Terminal(f"{vendor}.refused", f"{label} refuses the request as it was written (status {status}).")
    return Terminal(f"{vendor}.unexpected_status", f"{label} answered in a way that we do not know (status {status}).")
