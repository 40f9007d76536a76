"""Charge the invoice at the planned time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from approvals import companions, states
from approvals.actions.contract import Absent, Done, Look, Request, Settled, StillGoing
from approvals.actions.second_look import look_at_invoice, payments_since
from approvals.contract import Check
from approvals.models import Execution, Proposal, Revision
from billing_ai.facts import models as facts
from billing_ai.integrations.chargebee import writes
from billing_ai.kernel import clock

KEY_HONOURED_FOR = timedelta(minutes=25)
"""Chargebee remembers a key for 30 minutes; five are kept in hand. After that the same key would charge again."""


@dataclass(frozen=True)
class CollectPayment:
    """`Invoice.collect_payment` for the whole amount due, on the customer's primary payment source."""

    key: str = "collect_payment"
    label: str = "Collect payment"
    moves_money: bool = True
    channel: str = ""
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        when = f" at {proposal.not_before:%A %d %B, %H:%M} UTC" if proposal.not_before else " now"
        return f"Charges the card on file for the amount due{when}, and holds Chargebee's own retries until then."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """Open, same amount, and a payment source that is still good."""
        checks, invoice = look_at_invoice(proposal)
        if invoice is None or any(check.outcome == "deny" for check in checks):
            return Look(tuple(checks))
        if invoice.amount_due_minor != proposal.amount_minor:
            checks.append(Check("look.amount_changed", "deny", "The amount due has changed since this was approved."))
        customer = facts.Customer.objects.filter(pk=proposal.chargebee_customer_id).first()
        if customer is None or customer.is_deleted or not customer.primary_payment_source_id:
            checks.append(Check("look.no_payment_source", "deny", "The customer has no payment method on file any more."))
        hold = companions.hold_of(proposal)
        if hold is not None and hold.status in (states.APPROVED, states.EXECUTING, states.UNKNOWN):
            again = clock.now() + timedelta(minutes=1)
            checks.append(Check("look.hold_first", "wait", "Chargebee's own retries are not held yet; ours waits for that.", again))
        elif hold is not None and hold.status == states.FAILED and invoice.dunning_status == "in_progress":
            checks.append(Check("look.not_held", "deny", "Chargebee's own retries could not be held, and would race ours."))
        return Look(tuple(checks), invoice)

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """The amount that was approved, and a comment by which the charge can be traced back."""
        return Request(
            {
                "invoice_id": proposal.chargebee_invoice_id,
                "amount_minor": proposal.amount_minor,
                "currency": proposal.currency,
                "comment": f"Retry approved in Billing AI, ref {key[:12]}",
            }
        )

    def act(self, request: Request, *, key: str) -> Done:
        """Charge. A decline raises Terminal(declined=True)."""
        collected = writes.collect_payment(
            request.values["invoice_id"],
            idempotency_key=key,
            amount_minor=request.values["amount_minor"],
            comment=request.values["comment"],
        )
        return Done(
            collected.transaction.id,
            {"transaction_id": collected.transaction.id, "status": collected.transaction.status, "replayed": collected.was_replayed},
        )

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Was anything charged on this invoice since we called? An attempt that failed settles it as declined."""
        tried = payments_since(request.values["invoice_id"], since - timedelta(seconds=60))
        for transaction_id, status in tried:
            if status == "success":
                return Done(transaction_id, {"transaction_id": transaction_id, "status": status})
            if status in ("in_progress", "needs_attention"):
                return StillGoing()
        if tried:
            return Done(tried[0][0], {"transaction_id": tried[0][0], "status": tried[0][1], "declined": True})
        first_sent = execution.first_sent_at or since
        return Absent(may_repeat=clock.now() - first_sent < KEY_HONOURED_FOR)


ACTION = CollectPayment()
