"""Sweeps and wake-ups of the API: what waits to be told, what waits for its customer, and what may be forgotten."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from billing_ai.api import arrivals, changes, forgetting, webhooks
from billing_ai.api.models import IdempotentCall, WebhookDelivery
from billing_ai.kernel import clock
from billing_ai.signals.models import WAITING_ROOMS
from billing_ai.work import claims

_FULL = 20
KEYS_KEPT_FOR = timedelta(days=7)


@shared_task(name="api.deliver")
def deliver() -> None:
    """Number what changed, and send the webhooks that are due, until none is."""
    changes.number_all()
    while webhooks.deliver_due(_FULL) == _FULL:
        pass
    claims.park_exhausted(WebhookDelivery)


@shared_task(name="api.housekeeping")
def housekeeping() -> None:
    """Look for the customers of what waits; forget idempotency keys after a week, and changes after as long as is set."""
    tick = claims.claim_tick("api.housekeeping", timedelta(seconds=max(3.0, settings.SECONDS_BETWEEN_SWEEPS * 6)))
    if tick is None:
        return
    looked_at = arrivals.look_again()
    for room in WAITING_ROOMS:
        claims.park_exhausted(room)
    forgotten, _ = IdempotentCall.objects.filter(made_at__lt=clock.now() - KEYS_KEPT_FOR).delete()
    changes_forgotten = forgetting.forget_old_changes()
    claims.finish_tick(tick, f"looked for {looked_at} customers, forgot {forgotten} keys and {changes_forgotten} changes")
