"""Pause the subscription for a time, instead of losing it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from approvals.actions.contract import Absent, Done, Look, Request, Settled
from approvals.actions.second_look import look_at_invoice
from approvals.contract import Check
from approvals.models import Execution, Proposal, Revision
from billing_ai.integrations.chargebee import reads, writes
from billing_ai.kernel import clock


@dataclass(frozen=True)
class PauseSubscription:
    """`Subscription.pause` now, to resume by itself; Chargebee's dunning of what is due goes on."""

    key: str = "pause_subscription"
    label: str = "Pause the subscription"
    moves_money: bool = False
    channel: str = ""
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        return f"Pauses the subscription for {revision.payload.get('days', 30)} days; it resumes by itself."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """Only an active subscription can be paused."""
        checks, _ = look_at_invoice(proposal)
        subscription = reads.retrieve_subscription(str(revision.payload["subscription_id"]))
        if subscription.status != "active":
            checks.append(Check("look.subscription_active", "deny", f"The subscription is {subscription.status.replace('_', ' ')}."))
        if subscription.customer_id != proposal.chargebee_customer_id:
            checks.append(Check("look.other_customer", "deny", "The subscription belongs to another customer."))
        return Look(tuple(checks), subscription)

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """Which one, and until when."""
        resume = clock.now() + timedelta(days=int(revision.payload.get("days", 30)))
        return Request({"subscription_id": str(revision.payload["subscription_id"]), "resume": resume.isoformat()})

    def act(self, request: Request, *, key: str) -> Done:
        """Pause it."""
        written = writes.pause_subscription(
            request.values["subscription_id"], idempotency_key=key, resume_date=datetime.fromisoformat(request.values["resume"])
        )
        return Done(written.resource.id, {"status": written.resource.status})

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Is it paused?"""
        subscription = reads.retrieve_subscription(request.values["subscription_id"])
        if subscription.status == "paused" or subscription.pause_date is not None:
            return Done(subscription.id, {"status": subscription.status})
        return Absent(may_repeat=True)


ACTION = PauseSubscription()
