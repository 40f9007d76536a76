"""A webhook, whoever serves it: verify, store once, answer. One insert and nothing else happens in the request.

It reads the WSGI environment itself: Django's request and response objects cost more CPU than the event's row. `views.py` and `door.py` hand
the answer on.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connections

from billing_ai.inbox import intake
from billing_ai.integrations.chargebee.events import EventEnvelope, ForeignShape
from billing_ai.kernel import ids
from billing_ai.work.wake import wake

logger = logging.getLogger(__name__)
MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 30
REALM = 'Basic realm="webhooks"'
"""Goes with every 401."""
_TO_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))


class Answer(NamedTuple):
    """An HTTP status and a JSON document."""

    status: int
    document: dict[str, Any]


def receive(environ: Mapping[str, Any], secret: str = "") -> Answer:
    """200 once the event is a committed row; 400, 401, 404, 413 or 503 otherwise, and then nothing else has happened. One log line each."""
    answer, envelope = _received(environ, secret)
    is_stored = answer.status == 200
    logger.info(
        ("webhook.accepted" if answer.document["new"] else "webhook.duplicate") if is_stored else "webhook.refused",
        extra={
            "trace_id": ids.trace_id_of(envelope.id) if envelope else "-",
            "event_id": envelope.id if envelope else "",
            "event_type": envelope.event_type if envelope else "",
            "outcome": "stored" if is_stored else answer.document["error"],
        },
    )
    return answer


def _received(environ: Mapping[str, Any], secret: str) -> tuple[Answer, EventEnvelope | None]:
    if not hmac.compare_digest(secret.encode(), settings.CHARGEBEE_WEBHOOK_SECRET_PATH.encode()):
        return _refusal(404, "not_found", "There is nothing at this address."), None
    if not _is_authentic(environ.get("HTTP_AUTHORIZATION", "")):
        return _refusal(401, "unauthorized", "User name or password of the webhook are wrong."), None
    try:
        body = _body(environ)
    except OSError:
        return _refusal(400, "cut_off", "The body ended before it was complete."), None
    if body is None:
        return _refusal(413, "too_large", f"An event is at most {MAX_BODY_BYTES} bytes."), None
    try:
        envelope = intake.read_envelope(parse(body))
    except ForeignShape as error:
        return _refusal(400, "foreign_shape", str(error)), None
    try:
        is_new = _store(envelope, hashlib.sha256(body).hexdigest())
    except DataError:
        logger.exception("webhook.not_storable")
        return _refusal(400, "foreign_shape", "The event holds a value that no event of Chargebee has."), envelope
    except (DatabaseError, InterfaceError):
        # InterfaceError: the connection that was kept from an earlier request is gone.
        logger.exception("webhook.database_away")
        connections["default"].close()
        return _refusal(503, "database_away", "The event could not be stored. Send it again later."), envelope
    if is_new:
        wake("inbox.process")
    return Answer(200, {"received": envelope.id, "new": is_new}), envelope


def _store(envelope: EventEnvelope, body_sha256: str) -> bool:
    """Store the event by one statement that commits itself. True when it is new.

    A connection that was kept from an earlier request is not asked first whether it still works: that would be a second round trip for each
    event. When the insert finds it dead, it is made once more on a new one; a first that was committed all the same makes that one a duplicate.
    """
    connection = connections["default"]
    was_kept = connection.connection is not None
    connection.health_check_done = True  # type: ignore[attr-defined]  # missing from the stubs
    try:
        return intake.store(envelope, body_sha256=body_sha256)
    except (OperationalError, InterfaceError):
        if not was_kept or connection.in_atomic_block or connection.is_usable():
            raise
        logger.warning("webhook.connection_was_gone")
        connection.close()
        # What the first insert did is not known, so the workers are woken whether or not this one finds the row.
        intake.store(envelope, body_sha256=body_sha256)
        return True


def _body(environ: Mapping[str, Any]) -> bytes | None:
    """The body; None when it is too large, whatever length was declared. Raises OSError when the sender goes away in between."""
    declared = environ.get("CONTENT_LENGTH") or ""
    read = environ["wsgi.input"].read
    if declared.isascii() and declared.isdigit():
        if len(declared) > 18 or int(declared) > MAX_BODY_BYTES:
            return None
        whole: bytes = read(int(declared))
        return whole
    if not environ.get("wsgi.input_terminated"):
        return b""
    # Sent in chunks: no length is declared, and the server says itself where the body ends.
    body = b""
    while len(body) <= MAX_BODY_BYTES and (piece := read(MAX_BODY_BYTES + 1 - len(body))):
        body += piece
    return body if len(body) <= MAX_BODY_BYTES else None


def parse(body: bytes) -> Any:
    """The JSON value. Raises ForeignShape on anything that is not UTF-8 JSON of bounded depth."""
    if not _is_shallow(body):
        raise ForeignShape(f"The JSON is nested deeper than {MAX_DEPTH} levels, or its brackets do not match.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ForeignShape(f"The body is not JSON: {error}") from error


def _is_shallow(body: bytes) -> bool:
    """Whether the nesting is bounded, found without parsing and without a loop over bytes. Brackets inside strings do not count: a customer
    may be called "[[[[[".
    """
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return True
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Every second piece between quotes is outside a string. {} counts as [], since which of them closes which is the parser's matter.
    left = b"".join(body.split(b'"')[::2]).translate(_TO_ONE_KIND, _NO_BRACKET)
    # Each pass takes the innermost pairs away, and so one level of depth.
    for _ in range(MAX_DEPTH):
        if not left:
            return True
        fewer = left.replace(b"[]", b"")
        if len(fewer) == len(left):
            return False
        left = fewer
    return not left


def _is_authentic(header: str) -> bool:
    """Constant-time Basic auth. Two passwords, separated by a comma, are both valid while one is being rotated."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = b64decode(encoded, validate=True)
    except (Base64Error, ValueError):
        return False
    user = settings.CHARGEBEE_WEBHOOK_USER
    valid = [f"{user}:{password}".encode() for password in settings.CHARGEBEE_WEBHOOK_PASSWORD.split(",") if password]
    # Each is compared, whichever fits, so that the time says nothing.
    matches = [hmac.compare_digest(given, candidate) for candidate in valid]
    return any(matches)


def _refusal(status: int, code: str, sentence: str) -> Answer:
    return Answer(status, {"error": code, "message": sentence})
