"""What one event sets off: the facts are fetched anew, outcomes are settled, and the agents that want it get a run."""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from typing import Any

from django.db import DataError, transaction
from django.db.models import QuerySet

from agents import runs
from approvals import outcomes
from approvals.policy import retry_ledger
from audit import ledger
from audit.actor import acting, chargebee
from audit.ledger import NewEntry
from billing_ai.facts import sync
from billing_ai.facts.sync import Refreshed
from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee import call
from billing_ai.integrations.chargebee.events import HANDLED
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Away, Retryable, Terminal, Unknown
from billing_ai.tables.one_statement import Kept
from billing_ai.tables.one_write import Insert
from billing_ai.work import claims

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=3)
_UNWANTED = "nothing here acts on this type of event"


def process_due(limit: int = 20) -> int:
    """Claim and route up to `limit` events. Returns how many were routed; 0 ends the caller's loop.

    While Chargebee is away nothing is claimed: what waits keeps its place and its attempts, however much it is.
    """
    if call.is_away():
        return 0
    rows = claims.claim(Event, limit, LEASE)
    if rows and all(event.event_type not in HANDLED for event in rows):
        # Where one such event waits there are often many more; they are ended in bulk, and what is more urgent is looked for in between.
        pass_over()
    return claims.take_in_turn(
        rows,
        route,
        within=lambda event: acting(chargebee(), event.trace_id),
        since=lambda event: event.received_at,
        doing="was routed",
    )


def pass_over(limit: int = 2_000) -> int:
    """End up to `limit` due events of types that nothing here acts on (an earlier release did, or the list of types was cut). Returns how many."""
    return claims.end_due(Event, limit, lambda due: due.exclude(event_type__in=HANDLED), Event.IGNORED, _UNWANTED)


def route(event: Event) -> Away | None:
    """One claimed event, whatever it holds: it ends done, ignored, waiting again, or parked with a reason that a person can read.

    Returns the outage that it met, if it met one: that uses up no attempt.
    """
    if event.event_type not in HANDLED:
        claims.complete(event, Event.IGNORED, _UNWANTED, finished_at=clock.now())
        return None
    try:
        refreshed = sync.refresh(event.chargebee_customer_id, sync.ids_of(event.resources, "invoice"))
    except Away as error:
        claims.put_off(event, error.after, error.sentence, since=event.received_at)
        return error
    except (Retryable, Unknown) as error:
        wait = error.after if isinstance(error, Retryable) else timedelta(seconds=30)
        claims.put_back(event, max(wait, claims.backoff(event.attempt)), error.sentence)
        return None
    except Terminal as error:
        claims.park(event, f"{error.code}: {error.sentence}")
        return None
    except (ValueError, TypeError, KeyError, DataError) as error:
        # An answer in a shape that nobody foresaw must not stop the queue, and must not be lost either.
        logger.exception("event.not_understood", extra={"event_id": event.chargebee_event_id})
        claims.park(event, f"Chargebee's answer could not be understood: {type(error).__name__}: {error}"[:500])
        return None
    customer_id = refreshed.customer_id or event.chargebee_customer_id
    with contextlib.suppress(claims.LeaseLost), transaction.atomic():
        _settle_and_start(event, customer_id, refreshed)
    return None


def _settle_and_start(event: Event, customer_id: str, refreshed: Refreshed) -> None:
    """What follows from the facts as just fetched, and the end of the event, in the caller's transaction."""
    if event.event_type == "customer_deleted":
        sync.mark_deleted(customer_id)
    tries = Insert([])
    if customer_id:
        found = _NEWS.ask(customer_id=customer_id)
        if found["cases"]:
            outcomes.settle(customer_id, event_id=event.chargebee_event_id)
        # After the cases: an effect that ends locks its case first and its slot last, and two orders would meet in a deadlock.
        tries = retry_ledger.news(found)
    started = runs.rows_for_event(event.event_type, event.chargebee_event_id, event.trace_id, customer_id, refreshed.invoice_ids)
    note = f"gone: {', '.join(refreshed.gone)}" if refreshed.gone else event.reason
    end = claims.completion(event, reason=note, finished_at=clock.now())
    entry = NewEntry(
        kind="event.routed",
        actor=chargebee(),
        trace_id=event.trace_id,
        subject=("event", event.chargebee_event_id),
        event_id=event.chargebee_event_id,
        customer_id=customer_id,
        data={"type": event.event_type, "runs": len(started), "invoices": list(refreshed.invoice_ids)[:20]},
    )
    wrote = ledger.append_with([entry], end, tries, runs.beginning(started))
    if not claims.completed(event, end, wrote[0]):
        raise claims.LeaseLost
    logger.info("event.routed", extra={"event_id": event.chargebee_event_id, "runs": len(started)})


def _questions(customer_id: str) -> dict[str, QuerySet[Any, Any]]:
    return {**retry_ledger.questions(customer_id), "cases": outcomes.active(customer_id)[:1]}


_NEWS = Kept(_questions)
