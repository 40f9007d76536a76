"""Wake-ups and sweeps of the agents."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from agents import runner, runs
from agents.models import AgentRun
from billing_ai.kernel import clock
from billing_ai.work import claims

_FULL = 10


@shared_task(name="agents.tick")
def tick() -> None:
    """Run what waits, until nothing does; now and then look at the calendar for what is due without an event."""
    found = claims.claim_tick("agents.due", timedelta(seconds=max(60.0, settings.SECONDS_BETWEEN_SWEEPS * 6)))
    if found is not None:
        claims.finish_tick(found, f"{runs.start_due(clock.now())} runs started")
    while runner.run_due(_FULL) == _FULL:
        pass
    claims.park_exhausted(AgentRun)
