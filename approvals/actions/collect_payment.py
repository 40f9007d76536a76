"""Charge the invoice at the planned time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from approvals import companions, states
from approvals.actions.contract import Absent, CannotTell, Done, Look, Request, Settled, StillGoing
from approvals.actions.second_look import look_at_invoice, payments_since
from approvals.contract import Check
from approvals.models import Execution, Proposal, Revision
from billing_ai.facts import models as facts
from billing_ai.integrations.chargebee import reads, writes
from billing_ai.integrations.chargebee.payment_resources import Transaction
from billing_ai.integrations.chargebee.reads import EVENT_LIST_LAG
from billing_ai.kernel import clock

KEY_HONOURED_FOR = timedelta(minutes=25)
"""Chargebee remembers a key for 30 minutes; five are kept in hand. After that the same key would charge again."""
_CLOCKS_DIFFER_BY = timedelta(seconds=60)
_OVER_THE_API = "api"
_TELL_OF_ATTEMPTS = ("payment_initiated", "payment_failed", "payment_succeeded")


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
        when = "at the time below" if proposal.not_before else "now"
        return f"Charges the card on file for the amount due {when}, and holds Chargebee's own retries until then."

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
        """Was our charge made? What was tried on the invoice since is ours when it came over the API, for our amount, and is the only such.

        A failure of ours settles it as declined. Chargebee's own retries and what customers and colleagues tried are not ours. A person decides
        between two that came over the API, and when Chargebee does not say where one came from.
        """
        began = since - _CLOCKS_DIFFER_BY
        alike = [one for one in payments_since(request.values["invoice_id"], began) if _may_be_ours(one, request)]
        sources = _sources({one.id for one in alike}, began) if alike else {}
        ours = [one for one in alike if sources.get(one.id, _OVER_THE_API) == _OVER_THE_API]
        if not ours:
            first_sent = execution.first_sent_at or since
            return Absent(may_repeat=clock.now() - first_sent < KEY_HONOURED_FOR)
        if any(one.status in ("in_progress", "needs_attention") for one in ours):
            return StillGoing()
        unsaid = [one for one in ours if one.id not in sources]
        if any(one.at is not None and clock.now() - one.at < EVENT_LIST_LAG for one in unsaid):
            return StillGoing()
        if unsaid:
            return CannotTell(f"Chargebee does not say who made the attempt {unsaid[0].id}: we, or its own retries.")
        if len(ours) > 1:
            return CannotTell(f"{len(ours)} attempts came over the API since the call, for the same amount; which is ours cannot be told.")
        [found] = ours
        data = {"transaction_id": found.id, "status": found.status}
        return Done(found.id, data if found.status == "success" else data | {"declined": True})


def _may_be_ours(tried: Transaction, request: Request) -> bool:
    """We charge as the merchant, and the amount that was approved. What Chargebee left unsaid is not held against it."""
    same = (tried.amount_minor, tried.currency) == (request.values["amount_minor"], request.values["currency"])
    return same and tried.type == "payment" and tried.initiator_type != "customer"


def _sources(transaction_ids: set[str], began: datetime) -> dict[str, str]:
    """Where each attempt came from, in Chargebee's words (`api`, `scheduled_job`, `admin_console`, `hosted_page` …), from its list of events.

    Missing: the list has nothing of it yet, or never will. Source: Chargebee event.source.
    """
    found: dict[str, str] = {}
    for event in reads.list_events(occurred_after=began, event_types=_TELL_OF_ATTEMPTS):
        for transaction_id in transaction_ids.intersection(event.ids_of("transaction")):
            found.setdefault(transaction_id, event.source)
        if found.keys() == transaction_ids:
            break
    return {transaction_id: source for transaction_id, source in found.items() if source}


ACTION = CollectPayment()
