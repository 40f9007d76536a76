"""What goes along with an action without a decision of its own: Chargebee's dunning is held before our retry, and let go after it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from approvals import states
from approvals.models import Case, Decision, Proposal
from approvals.revisions import new_revision
from audit.actor import Actor
from billing_ai.facts.models import Invoice
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import clock

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_MARGIN = timedelta(days=1)


def hold_native_dunning(case: Case, retry: Proposal, actor: Actor, user: User | None) -> Proposal | None:
    """Ordered with the approval of a retry: Chargebee's own tries wait until a day after ours. None when it is not trying."""
    invoice = Invoice.objects.filter(pk=case.chargebee_invoice_id).first()
    if invoice is None or invoice.dunning_status != "in_progress":
        return None
    until = (retry.not_before or clock.now()) + _MARGIN
    return order(case, "pause_dunning", f"hold:{retry.pk}", {"until": until.isoformat()}, actor, user, "goes with the approved retry")


def release_native_dunning(case: Case, retry: Proposal, actor: Actor) -> Proposal | None:
    """Ordered when our retry came to nothing: Chargebee may go on. None when we never held it."""
    held = case.proposals.filter(action="pause_dunning", step=f"hold:{retry.pk}", status=states.DONE).exists()
    if not held:
        return None
    return order(case, "resume_dunning", f"release:{retry.pk}", {}, actor, None, "our retry has ended")


def order(
    case: Case, action: str, step: str, payload: dict[str, object], actor: Actor, user: User | None, reason: str, agent: str = ""
) -> Proposal | None:
    """An approved proposal that follows from another decision. None when the same step was ordered before."""
    from approvals.transitions import make_ready

    if case.proposals.filter(action=action, step=step).exists():
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
