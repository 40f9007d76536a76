"""When the site is down, stop asking: after several failures in a row nobody calls for half a minute; then the first call shows how it is."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from billing_ai.integrations.chargebee import site_state
from billing_ai.kernel.errors import OutsideError, Retryable, Terminal

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


def state() -> State:
    """How the site is doing, as all processes know it together."""
    try:
        with site_state.shared() as shared:
            health = shared.health()
    except site_state.Unreachable:
        return State(False, 0, "How Chargebee is doing is not known: what the processes count together cannot be reached.")
    seconds = health.open_until - site_state.wall_clock()
    if seconds > 0:
        return State(
            True,
            health.failures,
            f"Chargebee is down: {health.failures} calls in a row failed. The next try is in {ceil(seconds)} s; nothing is lost.",
        )
    held = health.held_until - site_state.wall_clock()
    if held > 0:
        return State(False, health.failures, f"Chargebee asked us to slow down; calls go on in {ceil(held)} s. Nothing is lost.")
    if health.failures:
        return State(False, health.failures, f"Chargebee is shaky: the last {health.failures} calls failed.")
    return State(False, 0, "Chargebee answers.", is_well=True)


def check() -> None:
    """Raises Retryable while the circuit is open. When it cannot be known, the call goes ahead."""
    global _failed_here
    try:
        with site_state.shared() as shared:
            health = shared.health()
    except site_state.Unreachable:
        return
    _failed_here = health.failures > 0
    seconds = health.open_until - site_state.wall_clock()
    if 0 < seconds <= OPEN_SECONDS:
        raise Retryable(OPEN, "Chargebee is down at the moment; calls wait until it is back.", after=timedelta(seconds=seconds))


def counts(meaning: OutsideError) -> bool:
    """True for an error that speaks of an outage rather than of this one request."""
    if isinstance(meaning, Terminal):
        return False
    short = meaning.code.removeprefix("chargebee.")
    return short in _OUTAGE or short.startswith("status_5")


def note_failure() -> None:
    """One more call failed for reasons that lie with the site."""
    try:
        with site_state.shared() as shared:
            health = shared.failed(FAILURES_TO_OPEN, OPEN_SECONDS)
    except site_state.Unreachable:
        return
    if health.failures == FAILURES_TO_OPEN:
        logger.error("chargebee.circuit_opened", extra={"failures": health.failures})


def note_success() -> None:
    """The site answered. Costs nothing while all is well: only after a failure is there anything to write."""
    global _failed_here
    if not _failed_here:
        return
    with suppress(site_state.Unreachable), site_state.shared() as shared:
        shared.succeeded()
        _failed_here = False
