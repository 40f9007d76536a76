"""Tell colleagues, by an internal ticket at the help desk, that a customer needs a look. The customer is not told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from approvals.actions.contract import Absent, Done, Look, Request, Settled, StillGoing
from approvals.actions.second_look import approved_facts_still_hold, look_at_customer
from approvals.models import Execution, Proposal, Revision
from billing_ai.integrations import ports, registry

_PRIORITIES = ("low", "normal", "high", "urgent")


@dataclass(frozen=True)
class Alert:
    """Payload: customer_id, subject, note, priority. Found again by its key."""

    key: str = "alert"
    label: str = "Alert colleagues"
    moves_money: bool = False
    channel: str = ""
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        return f"Opens an internal ticket at the help desk: “{_subject(proposal, revision)}”. The customer is not told."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """The customer has to be there still."""
        return Look((*look_at_customer(proposal), *approved_facts_still_hold(proposal)))

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """What was approved, and why it was proposed."""
        note = str(revision.payload.get("note", "")).strip()
        why = [f"- {reason['sentence']}" for reason in proposal.reasons[:8] if reason.get("sentence")]
        priority = str(revision.payload.get("priority", "normal"))
        return Request(
            {"customer_id": proposal.chargebee_customer_id, "priority": priority if priority in _PRIORITIES else "normal"},
            sealed={"subject": _subject(proposal, revision), "body": "\n".join([f"Customer {proposal.chargebee_customer_id}", note, *why])},
        )

    def act(self, request: Request, *, key: str) -> Done:
        """Open it."""
        sealed = dict(request.sealed or {})
        ticket = ports.NewTicket(
            sealed["subject"],
            sealed["body"],
            request.values["customer_id"],
            priority=request.values["priority"],
            tags=("churn",),
        )
        receipt = registry.helpdesk().create_ticket(ticket, key=key)
        return Done(receipt.reference, {"url": receipt.url})

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Is there a ticket with our key?"""
        found = registry.helpdesk().look_up(execution.idempotency_key)
        if isinstance(found, ports.Found):
            return Done(found.receipt.reference)
        return StillGoing() if isinstance(found, ports.InProgress) else Absent(may_repeat=True)


def _subject(proposal: Proposal, revision: Revision) -> str:
    subject = " ".join(str(revision.payload.get("subject", "")).split())[:200]
    return subject or f"Customer {proposal.chargebee_customer_id} needs a look"


ACTION = Alert()
