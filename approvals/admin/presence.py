"""Who has a case open right now. Kept in the cache only: it is a courtesy, the locks in `transitions.py` are what protects."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.core.cache import cache

from billing_ai.kernel import clock

if TYPE_CHECKING:
    from django.contrib.auth.models import User

BEAT_SECONDS = 20
"""How often an open page says that it is still open."""
_GONE_AFTER = timedelta(seconds=3 * BEAT_SECONDS)


def _key(case_id: UUID) -> str:
    return f"case-open:{case_id}"


def seen(case_id: UUID, user: User) -> list[str]:
    """Say that `user` has the case open, and hear who else has. Two beats at once may lose one; the next beat brings it back."""
    now = clock.now()
    known: dict[int, tuple[str, float]] = cache.get(_key(case_id)) or {}
    fresh = {pk: row for pk, row in known.items() if now.timestamp() - row[1] < _GONE_AFTER.total_seconds()}
    fresh[user.pk] = (user.get_full_name() or user.get_username(), now.timestamp())
    cache.set(_key(case_id), fresh, timeout=_GONE_AFTER.total_seconds())
    return sorted(name for pk, (name, _) in fresh.items() if pk != user.pk)


def left(case_id: UUID, user: User) -> None:
    """The page was closed."""
    known: dict[int, tuple[str, float]] = cache.get(_key(case_id)) or {}
    if known.pop(user.pk, None):
        cache.set(_key(case_id), known, timeout=_GONE_AFTER.total_seconds())
