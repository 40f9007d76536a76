"""Ids of our own, and keys that are the same every time they are derived from the same things."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any


def new_id() -> uuid.UUID:
    """A fresh id for a row of ours."""
    return uuid.uuid4()


def new_trace_id() -> str:
    """32 hex digits, the form that W3C trace context uses."""
    return uuid.uuid4().hex


def trace_id_of(event_id: str) -> str:
    """The trace of an event of Chargebee's, in the same form: whoever hears of the event, and however often, names the same one."""
    return hashlib.blake2b(event_id.encode(), digest_size=16, person=b"trace").hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value: sorted keys, no spaces, UTF-8. Raises TypeError on what JSON cannot hold."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_hash(value: Any) -> str:
    """SHA-256, in hex, of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def keyed_hash(key: bytes, value: str) -> str:
    """HMAC-SHA-256 in hex: the same value gives the same mark, and nobody without the key can guess the value from it."""
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()


def effect_key(*parts: object) -> str:
    """An idempotency key of at most 64 characters, derived from what the effect is about and from nothing else."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()
