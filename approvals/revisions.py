"""Revisions: what exactly would be done. The words are sealed; the hash covers words and values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings

from approvals import brand, case_facts
from approvals.contract import Words
from approvals.drafts.findings import DraftPolicy, DraftText, Finding
from approvals.drafts.render import RenderedMessage, SlotDraft, SlotError, render
from approvals.drafts.verify import verify
from approvals.models import Policy, Proposal, Revision
from approvals.policy import words_origin
from audit import seal
from billing_ai.kernel.ids import content_hash

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from approvals.drafts.facts import DraftFacts
    from approvals.policy.rules import Rules


def new_revision(
    proposal: Proposal, payload: Mapping[str, Any], words: Words | None, *, author: User | None, findings: list[dict[str, Any]]
) -> Revision:
    """Add a revision and make it the current one of a proposal that the caller has locked or just made. Does not save the proposal."""
    revision = made(proposal, payload, words, author=author, findings=findings)
    revision.save(force_insert=True)
    proposal.current = revision
    return revision


def made(
    proposal: Proposal,
    payload: Mapping[str, Any],
    words: Words | None,
    *,
    author: User | None,
    findings: list[dict[str, Any]],
    opened: seal.Opened | None = None,
) -> Revision:
    """The next revision of a proposal, not yet written. `opened` is the customer's key, when the caller has read it."""
    number = (proposal.current.number if proposal.current else 0) + 1
    text = json.dumps({"subject": words.subject, "body": words.body}, ensure_ascii=False) if words else ""
    sealed = None
    if words:
        sealed = opened.seal(text) if opened is not None else seal.seal(proposal.chargebee_customer_id, text)
    return Revision(
        proposal=proposal,
        number=number,
        payload=dict(payload),
        sealed_words=sealed,
        channel=words.channel if words else "",
        language=words.language if words else "",
        tone=words.tone if words else "",
        content_hash=hash_of(payload, words),
        author=author,
        findings=findings,
    )


def hash_of(payload: Mapping[str, Any], words: Words | None) -> str:
    """What an approval binds to."""
    said = [words.channel, words.language, words.subject, words.body] if words else None
    return content_hash({"payload": dict(payload), "words": said})


def read_words(revision: Revision, opened: seal.Opened | None = None) -> Words | None:
    """The slot text of a revision; None for an action without words. Raises seal.Erased when the customer was erased or the text is kept no longer.

    `opened` is the customer's key, when the caller has read it.
    """
    if revision.sealed_words is None:
        return None
    sealed = bytes(revision.sealed_words)
    if sealed == seal.DROPPED:
        raise seal.KeptNoLonger(f"the words of revision {revision.pk} are kept no longer")
    text = json.loads(opened.unseal(sealed) if opened is not None else seal.unseal(revision.proposal.chargebee_customer_id, sealed))
    return Words(revision.channel, revision.language, revision.tone, text["subject"], text["body"])  # type: ignore[arg-type]  # stored channels


def readable_words(revision: Revision, opened: seal.Opened | None = None) -> Words | None:
    """The same; None also once the customer was erased."""
    try:
        return read_words(revision, opened)
    except seal.Erased:
        return None


def origin_of(revision: Revision, words: Words | None, *, has_findings: bool = False) -> words_origin.Origin:
    """Whose words a revision holds, proved from `words` as they were read. `has_findings`: the verifier has found something since."""
    return words_origin.of(
        words,
        revision.payload,
        is_edited=revision.author_id is not None,
        has_findings=has_findings or bool(revision.findings),
        judge_model=settings.LLM_JUDGE_MODEL,
    )


def draft_policy(in_force: Rules | None = None) -> DraftPolicy:
    """The vendor's own limits and forbidden words, from the policy row `draft.brand`; the defaults without it.

    `in_force` holds the rules, when the caller has read them.
    """
    if in_force is not None:
        rule = in_force.policies.get("draft.brand")
        params = rule.params if rule is not None and rule.is_enabled else {}
    else:
        row = Policy.objects.filter(key="draft.brand", is_enabled=True).first()
        params = row.params if row else {}
    # Who edits may mean somebody: a single name is for a person to tell. A model's own words are held to more, by `verify_slots`.
    return DraftPolicy(forbidden_words=brand.of(params).forbidden_words, one_strange_word="person")


def render_and_verify(
    words: Words, facts: DraftFacts, *, policy: DraftPolicy | None = None
) -> tuple[RenderedMessage | None, list[Finding]]:
    """The message as the customer would see it, and what the verifier finds in it. No message when a slot has no fact."""
    try:
        rendered = render(SlotDraft(words.subject, words.body, words.channel), facts)
    except SlotError as error:
        return None, [Finding("slot_error", "block", "body", None, error.slot, error.reason)]
    footer = rendered.footer if words.channel == "sms" else ""
    return rendered, verify(DraftText(rendered.subject, rendered.text, words.channel, footer), facts, policy or draft_policy())


def sealed_draft_findings(proposal: Proposal, words: Words) -> list[dict[str, Any]]:
    """Findings of a text in the form in which they may be stored: which rule, not what was found. Raises Retryable when facts are away."""
    _, findings = render_and_verify(
        words, case_facts.load(proposal.chargebee_customer_id, proposal.chargebee_invoice_id, proposal=proposal).draft
    )
    return storable(findings)


def storable(findings: list[Finding]) -> list[dict[str, Any]]:
    """Findings without the text they were found in, which may hold a name."""
    return [
        {"rule": finding.rule, "severity": finding.severity, "part": finding.part, "expected": finding.expected[:200], "span": finding.span}
        for finding in findings
    ]
