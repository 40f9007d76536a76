"""What goes along with an action without a decision of its own: Chargebee's dunning is held before our retry, and let go after it.

A hold and its release carry the retry in their step, so that both are found again whatever stopped in between: the retry waits for its hold,
a hold whose retry is gone is not made, and `let_go_of_dunning` (a sweep) releases what is held for a retry that no longer stands.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Replace

from approvals import states
from approvals.effects import make_ready
from approvals.models import Case, Decision, Proposal
from approvals.revisions import new_revision
from audit.actor import Actor, system
from billing_ai.facts.models import Invoice
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import clock

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_MARGIN = timedelta(days=1)
HOLD, RELEASE = "hold:", "release:"
_STANDS = (states.APPROVED, states.EXECUTING, states.UNKNOWN)
"""A retry in one of these still needs its hold. After one that is done the invoice is paid, and nothing is retried any more."""
_ACTOR = system("dunning_hold")


def hold_native_dunning(case: Case, retry: Proposal, actor: Actor, user: User | None) -> Proposal | None:
    """Ordered with the approval of a retry: Chargebee's own tries wait until a day after ours. None when it is not trying."""
    invoice = Invoice.objects.filter(pk=case.chargebee_invoice_id).first()
    if invoice is None or invoice.dunning_status != "in_progress":
        return None
    until = (retry.not_before or clock.now()) + _MARGIN
    return order(case, "pause_dunning", _step(case, HOLD, retry), {"until": until.isoformat()}, actor, user, "goes with the approved retry")


def release_native_dunning(case: Case, retry: Proposal, actor: Actor) -> Proposal | None:
    """Ordered when our retry came to nothing: Chargebee may go on. None when we never held it, or let go of it already."""
    if not case.proposals.filter(action="pause_dunning", step=_step(case, HOLD, retry), status=states.DONE).exists():
        return None
    return order(case, "resume_dunning", _step(case, RELEASE, retry), {}, actor, None, "our retry has ended")


def hold_of(retry: Proposal) -> Proposal | None:
    """The newest hold that was ordered for this retry."""
    holds = Proposal.objects.filter(case_id=retry.case_id, action="pause_dunning", step__startswith=f"{HOLD}{retry.pk}")
    return holds.order_by("-created_at", "-pk").first()


def retry_stands(hold: Proposal) -> bool:
    """Is the retry that this hold was ordered for still going to be made? True for a hold that belongs to no retry."""
    retry_id = _retry_id(hold.step)
    return retry_id is None or Proposal.objects.filter(pk=retry_id, status__in=_STANDS).exists()


def let_go_of_dunning(limit: int = 200) -> int:
    """Release each hold whose retry was withdrawn, undone, rejected or has failed. Safe to repeat. Returns how many were ordered.

    Not while the case is disputed or promised: nothing of Chargebee's should charge then either.
    """
    released = Proposal.objects.filter(
        case=OuterRef("case"), action="resume_dunning", step=Replace(OuterRef("step"), Value(HOLD), Value(RELEASE))
    )
    held = Proposal.objects.filter(action="pause_dunning", step__startswith=HOLD, status=states.DONE, case__status=Case.OPEN)
    ordered = 0
    for case_id, step in list(held.filter(~Exists(released)).order_by("pk").values_list("case_id", "step")[:limit]):
        with transaction.atomic():
            case = states.lock_case(case_id)
            retry_id = _retry_id(step)
            retry = Proposal.objects.filter(pk=retry_id).first() if retry_id is not None else None
            if case.status == Case.OPEN and retry is not None and retry.status not in (*_STANDS, states.DONE):
                release = step.replace(HOLD, RELEASE, 1)
                ordered += order(case, "resume_dunning", release, {}, _ACTOR, None, "our retry no longer stands") is not None
    return ordered


def _step(case: Case, what: str, retry: Proposal) -> str:
    """The step of a hold or its release; a retry that was approved anew after its hold was let go gets another one."""
    let_go = case.proposals.filter(action="resume_dunning", step__startswith=f"{RELEASE}{retry.pk}").count()
    return f"{what}{retry.pk}" + (f":{let_go}" if let_go else "")


def _retry_id(step: str) -> UUID | None:
    return UUID(step.removeprefix(HOLD)[:36]) if step.startswith(HOLD) else None


def order(
    case: Case, action: str, step: str, payload: dict[str, object], actor: Actor, user: User | None, reason: str, agent: str = ""
) -> Proposal | None:
    """An approved proposal that follows from another decision. None when the same step was ordered before and has not come to nothing."""
    if case.proposals.filter(action=action, step=step).exclude(status__in=states.CAME_TO_NOTHING).exists():
        return None
    proposal = Proposal(
        case=case,
        agent=agent or case.agent,
        action=action,
        step=step,
        status=states.APPROVED,
        chargebee_customer_id=case.chargebee_customer_id,
        chargebee_invoice_id=case.chargebee_invoice_id,
        currency=case.currency,
        amount_minor=0,
        facts_hash=facts_hash(case.chargebee_invoice_id, case.chargebee_customer_id),
        expires_at=clock.now() + timedelta(days=2),
        trace_id=case.trace_id,
    )
    proposal.save_without_historical_record(force_insert=True)  # type: ignore[attr-defined]  # simple-history adds it to the model
    revision = new_revision(proposal, payload, None, author=user, findings=[])
    proposal.status = ""
    states.move(proposal, states.APPROVED, actor, user=user, reason=reason)
    Decision.objects.create(
        proposal=proposal,
        revision=revision,
        kind="approve",
        by=user,
        by_policy="" if user else reason,
        role="" if user else "policy",
        content_hash=revision.content_hash,
        facts_hash=proposal.facts_hash,
    )
    make_ready(proposal, delay=timedelta(0))
    return proposal
