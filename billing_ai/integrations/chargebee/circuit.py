"""When the site is down, stop asking: after several failures in a row nobody calls for half a minute; then one process looks how it is.

Whether a failure speaks of the site or of that one request is not guessed: a small question to the site itself decides (`is_site_away`). So a
request that fails each time opens nothing, and work that merely met an outage is not taken for such a request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from billing_ai.integrations import site_state
from billing_ai.kernel.errors import Away, OutsideError, Terminal

logger = logging.getLogger(__name__)
OPEN = "chargebee.circuit_open"
FAILURES_TO_OPEN = 5
OPEN_SECONDS = 30.0
_OUTAGE = frozenset(
    {
        "unreachable",
        "timeout",
        "connection_lost",
        "server_error",
        "internal_error",
        "internal_temporary_error",
        "gateway_timeout",
        "db_connection_failure",
    }
)
_failed_here = False


@dataclass(frozen=True, slots=True)
class State:
    """For the console: is the site being called, and the sentence that says so."""

    is_open: bool
    failures: int
    sentence: str
    is_well: bool = False
    """Nothing is known against it: the last call was answered, and nobody asked us to wait."""
    since: float = 0.0
    """When the first of the failures was, in seconds since 1970 by this machine's own clock; 0 when there is none."""


def state() -> State:
    """How the site is doing, as all processes know it together."""
    try:
        with site_state.shared() as shared:
            health = shared.health()
    except site_state.Unreachable:
        return State(False, 0, "How Chargebee is doing is not known: what the processes count together cannot be reached.")
    seconds = health.open_until - site_state.wall_clock()
    if health.open_until > 0 and seconds <= 0:
        return State(
            True,
            health.failures,
            "Chargebee was down when it was last called; the next sweep looks again. Nothing is lost.",
            since=health.since,
        )
    if seconds > 0:
        return State(
            True,
            health.failures,
            f"Chargebee is down: {health.failures} calls in a row failed. The next try is in {ceil(seconds)} s; nothing is lost.",
            since=health.since,
        )
    held = health.held_until - site_state.wall_clock()
    if held > 0:
        return State(False, health.failures, f"Chargebee asked us to slow down; calls go on in {ceil(held)} s. Nothing is lost.")
    if health.failures:
        return State(False, health.failures, f"Chargebee is shaky: the last {health.failures} calls failed.", since=health.since)
    return State(False, 0, "Chargebee answers.", is_well=True)


def check(look: Callable[[], bool]) -> None:
    """Raises Away while the circuit is open. When its time is over, one process looks whether the site answers, and the others wait for that.

    When it cannot be known, the call goes ahead.
    """
    global _failed_here
    try:
        with site_state.shared() as shared:
            health = shared.health()
            if not health.open_until:
                _failed_here = health.failures > 0
                return
            is_mine = shared.claim_look(OPEN_SECONDS)
    except site_state.Unreachable:
        return
    _failed_here = True
    if is_mine and look():
        note_success()
        return
    if is_mine:
        note_failure()
    seconds = OPEN_SECONDS if is_mine else max(1.0, health.open_until - site_state.wall_clock())
    raise Away(OPEN, "Chargebee is down at the moment; calls wait until it is back.", after=timedelta(seconds=min(seconds, OPEN_SECONDS)))


def counts(meaning: OutsideError) -> bool:
    """True for an error that speaks of an outage rather than of this one request."""
    if isinstance(meaning, Terminal):
        return False
    short = meaning.code.removeprefix("chargebee.")
    return short in _OUTAGE or short.startswith("status_5")


def note_failure() -> int:
    """One more call failed for reasons that may lie with the site. How many that is in a row; 0 when it cannot be known."""
    global _failed_here
    _failed_here = True
    try:
        with site_state.shared() as shared:
            return shared.failed().failures
    except site_state.Unreachable:
        return 0


def is_site_away(look: Callable[[], bool]) -> bool:
    """After a call failed for reasons that may lie with the site: do they? From FAILURES_TO_OPEN in a row on, this one included, the circuit is open."""
    if look():
        note_success()
        return False
    failures = note_failure()
    if failures >= FAILURES_TO_OPEN:
        with suppress(site_state.Unreachable), site_state.shared() as shared:
            shared.open(OPEN_SECONDS)
        logger.error("chargebee.circuit_opened", extra={"failures": failures})
    return True


def note_success() -> None:
    """The site answered. Costs nothing while all is well: only after a failure is there anything to write."""
    global _failed_here
    if not _failed_here:
        return
    with suppress(site_state.Unreachable), site_state.shared() as shared:
        shared.succeeded()
        _failed_here = False
