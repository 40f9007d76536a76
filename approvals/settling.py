"""What became of a call whose answer was lost: the other system is asked, and what cannot be settled there waits for a person."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from approvals import states
from approvals.actions import ACTIONS
from approvals.actions.contract import Absent, CannotTell, StillGoing
from approvals.aftermath import after_end
from approvals.execution import ACTOR, finish, frozen_request
from approvals.ledger_notes import note_proposal
from approvals.models import Execution
from audit.actor import acting
from billing_ai.integrations.chargebee import budget
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Retryable, Terminal, Unknown
from billing_ai.work import claims
from billing_ai.work.models import Leased


def expire_leases() -> int:
    """What was `executing` when its worker died: nobody knows whether it happened. Returns how many became `unknown`."""
    stale = Execution.objects.filter(status=Execution.EXECUTING, lease_until__lt=claims.db_now()).values_list("pk", "proposal_id")[:200]
    moved = 0
    for pk, proposal_id in list(stale):
        with transaction.atomic():
            _, proposal = states.lock_proposal(proposal_id)
            held = Execution.objects.select_for_update().get(pk=pk)
            if held.status != Execution.EXECUTING or held.lease_until is None or held.lease_until >= claims.db_now():
                continue
            held.attempts.filter(outcome="executing").update(outcome=Execution.UNKNOWN, sentence="the worker ended before the answer came")
            held.status, held.lease_until, held.settle_after = Execution.UNKNOWN, None, clock.now()
            held.reason = "The worker ended before the answer came."
            held.save()
            states.move(proposal, states.UNKNOWN, ACTOR, kind="execution.unknown", reason=held.reason)
            moved += 1
    return moved


def settle_unknowns(limit: int = 50) -> int:
    """Ask the other system about each effect whose answer was lost. Returns how many were settled."""
    settled = 0
    due = Execution.objects.filter(status=Execution.UNKNOWN, settle_after__lte=claims.db_now()).order_by("settle_after")[:limit]
    for execution in due.select_related("proposal__case"):
        with acting(ACTOR, execution.trace_id), budget.at_least(budget.Lane.EXECUTION):
            settled += _settle(execution)
    return settled


def _settle(execution: Execution) -> bool:
    action = ACTIONS[execution.action]
    request = frozen_request(execution)
    last = execution.attempts.order_by("-number").first()
    since: datetime = last.started_at if last else execution.first_sent_at or clock.now()
    if request is None:
        return _to_person(execution, "The frozen request can no longer be read (the customer was erased), so it cannot be looked for.")
    try:
        found = action.look_up(execution, request, since=since)
    except (Retryable, Unknown) as error:
        Execution.objects.filter(pk=execution.pk, status=Execution.UNKNOWN).update(
            settle_after=clock.now() + timedelta(minutes=2), reason=error.sentence
        )
        return False
    except Terminal as error:
        return _to_person(execution, error.sentence)
    if isinstance(found, StillGoing):
        Execution.objects.filter(pk=execution.pk, status=Execution.UNKNOWN).update(settle_after=clock.now() + timedelta(minutes=2))
        return False
    if isinstance(found, CannotTell):
        return _to_person(execution, found.sentence)
    if isinstance(found, Absent) and not found.may_repeat:
        return _to_person(execution, "The other system has nothing of it, and it is too late to repeat it safely.")
    with transaction.atomic():
        case, proposal = states.lock_proposal(execution.proposal_id)
        held = Execution.objects.select_for_update().get(pk=execution.pk)
        if held.status != Execution.UNKNOWN:
            return False
        if isinstance(found, Absent) and held.attempt >= held.max_attempts:
            return _to_person(execution, f"No answer came in {held.attempt} attempts, and the other system has nothing of it.")
        if isinstance(found, Absent):
            held.status, held.not_before, held.reason = Leased.WAITING, clock.now(), "not there: the same request again, under the same key"
            held.save()
            states.move(proposal, states.APPROVED, ACTOR, kind="execution.absent", reason=held.reason)
            return True
        outcome = Execution.DECLINED if found.data.get("declined") else Leased.DONE
        finish(held, proposal, outcome, done=found, reason="", settled_by="look-up")
        after_end(case, proposal, held)
    return True


def _to_person(execution: Execution, sentence: str) -> bool:
    with transaction.atomic():
        case, proposal = states.lock_proposal(execution.proposal_id)
        held = Execution.objects.select_for_update().get(pk=execution.pk)
        if held.status != Execution.UNKNOWN:
            return False
        held.status, held.reason, held.settle_after = Execution.PERSON, sentence, None
        held.save()
        proposal.status_reason = sentence
        proposal.save()
        case.escalated_to_lead = True
        case.save()
        note_proposal("execution.needs_person", proposal, ACTOR, {"why": sentence[:300]})
    return True
