"""Facts of customers of whom no event has told us: the whole site once on a new installation, afterwards those whom an event missed.

Scores are of everyone, not only of those with news. The list is walked from the customer who has not changed for longest, a stretch a run,
in the lane of batch work; the cursor is the change up to which everyone is known.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from agents import runs
from billing_ai.facts import sync
from billing_ai.facts.models import Customer
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock, ids
from billing_ai.kernel.errors import OutsideError
from billing_ai.work.models import Tick

CURSOR = "inbox.everyone_known_to"
"""The row of ticks that holds the cursor; its slot is in seconds."""
FIRST_SEEN = "heard.first"
"""What agents are told: facts of this customer are here for the first time."""
SECONDS = 20.0
_OVERLAP = timedelta(seconds=5)


def run(seconds: float = SECONDS) -> str:
    """Fetch who is not known yet, for a while. Returns what was done, in words."""
    slot = Tick.objects.filter(schedule=CURSOR).values_list("slot", flat=True).first()
    since: datetime | None = clock.from_seconds(slot) - _OVERLAP if slot else None
    reached, seen, fetched, stopped = since, 0, 0, ""
    until = time.monotonic() + seconds
    try:
        for customer in reads.list_customers(updated_after=since):
            seen += 1
            if not Customer.objects.filter(pk=customer.id).exists():
                sync.refresh(customer.id, ())
                runs.start_for_event(FIRST_SEEN, f"first:{customer.id}", ids.new_trace_id(), customer.id, ())
                fetched += 1
            reached = customer.updated_at or reached
            if time.monotonic() >= until:
                break
    except OutsideError as error:
        stopped = f"; stopped: {error.sentence}"
    if reached is not None:
        Tick.objects.update_or_create(
            schedule=CURSOR,
            defaults={"slot": clock.to_seconds(reached), "finished_at": clock.now(), "result": f"up to {reached:%Y-%m-%d %H:%M:%S} UTC"},
        )
    return f"{seen} customers looked at, {fetched} were not known{stopped}"
