"""Hand the case to the help desk, with the whole of it summarised, so that nobody starts from nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from approvals import case_facts
from approvals.actions.contract import Absent, Done, Look, Request, Settled, StillGoing
from approvals.actions.second_look import look_at_customer, look_at_invoice
from approvals.drafts.locales import date_text, money_text
from approvals.models import Execution, Proposal, Revision
from billing_ai.facts import queries
from billing_ai.integrations import ports, registry


@dataclass(frozen=True)
class CreateTicket:
    """An internal ticket; the customer is not told. Found again by its key."""

    key: str = "create_ticket"
    label: str = "Open a help-desk ticket"
    moves_money: bool = False
    channel: str = ""
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        return "Opens an internal ticket at the help desk with a summary of the case. The customer is not told."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """The case may be settled meanwhile; then no ticket is needed."""
        checks = look_at_invoice(proposal)[0] if proposal.chargebee_invoice_id else look_at_customer(proposal)
        checks = [check for check in checks if check.rule not in ("look.disputed", "look.promised", "look.amount_changed")]
        if any(check.outcome == "deny" for check in checks):
            return Look(tuple(checks))
        return Look(tuple(checks), case_facts.load(proposal.chargebee_customer_id, proposal.chargebee_invoice_id))

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """The summary, written from facts only."""
        live: case_facts.CaseFacts = look.live
        case = proposal.case
        about = _about_the_invoice(proposal, live) if live.invoice is not None else [f"What it is about: {case.headline}"]
        lines = [
            f"Customer {live.customer.id}{f', tier {case.tier}' if case.tier else ''}{f', {case.country}' if case.country else ''}",
            *about,
            *(f"- {reason['sentence']}" for reason in case.reasons[:8]),
            *([f"Other open invoices: {len(live.draft.other_invoices)}"] if live.invoice is not None else []),
            f"Suggested next step: {case.next_action or 'speak with the customer'}",
        ]
        subject = f"Payment failed: invoice {live.invoice.id}" if live.invoice is not None else f"Customer {live.customer.id} needs a look"
        return Request(
            values={"priority": str(revision.payload.get("priority", "normal")), "customer_id": live.customer.id, "kind": case.kind},
            sealed={"subject": subject, "body": "\n".join(lines)},
        )

    def act(self, request: Request, *, key: str) -> Done:
        """Open it."""
        sealed = dict(request.sealed or {})
        ticket = ports.NewTicket(
            subject=sealed["subject"],
            body=sealed["body"],
            customer_id=request.values["customer_id"],
            priority=request.values["priority"],
            tags=(request.values.get("kind", "dunning"),),
        )
        receipt = registry.helpdesk().create_ticket(ticket, key=key)
        return Done(receipt.reference, {"url": receipt.url})

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Is there a ticket with our key?"""
        found = registry.helpdesk().look_up(execution.idempotency_key)
        if isinstance(found, ports.Found):
            return Done(found.receipt.reference)
        return StillGoing() if isinstance(found, ports.InProgress) else Absent(may_repeat=True)


def _about_the_invoice(proposal: Proposal, live: case_facts.CaseFacts) -> list[str]:
    case, due = proposal.case, live.draft.invoice
    tries = queries.payments(proposal.chargebee_customer_id)
    failed = [one for one in tries if proposal.chargebee_invoice_id in one.invoice_ids and one.status == "failure"]
    return [
        f"Invoice {proposal.chargebee_invoice_id}: {money_text(due.amount_due, 'en')} due since {date_text(due.due_date, 'en')}",
        f"Why it failed: {case.category.replace('_', ' ') or 'unknown'}; {len(failed)} failed attempts",
        f"Likelihood that it comes in: {case.likelihood_bp / 100:.0f} %",
    ]


ACTION = CreateTicket()
