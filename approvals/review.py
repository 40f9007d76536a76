"""Everything that the review page shows of one case, gathered once: live facts, drafts as the customer will see them, checks, time line."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from approvals import case_facts, states
from approvals.actions import ACTIONS
from approvals.contract import Words
from approvals.drafts.findings import Finding
from approvals.drafts.render import RenderedMessage
from approvals.drafts.slots import slots_for
from approvals.models import Case, CollectionAttempt, Contact, Note, Proposal, Revision
from approvals.people import Refused
from approvals.policy import gate
from approvals.revisions import read_words, render_and_verify
from audit import seal
from audit.models import Entry
from audit.reads import note_personal_read
from billing_ai.facts import queries
from billing_ai.facts import sync as facts_sync
from billing_ai.facts.models import Invoice, Subscription
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """One thing that happened: a payment, an attempt, a message, a promise, a decision."""

    at: datetime
    kind: str
    title: str
    detail: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class ReviewedProposal:
    """One proposal as the page shows it. `rendered` is None for an action without words, or when a slot has no fact."""

    proposal: Proposal
    revision: Revision | None
    label: str
    describes: str
    words: Words | None
    rendered: RenderedMessage | None
    findings: tuple[Finding, ...]
    checks: tuple[dict[str, Any], ...]
    content_hash: str
    facts_hash: str
    can_decide: bool

    @property
    def is_sendable(self) -> bool:
        """Nothing in the text stands in the way of approving it."""
        return all(finding.severity != "block" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Review:
    """One case, whole. `live` is None when Chargebee could not be reached: `away` then says so in words, and nothing can be approved."""

    case: Case
    live: case_facts.CaseFacts | None
    away: str
    proposals: tuple[ReviewedProposal, ...]
    timeline: tuple[TimelineItem, ...]
    open_invoices: tuple[Invoice, ...]
    subscriptions: tuple[Subscription, ...]
    notes: tuple[tuple[Note, str], ...]
    slots: dict[str, str] = field(default_factory=dict)

    @property
    def customer_name(self) -> str:
        """The name as people say it: company, else first and last name, else the id."""
        if self.live is None:
            return self.case.chargebee_customer_id
        person = " ".join(part for part in (self.live.customer.first_name, self.live.customer.last_name) if part)
        return self.live.customer.company or person or self.case.chargebee_customer_id


def load(case_id: UUID, user: User) -> Review:
    """Gather it. Names are fetched live, and that they were read is written down. Raises Refused when there is no such case."""
    case = Case.objects.select_related("owner").filter(pk=case_id).first()
    if case is None:
        raise Refused("no_such_case", "This case does not exist.")
    live, away = _live(case, user)
    facts_hash = queries.facts_hash(case.chargebee_invoice_id)
    proposals = tuple(_reviewed(proposal, live, facts_hash) for proposal in case.proposals.select_related("current").order_by("created_at"))
    return Review(
        case=case,
        live=live,
        away=away,
        proposals=proposals,
        timeline=timeline(case),
        open_invoices=tuple(queries.open_invoices(case.chargebee_customer_id)),
        subscriptions=tuple(queries.subscriptions(case.chargebee_customer_id)),
        notes=tuple(_notes(case)),
        slots=slots_for(live.draft) if live else {},
    )


def preview(proposal_id: UUID, user: User, subject: str, body: str) -> tuple[RenderedMessage | None, list[Finding]]:
    """What an edited text would look like and what stands against it, while it is being edited. Nothing is kept."""
    proposal = Proposal.objects.select_related("current", "case").filter(pk=proposal_id).first()
    if proposal is None or proposal.current is None:
        raise Refused("no_such_proposal", "This proposal does not exist.")
    live, away = _live(proposal.case, user)
    if live is None:
        raise Refused("chargebee_away", away)
    old = proposal.current
    words = Words("sms" if old.channel == "sms" else "email", old.language, old.tone, subject[:500], body[:20_000])
    return render_and_verify(words, _facts_for(proposal, live))


def _live(case: Case, user: User) -> tuple[case_facts.CaseFacts | None, str]:
    if not user.has_perm("approvals.read_personal"):
        return None, "Your role does not see names and addresses."
    try:
        facts_sync.refresh_invoice(case.chargebee_invoice_id)
        live = case_facts.load(case.chargebee_customer_id, case.chargebee_invoice_id)
    except OutsideError as error:
        return None, error.sentence
    note_personal_read(user, case.chargebee_customer_id, "name and address", f"review of case {case.pk}")
    return live, ""


def _facts_for(proposal: Proposal, live: case_facts.CaseFacts) -> Any:
    return live.with_retry(case_facts.planned_retry(proposal))


def _reviewed(proposal: Proposal, live: case_facts.CaseFacts | None, facts_hash: str) -> ReviewedProposal:
    revision = proposal.current
    words: Words | None = None
    rendered: RenderedMessage | None = None
    findings: list[Finding] = []
    if revision is not None and revision.sealed_words is not None:
        revision.proposal = proposal
        try:
            words = read_words(revision)
        except seal.Erased:
            words = None
        if words is not None and live is not None:
            rendered, findings = render_and_verify(words, _facts_for(proposal, live))
    action = ACTIONS.get(proposal.action)
    checks: tuple[dict[str, Any], ...] = tuple(proposal.verdict.get("checks", []))
    can_decide = proposal.status in states.FOR_PEOPLE
    if can_decide:
        verdict = gate.judge(proposal, moment="approve", now=clock.now(), channel=revision.channel if revision else "")
        checks = tuple(check.as_json() for check in verdict.checks)
    return ReviewedProposal(
        proposal=proposal,
        revision=revision,
        label=action.label if action else proposal.action,
        describes=action.describe(proposal, revision) if action and revision else "",
        words=words,
        rendered=rendered,
        findings=tuple(findings),
        checks=checks,
        content_hash=revision.content_hash if revision else "",
        facts_hash=facts_hash,
        can_decide=can_decide and (live is not None),
    )


_LEDGER_WORDS = {
    "case.opened": "Case opened",
    "proposal.waiting": "Proposed",
    "proposal.blocked": "Blocked by a rule",
    "proposal.approved": "Approved",
    "proposal.approved_first": "Approved by a first person",
    "proposal.edited": "Edited",
    "proposal.rejected": "Rejected",
    "proposal.withdrawn": "Withdrawn",
    "proposal.undone": "Approval taken back",
    "execution.started": "Carried out",
    "execution.done": "Done",
    "execution.declined": "Declined",
    "execution.failed": "Failed",
    "execution.unknown": "Sent, answer lost",
    "execution.withdrawn": "Stopped at the second look",
    "execution.needs_person": "Needs a person",
    "outcome.recovered": "Money came in",
    "case.recovered": "Recovered",
    "case.closed": "Closed",
}


def timeline(case: Case) -> tuple[TimelineItem, ...]:
    """Payments, messages, promises and our own steps, newest first, at most 100."""
    items = [
        TimelineItem(
            one.happened_at,
            "payment" if one.status == "success" else "failure",
            "Payment went through"
            if one.status == "success"
            else f"Payment failed: {one.decline_category.replace('_', ' ') or 'unknown reason'}",
            f"{one.gateway} {one.decline_code}".strip(),
        )
        for one in queries.payments(case.chargebee_customer_id)
        if case.chargebee_invoice_id in one.invoice_ids
    ]
    items += [
        TimelineItem(one.at, "message", f"{'To' if one.direction == 'out' else 'From'} the customer by {one.channel}", one.kind)
        for one in Contact.objects.filter(case=case).order_by("-at")[:50]
    ]
    items += [
        TimelineItem(one.taken_at, "promise", f"Promise to pay by {one.due_on:%d %b}", one.status)
        for one in case.promises.order_by("-taken_at")[:20]
    ]
    for entry in Entry.objects.filter(case_id=case.pk).order_by("-id")[:100]:
        title = _LEDGER_WORDS.get(entry.kind)
        if title is None:
            title = entry.kind.replace(".", " ").replace("_", " ").capitalize()
        action = ACTIONS.get(str(entry.data.get("action", "")))
        detail = " · ".join(part for part in (action.label if action else "", str(entry.data.get("reason", "")), entry.actor_label) if part)
        items.append(TimelineItem(entry.at, "step", title, detail, entry.trace_id))
    return tuple(sorted(items, key=lambda item: item.at, reverse=True)[:100])


def attempts_on(case: Case) -> list[CollectionAttempt]:
    """Every attempt to collect this invoice, from every source, newest first."""
    return list(CollectionAttempt.objects.filter(chargebee_invoice_id=case.chargebee_invoice_id).order_by("-happened_at")[:50])


def _notes(case: Case) -> list[tuple[Note, str]]:
    found = []
    for note in Note.objects.filter(case=case).select_related("author").order_by("-written_at")[:50]:
        try:
            found.append((note, seal.unseal(case.chargebee_customer_id, bytes(note.sealed_text))))
        except seal.Erased:
            found.append((note, "(erased)"))
    return found
