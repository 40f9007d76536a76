"""What answers a customer's own text message: HELP with who we are and how to stop, STOP with one confirmation. Fixed words in the customer's language
(`drafts/fixed_words.json`), nothing to draft."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from django.conf import settings

from approvals.actions.contract import Absent, CannotTell, Done, Look, Request, Settled, StillGoing
from approvals.contract import Check
from approvals.drafts.fixed_words import FixedWords, fixed_words
from approvals.drafts.sms import to_gsm_spacing
from approvals.models import Execution, Proposal, Revision
from approvals.policy import consent
from approvals.policy.contact import contact_checks
from approvals.policy.contact_rules import CONFIRMATION, REPLY
from billing_ai.facts.models import Customer
from billing_ai.integrations import ports, registry
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from billing_ai.kernel.errors import Terminal, Unknown

KEPT_FOR = timedelta(hours=24)
"""An answer to HELP that could not be given by then is not given any more. A confirmation has its own rule, of minutes."""


@dataclass(frozen=True)
class TextReply:
    """One text message in answer to the customer's own; `kind` is the contact that it counts as, which no rule of frequency counts."""

    key: str
    label: str
    kind: str
    does: str
    words: Callable[[FixedWords], str]
    moves_money: bool = False
    channel: str = "sms"
    calls_to_freeze: bool = False

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        return self.does

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """The number is the one that asked, and the rules allow this kind of answer at this minute."""
        number = reads.retrieve_customer(proposal.chargebee_customer_id).phone
        now = clock.now()
        allowed = contact_checks(proposal.chargebee_customer_id, "sms", self.kind, now, proposal_id=str(proposal.pk))
        checks = [check for check in allowed if check.outcome == "deny"]
        asked_from = str(revision.payload.get("mark", ""))
        if not number:
            checks.append(Check("look.no_phone", "deny", "The customer has no phone number any more."))
        elif asked_from and asked_from != consent.address_mark("sms", number):
            checks.append(Check("look.other_phone", "deny", "The customer has another phone number by now."))
        if self.kind != CONFIRMATION:
            checks.append(consent.address_check("sms", number))
            if now - proposal.created_at > KEPT_FOR:
                checks.append(Check("look.too_late", "deny", "The customer asked more than a day ago."))
        return Look(tuple(checks), number)

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """The vendor's own words."""
        locale = Customer.objects.filter(pk=proposal.chargebee_customer_id).values_list("locale", flat=True).first() or "en"
        words = self.words(fixed_words(locale)).format(vendor=settings.VENDOR_NAME, support=settings.SUPPORT_EMAIL)
        text = to_gsm_spacing(words)
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


HELP = TextReply(
    key="answer_help",
    label="Answer HELP",
    kind=REPLY,
    does="Answers the customer's HELP by text message: who writes, where to ask, how to stop.",
    words=attrgetter("sms_help"),
)
CONFIRM_STOP = TextReply(
    key="confirm_opt_out",
    label="Confirm STOP",
    kind=CONFIRMATION,
    does="Confirms by one text message that there will be no more of them.",
    words=attrgetter("sms_stopped"),
)
