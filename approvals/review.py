"""Everything that the review page shows of one case, gathered once: live facts, drafts as the customer will see them, checks, time line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from approvals import case_facts, review_rows, states
from approvals.actions import ACTIONS
from approvals.contract import Words
from approvals.drafts.facts import DraftFacts
from approvals.drafts.findings import Finding
from approvals.drafts.render import RenderedMessage
from approvals.drafts.slots import slots_for
from approvals.models import Case, Decision, KillSwitch, Note, Promise, Proposal, Revision
from approvals.people import Refused, Role, is_for_a_lead, working_role
from approvals.policy import case_view, gate, rules
from approvals.policy.case_view import View
from approvals.policy.rules import Rules
from approvals.policy.subject import COLLECTS, ORDERED_BY_PERSON, of_proposal
from approvals.revisions import draft_policy, origin_of, readable_words, render_and_verify
from approvals.timeline import TimelineItem, answered, ask_helpdesk, timeline
from audit import seal
from audit.reads import note_personal_read
from billing_ai.facts import queries
from billing_ai.facts import sync as facts_sync
from billing_ai.facts.models import Customer, Invoice, Subscription
from billing_ai.integrations.chargebee import reads
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet


@dataclass(frozen=True, slots=True)
class ReviewedProposal:
    """One proposal as the page shows it. `rendered` is None for an action without words, or when a slot has no fact."""

    proposal: Proposal
    revision: Revision | None
    label: str
    describes: str
    words: Words | None
    drafted: Words | None
    """What the agent wrote, where a person has edited it."""
    facts: DraftFacts | None
    rendered: RenderedMessage | None
    findings: tuple[Finding, ...]
    checks: tuple[dict[str, Any], ...]
    content_hash: str
    facts_hash: str
    can_decide: bool
    is_for_a_lead: bool
    """The reader may work on it, and the approval of one in the reader's role would not count."""
    approvals: tuple[Decision, ...]
    """Who has approved this very revision so far."""

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
    helpdesk_away: str
    """Why the time line lacks the help desk's tickets, in words; empty when it has them."""
    open_invoices: tuple[Invoice, ...]
    subscriptions: tuple[Subscription, ...]
    zone: str
    """The customer's IANA time zone; empty when it is not known."""
    notes: tuple[tuple[Note, str], ...]
    promises: tuple[Promise, ...]
    switches: tuple[KillSwitch, ...]
    slots: dict[str, str] = field(default_factory=dict)
    also: dict[str, list[Any]] = field(default_factory=dict)


