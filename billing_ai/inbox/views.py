"""The webhook: verify, store once, answer. One insert and nothing else happens in the request."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any

from django.conf import settings
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing_ai.inbox import intake
from billing_ai.integrations.chargebee.events import EventEnvelope, ForeignShape
from billing_ai.work.wake import wake

logger = logging.getLogger(__name__)
MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 30
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKET = re.compile(rb"[^\[\]{}]+")


@csrf_exempt
@require_POST
def chargebee_webhook(request: HttpRequest, secret: str = "") -> HttpResponse:
    """Answers 200 once the event is a committed row; 400, 401, 404, 413 or 503 otherwise, and then nothing else has happened."""
    if not hmac.compare_digest(secret.encode(), settings.CHARGEBEE_WEBHOOK_SECRET_PATH.encode()):
        return _refuse(404, "not_found", "There is nothing at this address.")
    if not _is_authentic(request.META.get("HTTP_AUTHORIZATION", "")):
        response = _refuse(401, "unauthorized", "User name or password of the webhook are wrong.")
        response["WWW-Authenticate"] = 'Basic realm="webhooks"'
        return response
    try:
        body = _body(request)
    except OSError:
        return _refuse(400, "cut_off", "The body ended before it was complete.")
    if body is None:
        return _refuse(413, "too_large", f"An event is at most {MAX_BODY_BYTES} bytes.")
    try:
        envelope = intake.read_envelope(parse(body))
    except ForeignShape as error:
        return _refuse(400, "foreign_shape", str(error))
    try:
        is_new = _store(envelope, hashlib.sha256(body).hexdigest())
    except DataError:
        logger.exception("webhook.not_storable")
        return _refuse(400, "foreign_shape", "The event holds a value that no event of Chargebee has.")
    except (DatabaseError, InterfaceError):
        # InterfaceError: the connection that was kept from an earlier request is gone.
        logger.exception("webhook.database_away")
        connection.close()
        return _refuse(503, "database_away", "The event could not be stored. Send it again later.")
    if is_new:
        wake("inbox.process")
    return JsonResponse({"received": envelope.id, "new": is_new})


def _store(envelope: EventEnvelope, body_sha256: str) -> bool:
    """Store the event by one statement that commits itself. True when it is new.

    A connection that was kept from an earlier request is not asked first whether it still works: that would be a second round trip for each
    event. When the insert finds it dead, it is made once more on a new one; a first that was committed all the same makes that one a duplicate.
    """
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


def _body(request: HttpRequest) -> bytes | None:
    """The body; None when it is too large, whatever length was declared. Raises OSError when the sender goes away in between."""
    declared = request.META.get("CONTENT_LENGTH") or ""
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > MAX_BODY_BYTES):
        return None
    if not declared and request.META.get("wsgi.input_terminated"):
        # Sent in chunks: Django would read nothing, since no length is declared; the server says itself where the body ends.
        body = b""
        while len(body) <= MAX_BODY_BYTES and (piece := request.META["wsgi.input"].read(MAX_BODY_BYTES + 1 - len(body))):
            body += piece
    else:
        body = request.read(MAX_BODY_BYTES + 1)
    return body if len(body) <= MAX_BODY_BYTES else None


def parse(body: bytes) -> Any:
    """The JSON value. Raises ForeignShape on anything that is not UTF-8 JSON of bounded depth."""
    if _depth(body) > MAX_DEPTH:
        raise ForeignShape(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ForeignShape(f"The body is not JSON: {error}") from error


def _depth(body: bytes) -> int:
    """The nesting, counted without parsing. Brackets inside strings do not count: a customer may be called "[[[[["."""
    if body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for byte in _NO_BRACKET.sub(b"", _STRING.sub(b"", body)):
        if byte in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


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


def _refuse(status: int, code: str, sentence: str) -> JsonResponse:
    return JsonResponse({"error": code, "message": sentence}, status=status)
