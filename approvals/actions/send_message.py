"""Send the approved words by mail or SMS, rendered from the facts of this moment."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from approvals import case_facts
from approvals.actions.contract import Absent, CannotTell, Done, Look, Request, Settled, StillGoing
from approvals.actions.second_look import approved_facts_still_hold, look_at_customer, look_at_invoice
from approvals.contract import Check
from approvals.drafts.facts import DraftFacts
from approvals.models import Execution, Proposal, Revision
from approvals.policy import consent
from approvals.revisions import hash_of, origin_of, read_words, render_and_verify
from audit.seal import Erased
from billing_ai.integrations import ports, registry
from billing_ai.integrations.chargebee import writes
from billing_ai.kernel.errors import Terminal, Unknown
from billing_ai.kernel.ids import effect_key


@dataclass(frozen=True)
class SendMessage:
    """Mail or SMS to the customer. An answer that was lost goes to a person: a second message is worse than none."""

    key: str = "send_message"
    label: str = "Send message"
    moves_money: bool = False
    channel: str = "email"
    calls_to_freeze: bool = True

    def describe(self, proposal: Proposal, revision: Revision) -> str:
        """What approving does, in a sentence."""
        way = "text message" if revision.channel == "sms" else "e-mail"
        return f"Sends this {way} to the customer, once the time to undo it is over."

    def look_again(self, proposal: Proposal, revision: Revision) -> Look:
        """Invoice open, same amount (or the customer still there, where it is about no invoice), reachable, and the words still true."""
        checks = look_at_invoice(proposal)[0] if proposal.chargebee_invoice_id else look_at_customer(proposal)
        if any(check.outcome == "deny" for check in checks):
            return Look(tuple(checks))
        checks += approved_facts_still_hold(proposal)
        live = case_facts.load(proposal.chargebee_customer_id, proposal.chargebee_invoice_id, proposal=proposal)
        if revision.channel == "sms" and not live.phone:
            checks.append(Check("look.no_phone", "deny", "The customer has no phone number any more."))
        if revision.channel != "sms" and "@" not in live.email:
            checks.append(Check("look.no_email", "deny", "The customer has no e-mail address any more."))
        checks.append(consent.address_check(revision.channel or "email", live.phone if revision.channel == "sms" else live.email))
        try:
            words = read_words(revision)
        except Erased:
            return Look((*checks, Check("look.erased", "deny", "The customer's words were erased.")))
        if words is None:
            return Look((*checks, Check("look.no_words", "deny", "There is no text to send.")))
        if hash_of(revision.payload, words) != revision.content_hash:
            return Look((*checks, Check("look.words_changed", "deny", "The stored text is not the one that was approved.")))
        _, findings = render_and_verify(words, live.draft)
        checks += [
            Check(f"draft.{finding.rule}", "deny", f"The text may not be sent: {finding.expected}")
            for finding in findings
            if finding.severity == "block"
        ]
        return Look(tuple(checks), live, origin_of(revision, words, has_findings=bool(findings)))

    def freeze(self, proposal: Proposal, revision: Revision, look: Look, key: str) -> Request:
        """Make the customer's links, render with them, verify once more. Raises Terminal when the final text may not be sent."""
        live: case_facts.CaseFacts = look.live
        facts, pages = _with_links(proposal, live, key)
        words = read_words(revision)
        if words is None:
            raise Terminal("message.no_words", "There is no text to send.")
        rendered, findings = render_and_verify(words, facts)
        blocking = [finding for finding in findings if finding.severity == "block"]
        if rendered is None or blocking:
            rule = blocking[0].rule if blocking else "slot_error"
            raise Terminal(f"draft.{rule}", "The final text may not be sent.")
        return Request(
            values={
                "channel": revision.channel,
                # The verifier has seen to it that the text is in the customer's language; a draft's own word may be from before its translation.
                "language": rendered.locale,
                "text_sha256": hashlib.sha256(rendered.whole_text.encode()).hexdigest(),
                "sms_segments": rendered.sms_segments,
                "hosted_page_ids": pages,
                # By this an answer from the number finds its customer; the number itself is only in the sealed part.
                "to_mark": consent.address_mark("sms", live.phone) if revision.channel == "sms" else "",
            },
            sealed={
                "to": live.phone if revision.channel == "sms" else live.email,
                "to_name": " ".join(part for part in (live.customer.first_name, live.customer.last_name) if part),
                "subject": rendered.subject,
                "text": rendered.whole_text,
                "html": rendered.html or "",
                "unsubscribe_url": consent.unsubscribe_url(proposal.chargebee_customer_id),
            },
        )

    def act(self, request: Request, *, key: str) -> Done:
        """Hand the message over."""
        sealed: dict[str, Any] = dict(request.sealed or {})
        if request.values["channel"] == "sms":
            receipt = registry.sms().send(ports.OutgoingSms(sealed["to"], sealed["text"]), key=key)
        else:
            receipt = registry.mail().send(
                ports.OutgoingMail(
                    to_address=sealed["to"],
                    to_name=sealed["to_name"],
                    subject=sealed["subject"],
                    text=sealed["text"],
                    html=sealed["html"],
                    language=request.values["language"],
                    reply_to=settings.SUPPORT_EMAIL,
                    unsubscribe_url=sealed.get("unsubscribe_url", ""),
                    unsubscribe_address=settings.SUPPORT_EMAIL,
                ),
                key=key,
            )
        return Done(receipt.reference, {"accepted_at": receipt.accepted_at.isoformat()})

    def look_up(self, execution: Execution, request: Request, *, since: datetime) -> Settled:
        """Ask the provider where it can be asked; plain SMTP cannot."""
        sealed: dict[str, Any] = dict(request.sealed or {})
        try:
            if request.values["channel"] == "sms":
                found = registry.sms().look_up(
                    execution.idempotency_key, sms=ports.OutgoingSms(sealed["to"], sealed["text"]), sent_after=since - timedelta(minutes=1)
                )
            else:
                found = registry.mail().look_up(execution.idempotency_key)
        except Unknown as error:
            return CannotTell(error.sentence)
        if isinstance(found, ports.Found):
            return Done(found.receipt.reference)
        if isinstance(found, ports.InProgress):
            return StillGoing()
        return Absent(may_repeat=False)


def _with_links(proposal: Proposal, live: case_facts.CaseFacts, key: str) -> tuple[DraftFacts, list[str]]:
    """The facts with the customer's own links, and the pages' ids. A message about no invoice has none."""
    if not proposal.chargebee_invoice_id:
        return live.draft, []
    pay = writes.create_collect_now_page(
        proposal.chargebee_customer_id, idempotency_key=effect_key(key, "pay"), currency=proposal.currency
    ).resource
    card = writes.create_update_payment_method_page(proposal.chargebee_customer_id, idempotency_key=effect_key(key, "card")).resource
    return live.with_links(pay.url, card.url), [pay.id, card.id]


ACTION = SendMessage()
