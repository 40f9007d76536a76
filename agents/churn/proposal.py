"""The decision as values: a case about the customer as a whole, the one step that a rule asks for, and what is kept on the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agents.churn.context import CASE_KIND, PLAIN_CURRENCY, ChurnContext
from agents.churn.decide import ChurnDecision
from agents.churn.models import Intervention
from agents.platform.llm.requests import DraftAnswer
from approvals.contract import CaseDraft, ProposalDraft, Reason
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money

SAVABLE = 0.10
"""The share of the risk that a step is taken to save, to order the queue by, until the hold-out group tells better."""
_MONTHS = 12


def build(
    context: ChurnContext, decision: ChurnDecision, answers: Mapping[str, DraftAnswer]
) -> tuple[CaseDraft | None, Sequence[ProposalDraft], Mapping[str, Any]]:
    """A case when a step is proposed or the open one is over; else only what is kept."""
    kept = _kept(decision)
    if decision.over and decision.group != Intervention.TREATED:
        return replace(_case(context, decision), over=decision.over), (), kept
    if decision.rule is None or decision.group != Intervention.TREATED:
        return None, (), kept
    return _case(context, decision), (_step(context, decision, answers),), kept


def _case(context: ChurnContext, decision: ChurnDecision) -> CaseDraft:
    customer, gathered = context.customer, context.gathered
    currency = gathered.currencies[0] or PLAIN_CURRENCY
    mrr = gathered.columns["mrr_minor"][0]
    strongest = decision.raised[0].sentence if decision.raised else ""
    return CaseDraft(
        kind=CASE_KIND,
        customer_id=customer.pk,
        invoice_id="",
        amount_due=Money(0, currency),
        category="",
        headline=f"{decision.p90:.0%} likely to leave within 90 days. {strongest[:1].upper()}{strongest[1:]}".strip(),
        likelihood_bp=round((1.0 - decision.p90) * 10_000),
        uplift_bp=round(decision.p90 * SAVABLE * 10_000),
        tier=customer.tier,
        country=customer.country,
        locale=customer.locale or "en",
        next_action=decision.rule.title if decision.rule is not None else "",
        reasons=(*decision.raised, *decision.lowered),
        at_stake=Money(round(float(mrr)) * _MONTHS if mrr == mrr else 0, currency),
    )


def _step(context: ChurnContext, decision: ChurnDecision, answers: Mapping[str, DraftAnswer]) -> ProposalDraft:
    rule = decision.rule
    if rule is None:
        raise ValueError("a step is made of a rule")
    step = step_of(decision, context)
    answer = answers.get(step)
    payload = {"customer_id": context.customer.pk, **rule.params}
    return ProposalDraft(
        rule.action,
        step,
        Money(0, context.gathered.currencies[0] or PLAIN_CURRENCY),
        payload if answer is None else {**payload, "notes": list(answer.notes), **answer.origin},
        words=answer.words if answer is not None else None,
        reasons=(*decision.raised, *(Reason("words", sentence) for sentence in (answer.reasons if answer is not None else ()))),
        needs_person=answer is not None,
        words_from=answer.model if answer is not None else "",
    )


def step_of(decision: ChurnDecision, context: ChurnContext) -> str:
    """Which step this is: the rule, and the day, since a rule may come again after its cool-down."""
    key = decision.rule.key if decision.rule is not None else ""
    return f"{key}:{clock.utc_date(context.as_of)}"


def _kept(decision: ChurnDecision) -> dict[str, Any]:
    return {
        "p30": round(float(decision.scores.probabilities[0, 0]), 4),
        "p60": round(float(decision.scores.probabilities[0, 1]), 4),
        "p90": round(decision.p90, 4),
        "band": decision.band,
        "band_before": decision.band_before,
        "trend": decision.trend,
        "raised": [reason.code for reason in decision.raised],
        "lowered": [reason.code for reason in decision.lowered],
        "rule": decision.rule.key if decision.rule is not None else "",
        "group": decision.group,
        "why": decision.why,
        "over": decision.over,
    }
