"""The console's own sweep."""

from __future__ import annotations

from celery import shared_task

from billing_ai.console import figures
from billing_ai.work import claims


@shared_task(name="console.figures")
def renew_figures() -> None:
    """Add up the figures of “Today” anew, so that no reader waits for it."""
    tick = claims.claim_tick("console.figures", figures.RENEWED_EVERY)
    if tick is not None:
        claims.finish_tick(tick, f"{figures.renew()} renewed")
