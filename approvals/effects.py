"""The one effect of an approved proposal: made ready for its time, or stopped before it was called. Whoever calls has locked the case."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from approvals import states
from approvals.ledger_notes import note_proposal
from approvals.models import Execution, Proposal
from audit.actor import Actor
from billing_ai.kernel import clock, ids
from billing_ai.work.models import Lane, Leased
from billing_ai.work.wake import wake

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_ACTOR = Actor("system", "approvals", "approvals")


def make_ready(
    proposal: Proposal,
    *,
    delay: timedelta,
    not_before_check: Any = None,
    began: datetime | None = None,
    behind: timedelta = timedelta(0),
) -> Execution:
    """The one effect of an approved proposal, waiting for its time. Called inside the approving transaction.

    `behind` is added last: what waits for the morning would otherwise all go out in the same second of it.
    """
    moments = [(began or clock.now()) + delay, *(moment for moment in (proposal.not_before, not_before_check) if moment is not None)]
    execution = Execution.objects.filter(proposal=proposal).first()
    if execution is None:
        # A step that came to nothing may be proposed anew; its effect is then another one, with another key.
        generation = Execution.objects.filter(
            proposal__chargebee_customer_id=proposal.chargebee_customer_id,
            proposal__chargebee_invoice_id=proposal.chargebee_invoice_id,
            action=proposal.action,
            proposal__step=proposal.step,
        ).count()
        key = ids.effect_key(proposal.chargebee_customer_id, proposal.chargebee_invoice_id, proposal.action, proposal.step, generation)
        execution = Execution(proposal=proposal, action=proposal.action, business_key=key, idempotency_key=key, trace_id=proposal.trace_id)
    execution.status, execution.reason, execution.lane = Leased.WAITING, "", Lane.PERSON
    execution.not_before = max(moments) + behind
    execution.save()
    note_proposal("execution.ready", proposal, _ACTOR, {"not_before": execution.not_before.isoformat()})
    wake("approvals.execute_due")
    return execution


def withdraw(proposal: Proposal, actor: Actor, reason: str, *, to: str = states.WITHDRAWN, user: User | None = None) -> bool:
    """Stop a proposal whose case is locked by the caller. False when it has been called already, and so cannot be stopped."""
    if proposal.status not in states.STOPPABLE:
        return False
    execution = Execution.objects.select_for_update().filter(proposal=proposal).first()
    if execution is not None:
        if execution.status not in (Leased.WAITING, Leased.LEASED, Leased.PARKED) or execution.first_sent_at is not None:
            return False
        park_effect(execution, reason)
    states.move(proposal, to, actor, reason=reason, user=user)
    return True


def park_effect(execution: Execution, reason: str) -> None:
    """It is not going to be made."""
    execution.status, execution.reason, execution.lease_until = Execution.WITHDRAWN, reason, None
    execution.save()
