"""Wake-ups and sweeps of the churn agent."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task

from agents.churn import nightly, relearning, watching
from billing_ai.kernel import clock
from billing_ai.work import claims


@shared_task(name="churn.night")
def night() -> None:
    """Begin tonight's scoring when its hour has come, or go on with it for a while."""
    if nightly.is_due():
        nightly.work()


@shared_task(name="churn.watch", soft_time_limit=1_500, time_limit=1_600)
def watch() -> None:
    """Look whether the scores can be believed, and learn again when enough has matured. Once a day, however often it is woken."""
    tick = claims.claim_tick("churn.watch", timedelta(days=1))
    if tick is not None:
        now = clock.now()
        alerts = sum(finding.is_alert for finding in watching.look(now))
        claims.finish_tick(tick, f"{alerts} alerts; {relearning.offer_if_due(now)}")
