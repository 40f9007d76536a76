"""Where a run's result becomes a case and proposals. Called by `agents/runner.py` and by nothing else."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.db import IntegrityError, transaction

from approvals import outcomes, states
from approvals.companions import hold_native_dunning
from approvals.contract import CaseDraft, ProposalDraft, RunResult
from approvals.ledger_notes import note_case
from approvals.models import Case, Decision, Proposal
from approvals.policy import gate, limits, rules
from approvals.policy.case_view import View
from approvals.policy.reference import reference_cents
from approvals.policy.rules import Rules
from approvals.revisions import new_revision
from approvals.signals import case_changed
from approvals.transitions import make_ready, withdraw
from audit.actor import agent as agent_actor
from audit.actor import policy as policy_actor
from billing_ai.facts.models import Invoice
from billing_ai.kernel import clock

logger = logging.getLogger(__name__)
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
        case = _case(draft_of_case, result, invoice)
        wanted = {(draft.action, draft.step) for draft in result.proposals}
        held = list(case.proposals.select_for_update(of=("self",)).filter(status__in=states.OPEN).select_related("current"))
        for proposal in held:
            proposal.case = case
            if (proposal.action, proposal.step) not in wanted and proposal.status in states.FOR_PEOPLE:
                withdraw(proposal, agent_actor(result.agent), "the situation has changed; see the newer proposal")
        taken = {(proposal.action, proposal.step) for proposal in held}
        seen: _Seen | None = None
        for draft in result.proposals:
            if (draft.action, draft.step) not in taken:
                seen = _propose(case, draft, result, (findings or {}).get(draft.step, []), seen)
        case.waiting_count = states.waiting_of(case)
        case.save()
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


def _case(draft: CaseDraft, result: RunResult, invoice: Invoice | None) -> Case:
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
    if is_new:
        case.save()
        note_case("case.opened", case, agent_actor(result.agent), {"amount_due_minor": case.amount_due_minor, "currency": case.currency})
        case_changed.send(sender=Case, case=case, kind="case.opened")
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
class _Seen:
    """What the gate reads for the first proposal of a run, good for the others of the same transaction."""

    view: View
    in_force: Rules
    used_today: Mapping[str, int]


def _look(proposal: Proposal) -> _Seen:
    now = clock.now()
    return _Seen(gate.look(proposal, now=now, collects=True), rules.current(now), limits.used_today(proposal.agent, now))


def _propose(case: Case, draft: ProposalDraft, result: RunResult, findings: list[dict[str, object]], seen: _Seen | None) -> _Seen:
    """Make one proposal. Gives what the gate has read, once for all proposals of the run. The caller counts what waits."""
    proposal = Proposal(
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
    channel = draft.words.channel if draft.words else ""
    seen = seen or _look(proposal)
    verdict = gate.judge(
        proposal, moment="propose", now=clock.now(), channel=channel, view=seen.view, in_force=seen.in_force, used=seen.used_today
    )
    proposal.verdict = {"checks": [check.as_json() for check in verdict.checks]}
    proposal.phase, proposal.role_needed, proposal.approvals_needed = verdict.phase, verdict.role_needed, verdict.approvals_needed
    status = {
        "blocked": states.BLOCKED,
        "observed": states.OBSERVED,
        "person": states.WAITING,
        "approved": states.APPROVED,
    }[verdict.outcome]
    # The proposal and its first revision name each other: the row goes in under its final status, then the revision, then one save.
    proposal.status = status
    try:
        with transaction.atomic():
            proposal.save_without_historical_record(force_insert=True)  # type: ignore[attr-defined]  # simple-history adds it to the model
    except IntegrityError:
        logger.info("proposal.step_taken", extra={"action": draft.action, "step": draft.step})
        return seen
    new_revision(proposal, draft.payload, draft.words, author=None, findings=list(findings))
    proposal.status = ""
    actor = policy_actor(f"automate:{result.agent}") if status == states.APPROVED else agent_actor(result.agent)
    reason = verdict.blocking[0].sentence if verdict.blocking else ""
    states.move(
        proposal,
        status,
        actor,
        reason=reason,
        kind=f"proposal.{status}",
        data={"checks": [check.rule for check in verdict.checks if check.outcome != "allow"]},
        counts=False,
    )
    if status == states.APPROVED and proposal.current is not None:
        Decision.objects.create(
            proposal=proposal,
            revision=proposal.current,
            kind="approve",
            by_policy=f"automate:{result.agent}",
            role="policy",
            content_hash=proposal.current.content_hash,
            facts_hash=proposal.facts_hash,
            checks=proposal.verdict["checks"],
        )
        make_ready(proposal, delay=timedelta(0), not_before_check=verdict.not_before)
        if proposal.action == "collect_payment":
            hold_native_dunning(case, proposal, actor, None)
    return seen
