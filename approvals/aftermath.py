"""What follows in a case when one of its effects has ended."""

from __future__ import annotations

from approvals import states
from approvals.companions import release_native_dunning
from approvals.models import Case, Execution, Proposal
from approvals.policy import consent
from approvals.signals import effect_ended
from audit.actor import Actor

OPTED_OUT_AT_PROVIDER = "sms.opted_out"
_ACTOR = Actor("system", "aftermath", "aftermath")


def after_end(case: Case, proposal: Proposal, execution: Execution) -> None:
    """Called in the transaction that ended the effect, with the case and the proposal locked."""
    if (
        proposal.action == "collect_payment"
        and proposal.status in (states.DECLINED, states.FAILED, states.WITHDRAWN)
        and case.status in Case.ACTIVE
    ):
        release_native_dunning(case, proposal, _ACTOR)
    if proposal.status == states.FAILED and execution.attempts.filter(code=OPTED_OUT_AT_PROVIDER).exists():
        # The provider heard a STOP that never reached us.
        consent.record(proposal.chargebee_customer_id, "sms", granted=False, source="reply", trace_id=proposal.trace_id)
    effect_ended.send(sender=Execution, case=case, proposal=proposal, execution=execution)
