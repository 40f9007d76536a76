"""Wake-ups and sweeps. Each loads, calls one function and maps nothing: rows hold what is due, and a second run finds nothing to do."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from approvals import companions, execution, outcomes, retention, settling
from approvals.models import Execution
from billing_ai.work import claims

_FULL = 20


@shared_task(name="approvals.execute_due")
def execute_due() -> None:
    """Carry out what is due, until nothing is."""
    while execution.execute_due(_FULL) == _FULL:
        pass


@shared_task(name="approvals.housekeeping")
def housekeeping() -> None:
    """Leases, unknowns, promises, expiry, retention. Each is safe twice; the tick keeps a second beat from doing it at the same time."""
    tick = claims.claim_tick("approvals.housekeeping", timedelta(seconds=max(3.0, settings.SECONDS_BETWEEN_SWEEPS * 6)))
    if tick is None:
        return
    counts = {
        "leases": settling.expire_leases(),
        "settled": settling.settle_unknowns(),
        "parked": claims.park_exhausted(Execution),
        "promises": outcomes.follow_promises(),
        "expired": outcomes.expire_proposals(),
        "let go": companions.let_go_of_dunning(),
        "words dropped": retention.drop_old_words(),
    }
    claims.finish_tick(tick, ", ".join(f"{name} {count}" for name, count in counts.items()))
