"""Wake-ups and sweeps of the inbox."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from audit.checkpoints import checkpoint, places
from billing_ai.inbox import beliefs, proof, roll_call, routing
from billing_ai.inbox import reconcile as reconciling
from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee import setup_check
from billing_ai.work import claims

_FULL = 20


@shared_task(name="inbox.process")
def process() -> None:
    """Route what is due, until nothing is."""
    while routing.process_due(_FULL) == _FULL:
        pass
    claims.park_exhausted(Event)


@shared_task(name="inbox.reconcile")
def reconcile() -> None:
    """Ask Chargebee for its own list of events, and store what never arrived."""
    every = timedelta(seconds=max(30.0, settings.SECONDS_BETWEEN_SWEEPS * 30))
    tick = claims.claim_tick("inbox.reconcile", every)
    if tick is not None:
        claims.finish_tick(tick, reconciling.run())


@shared_task(name="inbox.roll_call")
def call_roll() -> None:
    """Fetch the facts of customers of whom no event has told us."""
    tick = claims.claim_tick("inbox.roll_call", timedelta(seconds=max(30.0, settings.SECONDS_BETWEEN_SWEEPS * 30)))
    if tick is not None:
        claims.finish_tick(tick, roll_call.run())


@shared_task(name="inbox.check_site")
def check_site() -> None:
    """See whether Chargebee is set up for us: when a worker starts, and now and then; the console shows what was found."""
    tick = claims.claim_tick("chargebee.set_up", timedelta(seconds=max(60.0, settings.SECONDS_BETWEEN_SWEEPS * 60)))
    if tick is not None:
        claims.finish_tick(tick, setup_check.log_findings(setup_check.check_site()))


@shared_task(name="inbox.compare_invoices")
def compare_invoices() -> None:
    """Hold what we believe about invoices against Chargebee's list of them."""
    tick = claims.claim_tick("inbox.compare_invoices", timedelta(seconds=max(60.0, settings.SECONDS_BETWEEN_SWEEPS * 60)))
    if tick is not None:
        claims.finish_tick(tick, *beliefs.run())


@shared_task(name="inbox.verify_audit")
def verify_audit() -> None:
    """Read the next part of the ledger again; together the parts go round and round."""
    tick = claims.claim_tick("audit.verify", timedelta(seconds=max(60.0, settings.SECONDS_BETWEEN_SWEEPS * 60)))
    if tick is not None:
        claims.finish_tick(tick, *proof.verify_next_part())


@shared_task(name="inbox.checkpoint_audit")
def checkpoint_audit() -> None:
    """Write the head of the audit ledger to where the database's owner cannot change it."""
    tick = claims.claim_tick("audit.checkpoint", timedelta(seconds=max(10.0, settings.SECONDS_BETWEEN_SWEEPS * 6)))
    if tick is not None:
        found = checkpoint()
        down = [place for place in places() if place.failing_since is not None]
        said = "; ".join(f"not written to {place.name} since {place.failing_since:%d %b, %H:%M} UTC: {place.error}" for place in down)
        claims.finish_tick(tick, said or ("nothing new" if found is None else str(found)), len(down))
