"""Answer HELP to a text message with who we are and how to stop. The same words for everyone, so there is nothing to draft."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from approvals.actions.contract import Absent, CannotTell, Done, Look, Request, Settled, StillGoing
from approvals.contract import Check
from approvals.models import Execution, Proposal, Revision
from approvals.policy import consent
from approvals.policy.contact import contact_checks
from billing_ai.integrations import ports, registry
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal, Unknown

KEPT_FOR = timedelta(hours=24)
"""An answer that could not be given by then is not given any more."""


@dataclass(frozen=True)
class AnswerHelp:
    """One text message, in answer to the customer's own; it does not use up what the rule of frequency allows."""

    key: str = "answer_help"
    label: str = "Answer HELP"
    moves_money: bool = False
    channel: str = "sms"

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        return "Answers the customer's HELP by text message: who writes, where to ask, how to stop."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """The customer has a number and has not opted out meanwhile."""
        customer = reads.retrieve_customer(proposal.chargebee_customer_id)
        checks = [
            check
            for check in contact_checks(proposal.chargebee_customer_id, "sms", "reply", clock.now(), proposal_id=str(proposal.pk))
            if check.outcome == "deny"
        ]
        checks.append(consent.address_check("sms", customer.phone))
        if not customer.phone:
            checks.append(Check("look.no_phone", "deny", "The customer has no phone number any more."))
        if clock.now() - proposal.created_at > KEPT_FOR:
            checks.append(Check("look.too_late", "deny", "The customer asked more than a day ago."))
        return Look(tuple(checks), customer.phone)

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """The vendor's own words."""
        text = f"{settings.VENDOR_NAME}: messages about your invoices. Questions: {settings.SUPPORT_EMAIL}. Reply STOP to end messages."
        values = {
            "channel": "sms",
            "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "to_mark": consent.address_mark("sms", look.live),
        }
        return Request(values, sealed={"to": look.live, "text": text})

    def act(self, request: Request, *, key: str) -> Done:
        """Hand it over."""
        receipt = registry.sms().send(_message(request), key=key)
        return Done(receipt.reference, {"accepted_at": receipt.accepted_at.isoformat()})

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Ask the provider."""
        try:
            found = registry.sms().look_up(execution.idempotency_key, sms=_message(request), sent_after=since - timedelta(minutes=1))
        except Unknown as error:
            return CannotTell(error.sentence)
        if isinstance(found, ports.Found):
            return Done(found.receipt.reference)
        return StillGoing() if isinstance(found, ports.InProgress) else Absent(may_repeat=False)


def _message(request: Request) -> ports.OutgoingSms:
    if request.sealed is None:
        raise Terminal("message.erased", "The words can no longer be read: the customer was erased.")
    return ports.OutgoingSms(str(request.sealed["to"]), str(request.sealed["text"]))


ACTION = AnswerHelp()
