"""How many calls a minute we make, all processes together, so that Chargebee never has to refuse us; and who goes first.

The plan's limit (CHARGEBEE_RATE_PER_MINUTE) is shared out by lanes: batch work stops at 60 % of it, execution at 90 %, and what a person waits
for may use all of it. So a backfill can never make a specialist wait for a page.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from math import ceil

from django.conf import settings

from billing_ai.integrations import site_state
from billing_ai.kernel.errors import Away

SPENT = "chargebee.budget_spent"
sleep = time.sleep


@dataclass(frozen=True, slots=True)
class _Terms:
    share: float
    patience_seconds: float


class Lane(Enum):
    """Who is asking."""

    PEOPLE = _Terms(1.0, 3.0)
    EXECUTION = _Terms(0.9, 10.0)
    BATCH = _Terms(0.6, 15.0)


_lane: ContextVar[Lane] = ContextVar("chargebee_lane", default=Lane.BATCH)


@contextmanager
def lane(which: Lane) -> Iterator[None]:
    """Calls inside the block go in this lane. Without it they are batch work."""
    token = _lane.set(which)
    try:
        yield
    finally:
        _lane.reset(token)


@contextmanager
def at_least(which: Lane) -> Iterator[None]:
    """Calls inside the block go in this lane, unless the lane outside may do more."""
    outside = _lane.get()
    with lane(outside if outside.value.share > which.value.share else which):
        yield


def limit_of(which: Lane) -> int:
    """Calls a minute at which this lane stops, at least 1."""
    return max(1, int(settings.CHARGEBEE_RATE_PER_MINUTE * which.value.share))


def take() -> None:
    """Take one call out of the budget; waits a few seconds where that helps. Raises Away when the lane has none left for longer.

    When the shared count cannot be reached, the call goes ahead: Chargebee's own 429 is the second line.
    """
    which = _lane.get()
    patience = which.value.patience_seconds
    while True:
        try:
            with site_state.shared() as state:
                wait = state.take(limit_of(which))
        except site_state.Unreachable:
            return
        if wait <= 0:
            return
        if wait > patience:
            raise Away(
                SPENT,
                f"Our own limit of calls to Chargebee is used up for now; there is room again in {ceil(wait)} s.",
                after=timedelta(seconds=wait),
            )
        sleep(wait)
        patience -= wait


def hold(seconds: timedelta) -> None:
    """Chargebee refused a call for being one too many: nobody calls until it said we may."""
    with suppress(site_state.Unreachable), site_state.shared() as state:
        state.hold(seconds.total_seconds())
