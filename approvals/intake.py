"""Where a run's result becomes a case and proposals. Called by `agents/runner.py` and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from approvals import outcomes, states
from approvals.companions import hold_native_dunning
from approvals.contract import CaseDraft, ProposalDraft, RunResult, Verdict
from approvals.effects import make_ready, withdraw
from approvals.ledger_notes import of_case
from approvals.models import Case, Decision, Proposal, Revision
from approvals.policy import case_view, gate, limits, rules, words_origin
from approvals.policy.reference import reference_cents
from approvals.revisions import made
from approvals.signals import proposals_entering
from audit import ledger, seal
from audit.actor import Actor
from audit.actor import agent as agent_actor
from audit.actor import policy as policy_actor
from audit.ledger import NewEntry
from audit.models import CustomerKey
from billing_ai.facts.models import Invoice
from billing_ai.kernel import clock
from billing_ai.tables.one_statement import Kept
from billing_ai.tables.one_write import FreshId, Insert, Update, history_of, saved

PROPOSALS_LIVE_FOR = timedelta(days=7)


@dataclass(slots=True)
class Closing:
    """How the run itself ends: its ledger entry, once the case is known, and the write that ends its claim. `wrote` is how many rows that was."""

    entry: Callable[[Case | None], NewEntry]
    part: Update
    wrote: int = -1

    def write(self, case: Case | None) -> None:
        """By itself."""
        self.wrote = ledger.append_with([self.entry(case)], self.part)[0]


def submit(result: RunResult, findings: dict[str, list[dict[str, object]]] | None = None, closing: Closing | None = None) -> Case | None:
    """Open or refresh the case and put each proposal before the policy gate. None when the case is about an invoice on which nothing
    is owed any more, and when there is nothing to propose. A case without an invoice is about the customer as a whole, and one without a
    customer about many at once.

    `findings` holds, per step, what the verifier said of the words. What an earlier run proposed and nobody has decided on is withdrawn
    when the new run no longer wants it. `closing` is written along with the rest, in the same transaction whatever comes of the result.
    """
    # No savepoint inside the run's own transaction: nothing that fails here is caught there.
    with transaction.atomic(savepoint=False):
        case = _take_in(result.case, result, findings or {}, closing) if result.case is not None else None
        if closing is not None and closing.wrote < 0:
            closing.write(case)
        return case


def _take_in(draft: CaseDraft, result: RunResult, findings: Mapping[str, list[dict[str, object]]], closing: Closing | None) -> Case | None:
    if draft.over:
        return _end(draft, result)
    active = _active(draft)
    now = clock.now()
    # After the lock, so that it shows what whoever held the case has written.
    found = _LOOK.ask(
        customer_id=draft.customer_id,
        invoice_id=draft.invoice_id,
        case_id=active.pk if active is not None else None,
        agent=result.agent,
        since=case_view.since(now),
        today=clock.utc_date(now),
    )
    invoice = next(iter(found["invoice"]), None)
    if draft.invoice_id and (invoice is None or invoice.amount_due_minor <= 0):
        return None
    case = _case(active, draft, result, invoice)
    wanted = {(one.action, one.step) for one in result.proposals}
    held: list[Proposal] = found["open"]
    for proposal in held:
        proposal.case = case
        if (proposal.action, proposal.step) not in wanted and proposal.status in states.FOR_PEOPLE:
            withdraw(proposal, agent_actor(result.agent), "the situation has changed; see the newer proposal")
    taken = {(one.action, one.step) for one in held} | set(found["standing"])
    new = _judge(case, result, [one for one in result.proposals if (one.action, one.step) not in taken], findings, found)
    case.waiting_count = sum(one.status in states.FOR_PEOPLE for one in (*held, *(one.proposal for one in new)))
    by_policy = [one for one in new if one.proposal.status == states.APPROVED]
    # What follows from an approval by policy comes before the end of the run.
    _write(case, result, new, closing if not by_policy else None, is_new=active is None)
    for one in by_policy:
        _order(case, one, result)
    return case


def _questions(
    *, customer_id: str, invoice_id: str, case_id: UUID | None, agent: str, since: datetime, today: date
) -> dict[str, QuerySet[Any, Any]]:
    """What stands, what the gate reads (once, for all proposals of the run) and the key under which words are sealed."""
    held = Proposal.objects.none() if case_id is None else Proposal.objects.select_for_update(of=("self",)).filter(case_id=case_id)
    same = Proposal.objects.filter(chargebee_customer_id=customer_id, chargebee_invoice_id=invoice_id)
    return {
        "invoice": Invoice.objects.filter(pk=invoice_id),
        "open": held.filter(status__in=states.OPEN),
        # In whatever case: another of the same may not be proposed (`one_effect_per_business_key`).
        "standing": same.exclude(status__in=states.CAME_TO_NOTHING).values_list("action", "step"),
        **case_view.questions(customer_id, since),
        "rules": rules.look(),
        "used": limits.used_on(agent, today),
        "key": CustomerKey.objects.filter(pk=customer_id),
    }


_LOOK = Kept(_questions)


def _active(draft: CaseDraft) -> Case | None:
    """The case that this is about, locked."""
    return next(iter(_ACTIVE.ask(kind=draft.kind, customer_id=draft.customer_id, invoice_id=draft.invoice_id)["case"]), None)


def _whether_active(*, kind: str, customer_id: str, invoice_id: str) -> dict[str, QuerySet[Any, Any]]:
    same = Case.objects.filter(kind=kind, chargebee_customer_id=customer_id, chargebee_invoice_id=invoice_id, status__in=Case.ACTIVE)
    return {"case": same.select_for_update(of=("self",)).order_by("pk")[:1]}


_ACTIVE = Kept(_whether_active)


def _end(draft: CaseDraft, result: RunResult) -> Case | None:
    """The agent sees no more to be done: the case ends, unless a person has a promise or a dispute on it."""
    case = _active(draft)
    if case is None or case.status != Case.OPEN:
        return None
    outcomes.end(case, Case.CLOSED, draft.over, result.event_id, actor=agent_actor(result.agent))
    return case


def _case(active: Case | None, draft: CaseDraft, result: RunResult, invoice: Invoice | None) -> Case:
    """The case as it will be, not yet written."""
    case = active
    if case is None:
        case = Case(
            kind=draft.kind,
            agent=result.agent,
            chargebee_customer_id=draft.customer_id,
            chargebee_invoice_id=draft.invoice_id,
            currency=invoice.currency if invoice is not None else draft.amount_due.currency,
            trace_id=result.trace_id,
        )
    _describe(case, draft, invoice)
    return case


def _describe(case: Case, draft: CaseDraft, invoice: Invoice | None) -> None:
    case.amount_due_minor, case.due_on = (
        (invoice.amount_due_minor, invoice.due_on) if invoice is not None else (draft.amount_due.minor, None)
    )
    case.category, case.headline = draft.category, draft.headline[:300]
    case.likelihood_bp, case.uplift_bp = draft.likelihood_bp, draft.uplift_bp
    case.amount_reference = reference_cents(case.amount_due)
    case.stake = (case.amount_reference if draft.at_stake is None else reference_cents(draft.at_stake)) * draft.uplift_bp // 10_000
    case.reasons = [
        {"code": reason.code, "sentence": reason.sentence, "weight": round(reason.weight, 3), "fact": reason.fact}
        for reason in draft.reasons
    ]
    case.tier, case.country, case.language = draft.tier, draft.country, draft.locale.split("-")[0]
    case.next_action, case.deadline_at = draft.next_action[:200], draft.due_at
    case.escalated_to_lead = case.escalated_to_lead or draft.needs_person
    case.updated_at = clock.now()


@dataclass(frozen=True, slots=True)
class _New:
    """One proposal as it will be written, with its first revision, what the ledger says of it, and the gate's verdict."""

    proposal: Proposal
    revision: Revision
    entry: NewEntry
    verdict: Verdict


