"""The decision as values: one case and the proposals that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from agents.dunning.context import DunningContext
from agents.dunning.decide import DunningDecision, reasons_to_keep
from agents.dunning.features import words_for
from agents.platform.llm.requests import DraftAnswer
from approvals.contract import CaseDraft, ProposalDraft, Reason
from billing_ai.kernel.money import Money

_PAUSE_DAYS = 30


def message_step(context: DunningContext) -> str:
    """Which message of the case this is: the first, the second …"""
    return f"message:{len(context.said) + 1}"


def build(
    context: DunningContext, decision: DunningDecision, answers: Mapping[str, DraftAnswer]
) -> tuple[CaseDraft, Sequence[ProposalDraft], Mapping[str, Any]]:
    """The case, its proposals, and what is kept on the run."""
    due = Money(context.invoice.amount_due_minor, context.invoice.currency)
    failures = len(context.failures)
    case = CaseDraft(
        kind="dunning",
        customer_id=context.customer.pk,
        invoice_id=context.invoice.pk,
        amount_due=due,
        category=decision.category,
        headline=decision.headline,
        likelihood_bp=decision.score.likelihood_bp,
        uplift_bp=decision.score.uplift_bp,
        tier=context.customer.tier,
        country=context.customer.country,
        locale=context.customer.locale or "en",
        needs_person=bool(decision.escalate),
        next_action=decision.next_action,
        reasons=reasons_to_keep(decision.score),
    )
    needs_person = bool(decision.escalate)
    proposals = [
        *_message(context, decision, answers, due, needs_person),
        *_retry(decision, due, failures, needs_person),
        _comment(context, decision, failures),
    ]
    if decision.escalate:
        proposals.append(
            ProposalDraft(
                "create_ticket",
                f"ticket:{failures}",
                Money(0, due.currency),
                {"priority": "high" if decision.score.likelihood_bp < 3_000 else "normal"},
                reasons=tuple(Reason("escalate", sentence) for sentence in decision.escalate),
                needs_person=True,
            )
        )
    if decision.pause_subscription_id:
        proposals.append(
            ProposalDraft(
                "pause_subscription",
                "pause",
                Money(0, due.currency),
                {"subscription_id": decision.pause_subscription_id, "days": _PAUSE_DAYS},
                reasons=(Reason("pause", "A long-standing customer, short of money: a pause may keep them."),),
                needs_person=True,
            )
        )
    kept = {
        "category": decision.category,
        "decline_code": context.failures[0].decline_code if context.failures else "",
        "retryable": decision.decline.retryable,
        "likelihood_bp": decision.score.likelihood_bp,
        "uplift_bp": decision.score.uplift_bp,
        "stage": decision.stage,
        "tone": decision.tone,
        "channel": decision.channel,
        "retry_at": decision.retry.at.isoformat() if decision.retry else None,
        "no_retry": decision.no_retry,
        "failures": failures,
        "escalate": list(decision.escalate),
    }
    return case, tuple(proposals), kept


def _message(
    context: DunningContext, decision: DunningDecision, answers: Mapping[str, DraftAnswer], due: Money, needs_person: bool
) -> list[ProposalDraft]:
    step = message_step(context)
    answer = answers.get(step)
    if answer is None:
        return []
    return [
        ProposalDraft(
            "send_message",
            step,
            due,
            {"stage": decision.stage, "notes": list(answer.notes), **answer.origin},
            words=answer.words,
            reasons=tuple(Reason("words", sentence) for sentence in answer.reasons),
            needs_person=needs_person or (answer.needs_person and answer.model != "template") or bool(answer.notes),
            words_from=answer.model,
        )
    ]


def _retry(decision: DunningDecision, due: Money, failures: int, needs_person: bool) -> list[ProposalDraft]:
    if decision.retry is None:
        return []
    return [
        ProposalDraft(
            "collect_payment",
            f"retry:{failures}",
            due,
            {"at": decision.retry.at.isoformat()},
            not_before=decision.retry.at,
            expires_at=decision.retry.at + timedelta(days=7),
            reasons=decision.retry.reasons,
            needs_person=needs_person,
        )
    ]


def _comment(context: DunningContext, decision: DunningDecision, failures: int) -> ProposalDraft:
    plan = [f"{failures} failed attempt(s); last: {words_for(decision.category)}."]
    plan.append(f"Likelihood to come in: {decision.score.likelihood_bp / 100:.0f} %.")
    if decision.writes:
        plan.append(f"Message by {decision.channel}, {decision.stage.replace('_', ' ')}.")
    if decision.retry:
        there = context.there(decision.retry.at)
        plan.append(f"Next try planned for {there:%Y-%m-%d %H:%M} ({there.tzinfo}).")
    else:
        plan.append(f"No retry: {decision.no_retry}")
    return ProposalDraft(
        "add_comment", f"comment:{failures}.{len(context.said)}", Money(0, context.invoice.currency), {"notes": " ".join(plan)}
    )
