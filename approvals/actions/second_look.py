"""The second look that every action takes: what has changed since a person or a policy said yes."""

from __future__ import annotations

from datetime import datetime

from approvals.actions.contract import Look
from approvals.contract import Check
from approvals.models import Case, Proposal
from billing_ai.facts import queries, sync
from billing_ai.facts.models import Invoice
from billing_ai.integrations.chargebee import reads
from billing_ai.integrations.chargebee.payment_resources import Transaction
from billing_ai.kernel.errors import Terminal

_ENDED = {
    "paid": "The invoice was paid meanwhile.",
    "voided": "The invoice was voided meanwhile.",
    "pending": "The invoice is not final yet.",
}


def look_at_invoice(proposal: Proposal, *, needs_open: bool = True) -> tuple[list[Check], Invoice | None]:
    """Fetch the invoice and compare it with what was approved. Raises Retryable when Chargebee is away."""
    try:
        invoice = sync.refresh_invoice(proposal.chargebee_invoice_id)
    except Terminal as error:
        return [Check("look.invoice_gone", "deny", f"Chargebee no longer has this invoice ({error.sentence})")], None
    checks: list[Check] = []
    if needs_open and not queries.is_open(invoice):
        sentence = _ENDED.get(invoice.status, f"Nothing is owed on the invoice any more (it is {invoice.status.replace('_', ' ')}).")
        checks.append(Check("look.invoice_open", "deny", sentence))
    elif needs_open and invoice.amount_due_minor != proposal.case.amount_due_minor:
        checks.append(Check("look.amount_changed", "deny", "The amount due has changed since this was approved."))
    if invoice.chargebee_customer_id != proposal.chargebee_customer_id:
        checks.append(Check("look.other_customer", "deny", "The invoice belongs to another customer."))
    status = Case.objects.filter(pk=proposal.case_id).values_list("status", flat=True).first()
    if needs_open and status == Case.DISPUTED:
        checks.append(Check("look.disputed", "deny", "The invoice is in dispute."))
    if needs_open and status == Case.PROMISED:
        checks.append(Check("look.promised", "deny", "The customer has promised to pay."))
    return checks, invoice


def approved_facts_still_hold(proposal: Proposal) -> list[Check]:
    """The facts in the approval's hash, compared with the facts as they are now."""
    decision = proposal.decisions.filter(kind="approve").order_by("-at").first()
    if decision is None:
        return [Check("look.no_approval", "deny", "Nobody has approved this.")]
    if proposal.current is None or decision.content_hash != proposal.current.content_hash:
        return [Check("look.other_revision", "deny", "The approval was for another text.")]
    if queries.facts_hash(proposal.chargebee_invoice_id, proposal.chargebee_customer_id) != decision.facts_hash:
        return [Check("look.facts_changed", "deny", "The invoice or the customer has changed since this was approved.")]
    return []


def look_at_customer(proposal: Proposal) -> list[Check]:
    """What a step about the customer as a whole rests on: that they are still there. Raises Retryable when Chargebee is away."""
    try:
        customer = reads.retrieve_customer(proposal.chargebee_customer_id)
    except Terminal as error:
        return [Check("look.customer_gone", "deny", f"Chargebee no longer has this customer ({error.sentence})")]
    if customer.is_deleted:
        return [Check("look.customer_gone", "deny", "The customer was deleted in Chargebee.")]
    return [Check("look.customer", "allow", "The customer is still there.")]


def payments_since(invoice_id: str, since: datetime) -> list[Transaction]:
    """What was tried on the invoice since a moment, whoever tried, newest first, by asking Chargebee."""
    found = [one for one in reads.payments_for_invoice(invoice_id) if one.at is not None and one.at >= since]
    return sorted(found, key=lambda one: one.at or since, reverse=True)


def stop(*checks: Check) -> Look:
    """A look that found nothing but these checks."""
    return Look(tuple(checks))
