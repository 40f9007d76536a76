"""What colleagues and other systems wrote about a customer outside the sealed words: blanked when the customer is erased.

None of it is ever in the ledger, which could not be blanked.
"""

from __future__ import annotations

from approvals.models import Case, Decision, Execution, ExecutionAttempt, Proposal, Suppression

ERASED = "erased"


def erase(customer_id: str) -> None:
    """Blank every free text of this customer, in the rows and in their histories. Call it inside the erasing transaction."""
    proposals = Proposal.objects.filter(chargebee_customer_id=customer_id)
    executions = Execution.objects.filter(proposal__chargebee_customer_id=customer_id)
    Decision.objects.filter(proposal__in=proposals).exclude(note="").update(note=ERASED)
    executions.exclude(reason="").update(reason=ERASED)
    ExecutionAttempt.objects.filter(execution__in=executions).exclude(sentence="").update(sentence=ERASED)
    proposals.exclude(status_reason="").update(status_reason=ERASED)
    Proposal.history.filter(chargebee_customer_id=customer_id).update(status_reason="", history_change_reason=ERASED)
    Suppression.objects.filter(chargebee_customer_id=customer_id).exclude(reason="").update(reason=ERASED)
    Suppression.history.filter(chargebee_customer_id=customer_id).update(reason="", history_change_reason=ERASED)
    # A tag is a word of a colleague's own choosing.
    Case.objects.filter(chargebee_customer_id=customer_id).update(tags=[])
    Case.history.filter(chargebee_customer_id=customer_id).update(tags=[])
