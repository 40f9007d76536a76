"""Where a run's result becomes a case and proposals. Called by `agents/runner.py` and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction

from approvals import outcomes, states
from approvals.companions import hold_native_dunning
from approvals.contract import CaseDraft, ProposalDraft, RunResult, Verdict
from approvals.ledger_notes import of_case
from approvals.models import Case, Decision, Proposal, Revision
from approvals.policy import gate, limits, rules
from approvals.policy.reference import reference_cents
from approvals.revisions import made
from approvals.signals import proposals_entering
from approvals.transitions import make_ready, withdraw
from audit import ledger
from audit.actor import Actor
from audit.actor import agent as agent_actor
from audit.actor import policy as policy_actor
from audit.ledger import NewEntry
from billing_ai.facts.models import Invoice
from billing_ai.kernel import clock
from billing_ai.tables.one_write import FreshId, Insert, history_of, saved

PROPOSALS_LIVE_FOR = timedelta(days=7)


def submit(result: RunResult, findings: dict[str, list[dict[str, object]]] | None = None) -> Case | None:
    """Open or refresh the case and put each proposal before the policy gate. None when the case is about an invoice on which nothing
    is owed any more, and when there is nothing to propose. A case without an invoice is about the customer as a whole, and one without a
    customer about many at once.

    `findings` holds, per step, what the verifier said of the words. What an earlier run proposed and nobody has decided on is withdrawn
    when the new run no longer wants it.
    """
    draft_of_case = result.case
    if draft_of_case is None:
        return None
    # No savepoint inside the run's own transaction: nothing that fails here is caught there.
    with transaction.atomic(savepoint=False):
        if draft_of_case.over:
            return _end(draft_of_case, result)
        invoice = Invoice.objects.filter(pk=draft_of_case.invoice_id).first() if draft_of_case.invoice_id else None
        if draft_of_case.invoice_id and (invoice is None or invoice.amount_due_minor <= 0):
            return None
        case, is_new = _case(draft_of_case, result, invoice)
        wanted = {(draft.action, draft.step) for draft in result.proposals}
        held = [] if is_new else list(case.proposals.select_for_update(of=("self",)).filter(status__in=states.OPEN))
        for proposal in held:
            proposal.case = case
            if (proposal.action, proposal.step) not in wanted and proposal.status in states.FOR_PEOPLE:
                withdraw(proposal, agent_actor(result.agent), "the situation has changed; see the newer proposal")
        taken = {(proposal.action, proposal.step) for proposal in held} | _standing(draft_of_case)
        new = _new_proposals(case, result, [draft for draft in result.proposals if (draft.action, draft.step) not in taken], findings or {})
        case.waiting_count = sum(one.status in states.FOR_PEOPLE for one in (*held, *(one.proposal for one in new)))
        _write(case, result, new, is_new=is_new)
        for one in new:
            if one.proposal.status == states.APPROVED:
                _order(case, one, result)
        return case


def _active(draft: CaseDraft) -> Case | None:
    return (
        Case.objects.select_for_update(of=("self",))
        .filter(kind=draft.kind, chargebee_customer_id=draft.customer_id, chargebee_invoice_id=draft.invoice_id, status__in=Case.ACTIVE)
        .first()
    )


def _end(draft: CaseDraft, result: RunResult) -> Case | None:
    """The agent sees no more to be done: the case ends, unless a person has a promise or a dispute on it."""
    case = _active(draft)
    if case is None or case.status != Case.OPEN:
        return None
    outcomes.end(case, Case.CLOSED, draft.over, result.event_id, actor=agent_actor(result.agent))
    return case


def _case(draft: CaseDraft, result: RunResult, invoice: Invoice | None) -> tuple[Case, bool]:
    """The case as it will be, not yet written, and whether it is new."""
    case = _active(draft)
    is_new = case is None
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
    return case, is_new


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


def _standing(draft: CaseDraft) -> set[tuple[str, str]]:
    """The steps that this customer and invoice have had, in whatever case: another of the same may not be proposed (`one_effect_per_business_key`)."""
    same = Proposal.objects.filter(chargebee_customer_id=draft.customer_id, chargebee_invoice_id=draft.invoice_id)
    return set(same.exclude(status__in=states.CAME_TO_NOTHING).values_list("action", "step"))


def _new_proposals(
    case: Case, result: RunResult, drafts: Sequence[ProposalDraft], findings: Mapping[str, list[dict[str, object]]]
) -> list[_New]:
    """Each draft before the gate. The gate reads once for all of them."""
    if not drafts:
        return []
    now = clock.now()
    proposals = [_proposal(case, draft, result, findings.get(draft.step, [])) for draft in drafts]
    view = gate.look(proposals[0], now=now, collects=True)
    in_force, used_today = rules.current(now), limits.used_today(result.agent, now)
    new = []
    for proposal, draft in zip(proposals, drafts, strict=True):
        verdict = gate.judge(
            proposal,
            moment="propose",
            now=clock.now(),
            channel=draft.words.channel if draft.words else "",
            view=view,
            in_force=in_force,
            used=used_today,
        )
        new.append(_judged(proposal, draft, result, verdict, findings.get(draft.step, [])))
    return new


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


def _judged(proposal: Proposal, draft: ProposalDraft, result: RunResult, verdict: Verdict, findings: list[dict[str, object]]) -> _New:
    proposal.verdict = {"checks": [check.as_json() for check in verdict.checks]}
    proposal.phase, proposal.role_needed, proposal.approvals_needed = verdict.phase, verdict.role_needed, verdict.approvals_needed
    status = {
        "blocked": states.BLOCKED,
        "observed": states.OBSERVED,
        "person": states.WAITING,
        "approved": states.APPROVED,
    }[verdict.outcome]
    revision = made(proposal, draft.payload, draft.words, author=None, findings=list(findings))
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


def _write(case: Case, result: RunResult, new: Sequence[_New], *, is_new: bool) -> None:
    """The case, its new proposals, and all that is kept of them: revisions, model history, the ledger, and what listeners add."""
    proposals = [one.proposal for one in new]
    told: list[Any] = [rows for _, rows in proposals_entering.send(sender=Case, case=case, is_new=is_new, proposals=proposals)]
    entries = [one.entry for one in new]
    if is_new:
        opened = {"amount_due_minor": case.amount_due_minor, "currency": case.currency}
        entries.insert(0, of_case("case.opened", case, agent_actor(result.agent), opened))
    ledger.append_with(
        entries,
        Insert([case]) if is_new else saved(case),
        history_of([case], "+" if is_new else "~"),
        Insert([one.revision for one in new]),
        Insert(proposals),
        history_of(proposals, "+"),
        *(Insert(rows) for rows in told),
    )


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
