"""Who has a case open right now. Kept in a cache only, in Redis where there is one, so that colleagues on another host are seen too.

It is a courtesy: the locks in `transitions.py` are what protects, and a Redis that is away must not keep a case from being worked.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import redis
from django.core.cache import caches

from billing_ai.kernel import clock

if TYPE_CHECKING:
    from django.contrib.auth.models import User

logger = logging.getLogger(__name__)
BEAT_SECONDS = 20
"""How often an open page says that it is still open."""
_GONE_AFTER = timedelta(seconds=3 * BEAT_SECONDS)


def _key(case_id: UUID) -> str:
    return f"case-open:{case_id}"


def seen(case_id: UUID, user: User) -> list[str]:
    """Say that `user` has the case open, and hear who else has. Two beats at once may lose one; the next beat brings it back."""
    now = clock.now()
    try:
        known: dict[int, tuple[str, float]] = caches["presence"].get(_key(case_id)) or {}
        fresh = {pk: row for pk, row in known.items() if now.timestamp() - row[1] < _GONE_AFTER.total_seconds()}
        fresh[user.pk] = (user.get_full_name() or user.get_username(), now.timestamp())
        caches["presence"].set(_key(case_id), fresh, timeout=_GONE_AFTER.total_seconds())
    except redis.RedisError as error:
        logger.warning("presence.not_known", extra={"error": type(error).__name__})
        return []
    return sorted(name for pk, (name, _) in fresh.items() if pk != user.pk)


def left(case_id: UUID, user: User) -> None:
    """The page was closed."""
    try:
        known: dict[int, tuple[str, float]] = caches["presence"].get(_key(case_id)) or {}
        if known.pop(user.pk, None):
            caches["presence"].set(_key(case_id), known, timeout=_GONE_AFTER.total_seconds())
    except redis.RedisError as error:
        logger.warning("presence.not_known", extra={"error": type(error).__name__})
