"""Write down in Chargebee what was decided, as an internal comment on the invoice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from approvals.actions.contract import Absent, Done, Look, Request, Settled
from approvals.actions.second_look import look_at_invoice
from approvals.models import Execution, Proposal, Revision
from billing_ai.integrations.chargebee import reads, writes


@dataclass(frozen=True)
class AddComment:
    """`Comment.create` on the invoice. The reference at its end is how a lost answer is settled."""

    key: str = "add_comment"
    label: str = "Comment in Chargebee"
    moves_money: bool = False
    channel: str = ""
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        return "Adds this internal comment to the invoice in Chargebee. The customer does not see it."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """The invoice has to exist; a comment on a paid one does no harm."""
        checks, invoice = look_at_invoice(proposal, needs_open=False)
        return Look(tuple(checks), invoice)

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """The notes that were approved, with a reference."""
        reference = f" [billing-ai {key[:12]}]"
        return Request(
            {
                "invoice_id": proposal.chargebee_invoice_id,
                "notes": str(revision.payload["notes"])[: writes.LONGEST_NOTE - len(reference)] + reference,
                "reference": reference.strip(),
            }
        )

    def act(self, request: Request, *, key: str) -> Done:
        """Write it."""
        written = writes.create_comment("invoice", request.values["invoice_id"], request.values["notes"], idempotency_key=key)
        return Done(written.resource.id)

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Is a comment with our reference there?"""
        for comment in reads.list_comments(entity_type="invoice", entity_id=request.values["invoice_id"]):
            if request.values["reference"] in comment.notes:
                return Done(comment.id)
        return Absent(may_repeat=True)


ACTION = AddComment()