def load(case: Case, user: User, *, also: Mapping[str, QuerySet[Any, Any]] | None = None) -> Review:
    """Gather it. Names are fetched live, and that they were read is written down.

    `also` names more queries of the page, to be answered by the same statement; their rows are in `Review.also`.
    """
    now = clock.now()
    may_read = bool(case.chargebee_customer_id) and user.has_perm("approvals.read_personal")
    asked = [ask_helpdesk(case.chargebee_customer_id)] if may_read else []
    found = review_rows.read(case, now=now, also=also)
    # Before the live facts, which do arithmetic by the rules and would else ask for them in a statement of their own.
    in_force = rules.current(now, looked=found["rules"])
    opened = seal.Opened(case.chargebee_customer_id, found["key"][0] if found["key"] else None)
    about: Customer | None = found["about"][0] if found["about"] else None
    invoice: Invoice | None = found["invoice"][0] if found["invoice"] else None
    live, fresh, away = live_facts(case, user, opened, zone=about.time_zone if about else "", what="name, address and tickets")
    if live is None and found["notes"] and case.chargebee_customer_id:
        # No name was fetched, but colleagues may have written it: that is a read too.
        note_personal_read(user, case.chargebee_customer_id, "notes", f"review of case {case.pk}", opened=opened)
    if live is not None and live.email:
        # Of the tickets that nobody tagged, those that the customer wrote.
        asked.append(ask_helpdesk(address=live.email))
    tickets, helpdesk_away = answered(*asked)
    invoice = fresh or invoice
    looked = _Looked(
        live=live,
        opened=opened,
        facts_hash=queries.hash_of_facts(invoice, about if invoice is not None or not case.chargebee_invoice_id else None),
        in_force=in_force,
        used={agent: {key: used for of, key, used in found["used"] if of == agent} for agent, _, _ in found["used"]},
        plans=tuple(dict.fromkeys(str(price) for one in found["subscriptions"] for price in one.item_price_ids)),
        view={collects: case_view.answered(case.chargebee_invoice_id, _gate_rows(found), collects=collects) for collects in (False, True)},
        retry_at=case_facts.retry_among(found["proposals"]),
        decisions=tuple(found["decisions"]),
        first={revision.proposal_id: revision for revision in found["revisions"] if revision.number == 1},
        now=now,
        reader=user,
        role=working_role(user),
    )
    others = [one for one in found["open_invoices"] if invoice is None or one.pk != invoice.pk]
    still_open = [*others, invoice] if invoice is not None and queries.is_open(invoice) else others
    return Review(
        case=case,
        live=live,
        away=away,
        proposals=tuple(_reviewed(proposal, looked) for proposal in found["proposals"]),
        timeline=timeline(case, found, tickets if live is not None else ()),
        helpdesk_away=helpdesk_away,
        open_invoices=tuple(sorted(still_open, key=lambda one: (one.due_on is None, one.due_on, one.pk))),
        subscriptions=tuple(found["subscriptions"]),
        zone=about.time_zone if about else "",
        notes=tuple(_notes(found["notes"], opened)),
        promises=tuple(found["promises"]),
        switches=tuple(found["switches"]),
        slots=slots_for(live.draft) if live else {},
        also={name: found[name] for name in also or ()},
    )


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was read once for all proposals of the case."""

    live: case_facts.CaseFacts | None
    opened: seal.Opened
    facts_hash: str
    in_force: Rules
    used: Mapping[str, Mapping[str, int]]
    plans: tuple[str, ...]
    view: Mapping[bool, View]
    retry_at: datetime | None
    decisions: tuple[Decision, ...]
    first: Mapping[UUID, Revision]
    now: datetime
    reader: User
    role: Role | None
    """None for whoever may only look."""


def _gate_rows(found: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return {name.removeprefix("gate_"): rows for name, rows in found.items() if name.startswith("gate_")}


def preview(proposal_id: UUID, user: User, subject: str, body: str) -> tuple[RenderedMessage | None, list[Finding]]:
    """What an edited text would look like and what stands against it, while it is being edited. Nothing is kept."""
    proposal = Proposal.objects.select_related("current", "case").filter(pk=proposal_id).first()
    if proposal is None or proposal.current is None:
        raise Refused("no_such_proposal", "This proposal does not exist.")
    live, _, away = live_facts(proposal.case, user)
    if live is None:
        raise Refused("chargebee_away", away)
    old = proposal.current
    words = Words("sms" if old.channel == "sms" else "email", old.language, old.tone, subject[:500], body[:20_000])
    return render_and_verify(words, live.with_retry(case_facts.planned_retry(proposal)))


def live_facts(
    case: Case, user: User, opened: seal.Opened | None = None, *, zone: str | None = None, what: str = "name and address"
) -> tuple[case_facts.CaseFacts | None, Invoice | None, str]:
    """The live facts and the invoice as it is stored now; or why there are none, in words. A case about many customers has none, needs none."""
    if not case.chargebee_customer_id:
        return None, None, ""
    if not user.has_perm("approvals.read_personal"):
        return None, None, "Your role does not see names and addresses."
    try:
        fetched = reads.retrieve_invoice(case.chargebee_invoice_id) if case.chargebee_invoice_id else None
        stored = facts_sync.store_invoice(fetched) if fetched is not None else None
        live = case_facts.load(case.chargebee_customer_id, case.chargebee_invoice_id, invoice=fetched, zone=zone)
    except OutsideError as error:
        return None, None, error.sentence
    note_personal_read(user, case.chargebee_customer_id, what, f"review of case {case.pk}", opened=opened)
    return live, stored, ""


def _reviewed(proposal: Proposal, looked: _Looked) -> ReviewedProposal:
    revision = proposal.current
    words = drafted = None
    rendered: RenderedMessage | None = None
    findings: list[Finding] = []
    if revision is not None and revision.sealed_words is not None:
        words = readable_words(revision, looked.opened)
        first = looked.first.get(proposal.pk)
        drafted = readable_words(first, looked.opened) if first is not None and revision.number > 1 else None
        if words is not None and looked.live is not None:
            facts = looked.live.with_retry(looked.retry_at)
            rendered, findings = render_and_verify(words, facts, policy=draft_policy(looked.in_force))
    action = ACTIONS.get(proposal.action)
    checks: tuple[dict[str, Any], ...] = tuple(proposal.verdict.get("checks", []))
    approvals = tuple(one for one in looked.decisions if revision is not None and one.revision_id == revision.pk)
    can_decide = proposal.status in states.FOR_PEOPLE
    is_for_others = False
    if can_decide:
        # The reader's own limit counts; whether the reader changed a rule today is asked when it is approved.
        asked = of_proposal(proposal, moment="approve", channel=revision.channel if revision else "", approver=looked.reader)
        verdict = gate.judge(
            asked,
            moment="approve",
            now=looked.now,
            view=looked.view[proposal.action in COLLECTS],
            in_force=looked.in_force,
            used={} if proposal.agent == ORDERED_BY_PERSON else looked.used.get(proposal.agent, {}),
            plans=looked.plans,
            origin=origin_of(revision, words, has_findings=bool(findings)) if revision is not None else None,
        )
        checks = tuple(check.as_json() for check in verdict.checks)
        needed, several = verdict.role_needed, verdict.approvals_needed
        is_for_others = looked.role is not None and is_for_a_lead(
            looked.role, role_needed=needed, approvals_needed=several, is_approved_once=bool(approvals)
        )
    return ReviewedProposal(
        proposal=proposal,
        revision=revision,
        label=action.label if action else proposal.action,
        describes=action.describe(proposal, revision) if action and revision else "",
        words=words,
        drafted=drafted,
        facts=looked.live.with_retry(looked.retry_at) if looked.live is not None else None,
        rendered=rendered,
        findings=tuple(findings),
        checks=checks,
        content_hash=revision.content_hash if revision else "",
        facts_hash=looked.facts_hash,
        can_decide=can_decide and (looked.live is not None or not proposal.chargebee_invoice_id),
        is_for_a_lead=is_for_others,
        approvals=approvals,
    )


def _notes(notes: list[Note], opened: seal.Opened) -> list[tuple[Note, str]]:
    found = []
    for note in notes:
        sealed = bytes(note.sealed_text)
        if sealed == seal.DROPPED:
            found.append((note, "(kept no longer)"))
            continue
        try:
            found.append((note, opened.unseal(sealed)))
        except seal.Erased:
            found.append((note, "(erased)"))
    return found