def _judge(
    case: Case,
    result: RunResult,
    drafts: Sequence[ProposalDraft],
    findings: Mapping[str, list[dict[str, object]]],
    found: Mapping[str, list[Any]],
) -> list[_New]:
    """Each draft before the gate."""
    if not drafts:
        return []
    now = clock.now()
    in_force, used_today = rules.current(now, looked=found["rules"]), dict(found["used"])
    view = case_view.answered(case.chargebee_invoice_id, found, collects=True)
    opened = None
    if any(draft.words is not None for draft in drafts):
        opened = seal.opened_for_sealing(case.chargebee_customer_id, next(iter(found["key"]), None))
    new = []
    for draft in drafts:
        proposal = _proposal(case, draft, result, findings.get(draft.step, []))
        verdict = gate.judge(
            proposal,
            moment="propose",
            now=clock.now(),
            channel=draft.words.channel if draft.words else "",
            view=view,
            in_force=in_force,
            used=used_today,
            origin=_origin(draft, findings.get(draft.step, [])),
        )
        new.append(_judged(proposal, draft, result, verdict, findings.get(draft.step, []), opened))
    return new


def _origin(draft: ProposalDraft, findings: Sequence[object]) -> words_origin.Origin | None:
    if draft.words is None:
        return None
    return words_origin.of(draft.words, draft.payload, is_edited=False, has_findings=bool(findings), judge_model=settings.LLM_JUDGE_MODEL)


