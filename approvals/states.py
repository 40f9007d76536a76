"""The states of a proposal and the only steps between them; `move` is the only writer of a proposal's status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from approvals.ledger_notes import of_proposal
from approvals.models import Case, Proposal
from approvals.people import Refused
from audit import ledger
from billing_ai.kernel import clock

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from audit.actor import Actor
    from audit.ledger import NewEntry

OBSERVED, BLOCKED, WAITING, SECOND, APPROVED = "observed", "blocked", "waiting", "waiting_second", "approved"
EXECUTING, DONE, DECLINED, FAILED, UNKNOWN = "executing", "done", "declined", "failed", "unknown"
REJECTED, WITHDRAWN, EXPIRED = "rejected", "withdrawn", "expired"

NEXT: dict[str, frozenset[str]] = {
    "": frozenset({OBSERVED, BLOCKED, WAITING, APPROVED}),
    OBSERVED: frozenset({WITHDRAWN, EXPIRED}),
    BLOCKED: frozenset({WAITING, WITHDRAWN, EXPIRED}),
    WAITING: frozenset({SECOND, APPROVED, REJECTED, WITHDRAWN, EXPIRED, BLOCKED, WAITING}),
    SECOND: frozenset({APPROVED, REJECTED, WITHDRAWN, EXPIRED, BLOCKED, WAITING}),
    APPROVED: frozenset({EXECUTING, WAITING, WITHDRAWN, EXPIRED, BLOCKED, FAILED}),
    EXECUTING: frozenset({DONE, DECLINED, FAILED, UNKNOWN, APPROVED, WITHDRAWN}),
    UNKNOWN: frozenset({DONE, DECLINED, FAILED, APPROVED}),
}
"""What may follow what. A status that is not a key here is final."""

FOR_PEOPLE = (WAITING, SECOND)
STOPPABLE = (OBSERVED, BLOCKED, WAITING, SECOND, APPROVED)
"""What news may still withdraw: nothing of it has been called yet."""
CAME_TO_NOTHING = (REJECTED, WITHDRAWN, EXPIRED, BLOCKED, OBSERVED, FAILED, DECLINED)
"""After these the same step may be proposed anew."""
OPEN = (BLOCKED, WAITING, SECOND, APPROVED, EXECUTING, UNKNOWN)


def lock_case(case_id: UUID) -> Case:
    """The case, locked first in the order case → proposal → effect. Raises Refused when there is none."""
    case = Case.objects.select_for_update(of=("self",)).filter(pk=case_id).first()
    if case is None:
        raise Refused("no_such_case", "This case does not exist.")
    return case


def lock_proposal(proposal_id: UUID) -> tuple[Case, Proposal]:
    """A proposal and its case, both locked. Raises Refused when there is none."""
    case_id = Proposal.objects.filter(pk=proposal_id).values_list("case_id", flat=True).first()
    if case_id is None:
        raise Refused("no_such_proposal", "This proposal does not exist.")
    case = lock_case(case_id)
    proposal = Proposal.objects.select_for_update(of=("self",)).select_related("current").get(pk=proposal_id)
    proposal.case = case
    return case, proposal


def move(
    proposal: Proposal,
    to: str,
    actor: Actor,
    *,
    reason: str = "",
    user: User | None = None,
    kind: str = "",
    data: Mapping[str, Any] | None = None,
    counts: bool = True,
) -> None:
    """Take one step, with model history and a ledger entry in the same transaction. Raises Refused where NEXT has no such step.

    `counts=False` leaves the case's count of what waits to the caller, who takes several steps at once.
    """
    entry = step(proposal, to, actor, reason=reason, user=user, kind=kind, data=data)
    proposal.save()
    ledger.append_entry(entry)
    if counts:
        _count_waiting(proposal.case)


def step(
    proposal: Proposal,
    to: str,
    actor: Actor,
    *,
    reason: str = "",
    user: User | None = None,
    kind: str = "",
    data: Mapping[str, Any] | None = None,
) -> NewEntry:
    """The step of `move` on the instance alone: whoever takes it writes the row, its history and this entry in one transaction."""
    before = proposal.status
    if to not in NEXT.get(before, frozenset()):
        raise Refused("already_decided", f"This was {words(before)} meanwhile; it can no longer become {words(to)}.")
    proposal.status = to
    proposal.status_reason = reason
    if to not in NEXT:
        proposal.finished_at = clock.now()
    elif to == APPROVED:
        proposal.decided_at = clock.now()
    proposal._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
    proposal._change_reason = (f"{kind or to}: {reason}" if reason else kind or to)[:500]  # type: ignore[attr-defined]
    return of_proposal(
        kind or f"proposal.{to}",
        proposal,
        actor,
        {"from": before, "to": to, **({"reason": reason[:300]} if reason else {}), **(data or {})},
    )


def words(status: str) -> str:
    """A status as a person says it."""
    return {
        WAITING: "put back in the queue",
        SECOND: "approved by one person",
        UNKNOWN: "sent without an answer",
        OBSERVED: "only observed",
        "": "new",
    }.get(status, status)


def words_of_late(status: str) -> str:
    """Why an approval in this status cannot be taken back, as the end of a sentence. One that is approved still is at a worker already."""
    if status == DONE:
        return "it has gone out"
    return "it is going out just now" if status in (APPROVED, EXECUTING) else f"this was {words(status)}"


def waiting_of(case: Case) -> int:
    """How many of a case's proposals wait for a person."""
    return Proposal.objects.filter(case=case, status__in=FOR_PEOPLE).count()


def _count_waiting(case: Case) -> None:
    waiting = waiting_of(case)
    if case.waiting_count != waiting:
        case.waiting_count = waiting
        case.updated_at = clock.now()
        case.save_without_historical_record(update_fields=["waiting_count", "updated_at"])  # type: ignore[attr-defined]  # simple-history adds it to the model
