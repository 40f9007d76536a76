"""Which effects the customer hears of, and the row that the rules of frequency count for each."""

from __future__ import annotations

from approvals.models import Contact, Execution, Proposal
from approvals.policy.contact_rules import CONFIRMATION, REPLY

KINDS: dict[str, str] = {"send_message": "dunning", "answer_help": REPLY, "confirm_opt_out": CONFIRMATION}
"""Action → kind of contact."""


def note_contact(execution: Execution, proposal: Proposal) -> None:
    """The effect reached the customer. Once an effect, however often it is settled; nothing for one of which the customer does not hear."""
    kind = KINDS.get(execution.action)
    if kind is None:
        return
    Contact.objects.get_or_create(
        execution=execution,
        defaults={
            "chargebee_customer_id": proposal.chargebee_customer_id,
            "case": proposal.case,
            "channel": str(execution.request.get("channel", "email")),
            "kind": kind,
        },
    )