def _proposal(case: Case, draft: ProposalDraft, result: RunResult, findings: list[dict[str, object]]) -> Proposal:
    return Proposal(
        case=case,
        agent=result.agent,
        action=draft.action,
        step=draft.step,
        status="",
        chargebee_customer_id=case.chargebee_customer_id,
        chargebee_invoice_id=case.chargebee_invoice_id,
        currency=draft.amount.currency,
        amount_minor=draft.amount.minor,
        facts_hash=result.facts_hash,
        needs_person=draft.needs_person or any(finding["severity"] != "note" for finding in findings),
        reasons=[
            {"code": reason.code, "sentence": reason.sentence, "weight": round(reason.weight, 3), "fact": reason.fact}
            for reason in draft.reasons
        ],
        not_before=draft.not_before,
        expires_at=draft.expires_at or clock.now() + PROPOSALS_LIVE_FOR,
        run_id=result.run_id,
        trace_id=result.trace_id,
        chargebee_event_id=result.event_id,
        prompt_hash=result.prompt_hash,
        model=draft.words_from or result.model,
    )


def _judged(
    proposal: Proposal,
    draft: ProposalDraft,
    result: RunResult,
    verdict: Verdict,
    findings: list[dict[str, object]],
    opened: seal.Opened | None,
) -> _New:
    proposal.verdict = {"checks": [check.as_json() for check in verdict.checks]}
    proposal.phase, proposal.role_needed, proposal.approvals_needed = verdict.phase, verdict.role_needed, verdict.approvals_needed
    status = {
        "blocked": states.BLOCKED,
        "observed": states.OBSERVED,
        "person": states.WAITING,
        "approved": states.APPROVED,
    }[verdict.outcome]
    revision = made(proposal, draft.payload, draft.words, author=None, findings=list(findings), opened=opened)
    revision.pk = FreshId()  # type: ignore[assignment]  # a number once it is written
    proposal.current = revision
    entry = states.step(
        proposal,
        status,
        _actor(status, result),
        reason=verdict.blocking[0].sentence if verdict.blocking else "",
        kind=f"proposal.{status}",
        data={"checks": [check.rule for check in verdict.checks if check.outcome != "allow"]},
    )
    return _New(proposal, revision, entry, verdict)


def _actor(status: str, result: RunResult) -> Actor:
    return policy_actor(f"automate:{result.agent}") if status == states.APPROVED else agent_actor(result.agent)


def _write(case: Case, result: RunResult, new: Sequence[_New], closing: Closing | None, *, is_new: bool) -> None:
    """The case, its new proposals, and all that is kept of them: revisions, model history, the ledger, and what listeners add."""
    proposals = [one.proposal for one in new]
    told: list[Any] = [rows for _, rows in proposals_entering.send(sender=Case, case=case, is_new=is_new, proposals=proposals)]
    entries = [one.entry for one in new]
    if is_new:
        opened = {"amount_due_minor": case.amount_due_minor, "currency": case.currency}
        entries.insert(0, of_case("case.opened", case, agent_actor(result.agent), opened))
    if closing is not None:
        entries.append(closing.entry(case))
    wrote = ledger.append_with(
        entries,
        *((closing.part,) if closing is not None else ()),
        Insert([case]) if is_new else saved(case),
        history_of([case], "+" if is_new else "~"),
        Insert([one.revision for one in new]),
        Insert(proposals),
        history_of(proposals, "+"),
        *(Insert(rows) for rows in told),
    )
    if closing is not None:
        closing.wrote = wrote[0]


def _order(case: Case, one: _New, result: RunResult) -> None:
    """What follows from an approval by policy."""
    proposal, revision = one.proposal, one.revision
    Decision.objects.create(
        proposal=proposal,
        revision=revision,
        kind="approve",
        by_policy=f"automate:{result.agent}",
        role="policy",
        content_hash=revision.content_hash,
        facts_hash=proposal.facts_hash,
        checks=proposal.verdict["checks"],
    )
    make_ready(proposal, delay=timedelta(0), not_before_check=one.verdict.not_before)
    if proposal.action == "collect_payment":
        hold_native_dunning(case, proposal, _actor(states.APPROVED, result), None)
