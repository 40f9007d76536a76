"""Wake-ups and sweeps of the churn agent."""

from __future__ import annotations

from celery import shared_task

from agents.churn import nightly


@shared_task(name="churn.night")
def night() -> None:
    """Begin tonight's scoring when its hour has come, or go on with it for a while."""
    if nightly.is_due():
        nightly.work()
