"""A model that keeps failing is left alone for a while. The state is the calls' own rows, so every worker sees the same."""

from __future__ import annotations

from datetime import timedelta

from agents.models import LlmCall
from billing_ai.kernel import clock

FAILURES_TO_OPEN = 4
WINDOW = timedelta(minutes=10)
COOL_DOWN = timedelta(seconds=60)
OUTAGES = frozenset({"timeout", "unreachable", "server_error", "rate_limited", "unauthorised", "too_long"})
"""Outcomes that say the provider is away. A wrong schema is the model's fault and does not open the circuit."""


def is_closed(model: str) -> bool:
    """Whether a call may be made: the last settled calls were not all outages, or the cool-down is over and no probe is on its way."""
    now = clock.now()
    recent = list(
        LlmCall.objects.filter(model=model, started_at__gt=now - WINDOW).order_by("-started_at").values_list("started_at", "outcome")[:20]
    )
    settled = [row for row in recent if row[1] != "started"][:FAILURES_TO_OPEN]
    if len(settled) < FAILURES_TO_OPEN or any(outcome not in OUTAGES for _, outcome in settled):
        return True
    last_failure = settled[0][0]
    if now - last_failure < COOL_DOWN:
        return False
    return not any(outcome == "started" and started_at > last_failure for started_at, outcome in recent)
