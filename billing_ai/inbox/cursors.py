"""How far a list of Chargebee's has been read: a row of ticks whose slot is in seconds."""

from __future__ import annotations

from datetime import datetime, timedelta

from billing_ai.kernel import clock
from billing_ai.work.models import Tick

FIRST_LOOK_BACK = timedelta(days=1)


def read(name: str) -> datetime:
    """Where the last run got to; a day ago where there was none. Never later than now."""
    slot = Tick.objects.filter(schedule=name).values_list("slot", flat=True).first()
    now = clock.now()
    return min(clock.from_seconds(slot), now) if slot else now - FIRST_LOOK_BACK


def write(name: str, moment: datetime) -> None:
    """Go on from here next time."""
    Tick.objects.update_or_create(
        schedule=name,
        defaults={"slot": clock.to_seconds(moment), "finished_at": clock.now(), "result": f"up to {moment:%Y-%m-%d %H:%M:%S} UTC"},
    )
