"""By which other system an effect goes out, and which of them are away: what would go there waits, and one effect in a while tries.

Chargebee's own circuit is `integrations/chargebee/circuit.py`; every effect looks there again before it goes, so without it none does.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from approvals.models import Execution
from billing_ai.integrations import site_state
from billing_ai.integrations.chargebee import circuit
from billing_ai.integrations.site_state import CHARGEBEE
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Away

_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 300.0
"""Seconds between two tries at a system that is away."""
_TASKS = (("crm_task", None), ("call_task", None))
_WAYS: dict[str, tuple[tuple[str, str | None], ...]] = {
    "mail": (("send_message", "email"), ("send_message", "")),
    "sms": (("send_message", "sms"), ("answer_help", None), ("confirm_opt_out", None)),
    "zendesk": (("create_ticket", None), ("alert", None)),
    "salesforce": _TASKS,
    "hubspot": _TASKS,
}
"""System (as its error codes begin) → the effects that go by it: action, and the revision's channel where that decides. What is not here goes by
Chargebee, or has a way to wait of its own (the push of scores)."""
_FORGOTTEN_AFTER = 3600.0
"""Seconds after the end of a pause in which nothing was tried: then nobody knows any more."""
LABELS = {
    CHARGEBEE: "Chargebee",
    "mail": "The mail server",
    "sms": "The SMS provider",
    "zendesk": "The help desk",
    "salesforce": "Salesforce",
    "hubspot": "HubSpot",
}


@dataclass(frozen=True, slots=True)
class Outage:
    """A system that could not be asked when it was last tried."""

    system: str
    since: datetime
    """The first of the tries in a row that failed."""
    is_due: bool = False
    """Its pause is over, so that the next effect tries."""

    @property
    def label(self) -> str:
        """As people call it."""
        return LABELS[self.system]


def outages() -> list[Outage]:
    """Every system that is away, as all processes know it together. One whose state cannot be known counts as there."""
    chargebee = circuit.state()
    return [*([Outage(CHARGEBEE, _instant(chargebee.since))] if chargebee.is_open else []), *outages_of_others()]


def outages_of_others() -> list[Outage]:
    """The same without Chargebee, for who has looked there already."""
    found = []
    now = site_state.wall_clock()
    for system in _WAYS:
        with suppress(site_state.Unreachable), site_state.shared(system) as shared:
            health = shared.health()
            if health.failures and health.open_until > now - _FORGOTTEN_AFTER:
                found.append(Outage(system, _instant(health.since), health.open_until <= now))
    return found


def _instant(noted: float) -> datetime:
    """What was noted by the machine's own clock, as our clock has it, which the demo moves."""
    return clock.now() - timedelta(seconds=max(0.0, site_state.wall_clock() - noted))


def able(due: QuerySet[Execution], away: Iterable[Outage]) -> QuerySet[Execution]:
    """Of due effects those that do not wait for a system that is away."""
    for outage in away:
        if not outage.is_due:
            for action, channel in _WAYS.get(outage.system, ()):
                due = due.exclude(action=action, **({} if channel is None else {"proposal__current__channel": channel}))
    return due


def goes_by(execution: Execution, system: str) -> bool:
    """Whether the effect cannot go out without this system."""
    revision = execution.proposal.current
    return system == CHARGEBEE or any(
        action == execution.action and channel in (None, revision.channel if revision is not None else "")
        for action, channel in _WAYS.get(system, ())
    )


def note_away(error: Away) -> None:
    """A call met an outage: whatever goes that way waits, half a minute at first and five at most, or as long as the system asked for."""
    if error.system not in _WAYS:
        return
    with suppress(site_state.Unreachable), site_state.shared(error.system) as shared:
        failures = shared.failed().failures
        shared.open(max(error.after.total_seconds(), min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(failures - 1, 10))))


def note_there(execution: Execution, away: Iterable[Outage]) -> None:
    """A call was answered: what waited for that system goes out from now on."""
    for outage in away:
        if outage.system in _WAYS and goes_by(execution, outage.system):
            with suppress(site_state.Unreachable), site_state.shared(outage.system) as shared:
                shared.succeeded()
