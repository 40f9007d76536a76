"""Hold Chargebee's own dunning while ours runs, and let it go again. Both set a state: doing them twice changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from approvals import companions
from approvals.actions.contract import Absent, Done, Look, Request, Settled
from approvals.actions.second_look import look_at_invoice
from approvals.contract import Check
from approvals.models import Execution, Proposal, Revision
from billing_ai.integrations.chargebee import reads, writes
from billing_ai.kernel import clock


@dataclass(frozen=True)
class PauseDunning:
    """`Invoice.pause_dunning` until a day; on that day Chargebee tries by itself, so it lies after our own try."""

    key: str = "pause_dunning"
    label: str = "Hold Chargebee's retries"
    moves_money: bool = False
    channel: str = ""
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        return "Holds Chargebee's own retries of this invoice, so that they do not race ours."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """Only a running dunning can be held; one that is not running needs no hold."""
        checks, invoice = look_at_invoice(proposal, needs_open=False)
        if invoice is not None and invoice.dunning_status != "in_progress":
            checks.append(Check("look.dunning_not_running", "deny", "Chargebee is not retrying this invoice, so there is nothing to hold."))
        if not companions.retry_stands(proposal):
            checks.append(Check("look.retry_gone", "deny", "The retry that this hold belongs to is no longer going to be made."))
        return Look(tuple(checks), invoice)

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """Until the named moment, or that many days from now."""
        named = revision.payload.get("until")
        until = datetime.fromisoformat(named) if named else clock.now() + timedelta(days=int(revision.payload.get("days", 7)))
        return Request({"invoice_id": proposal.chargebee_invoice_id, "until": max(until, clock.now() + timedelta(hours=1)).isoformat()})

    def act(self, request: Request, *, key: str) -> Done:
        """Hold."""
        written = writes.pause_dunning(
            request.values["invoice_id"], expected_payment_date=datetime.fromisoformat(request.values["until"]), idempotency_key=key
        )
        return Done(written.resource.id, {"dunning_status": written.resource.dunning_status})

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Is it held?"""
        invoice = reads.retrieve_invoice(request.values["invoice_id"])
        if invoice.dunning_status == "in_progress" and invoice.expected_payment_at is None:
            return Absent(may_repeat=True)
        return Done(invoice.id, {"dunning_status": invoice.dunning_status})


@dataclass(frozen=True)
class ResumeDunning:
    """`Invoice.resume_dunning`: ours has let go."""

    key: str = "resume_dunning"
    label: str = "Let Chargebee's retries go on"
    moves_money: bool = False
    channel: str = ""
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        return "Lets Chargebee's own retries of this invoice go on."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """Only on an invoice that is still open."""
        checks, invoice = look_at_invoice(proposal, needs_open=False)
        if invoice is not None and (invoice.amount_due_minor <= 0 or invoice.dunning_status not in ("paused", "in_progress", "stopped")):
            checks.append(Check("look.nothing_to_resume", "deny", "Nothing is held on this invoice any more."))
        return Look(tuple(checks), invoice)

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """Only the invoice."""
        return Request({"invoice_id": proposal.chargebee_invoice_id})

    def act(self, request: Request, *, key: str) -> Done:
        """Let go."""
        written = writes.resume_dunning(request.values["invoice_id"], idempotency_key=key)
        return Done(written.resource.id, {"dunning_status": written.resource.dunning_status})

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Is it running again?"""
        invoice = reads.retrieve_invoice(request.values["invoice_id"])
        if invoice.expected_payment_at is not None and invoice.amount_due_minor > 0:
            return Absent(may_repeat=True)
        return Done(invoice.id, {"dunning_status": invoice.dunning_status})


PAUSE, RESUME = PauseDunning(), ResumeDunning()
