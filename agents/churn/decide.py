"""The decision about one customer: pure, from the context and the moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agents.churn.context import ChurnContext
from agents.churn.interventions import RuleValue, Situation, fitting
from agents.churn.models import ChurnScore
from agents.churn.queries import because
from agents.churn.scoring import BatchScores, trends
from agents.churn.signals import CustomerSignals
from approvals.contract import Reason

Group = Literal["treated", "held_out", "observed", ""]
MOST_REASONS = 4
SMALLEST_EFFECT = 0.05
SHOWN_UNDER = {
    "failed_payments": "payments", "late_payments": "invoices", "disputes": "cases", "downgrades": "subscriptions", "tenure": "customer",
    "mrr_change": "subscriptions", "seat_change": "subscriptions", "discount_ends": "subscriptions", "card_expires": "customer",
    "renewal": "subscriptions", "cancellation": "subscriptions", "reactivated": "subscriptions", "tickets_open": "tickets",
    "oldest_ticket": "tickets", "ticket_tone": "tickets", "answer_rate": "said", "usage_change": "usage", "usage": "usage",
}  # fmt: skip
"""Which facts of the customer a signal was read from, as `Reason.fact` names them."""


@dataclass(frozen=True, slots=True)
class ChurnDecision:
    """The score as it is written, and what follows from it."""

    scores: BatchScores
    """Arrays of one."""
    band: str
    trend: str
    band_before: str
    """The band that this one replaces; empty when it is the same, or the first."""
    raised: tuple[Reason, ...]
    lowered: tuple[Reason, ...]
    rule: RuleValue | None
    group: Group
    """Which group the intervention counts in; empty: there is none."""
    why: str
    """Why that rule, or why nothing is done, in a sentence."""
    over: str
    """Why the customer's open case has come to its end; empty: it has not, or there is none."""

    @property
    def p90(self) -> float:
        """The chance of leaving within 90 days."""
        return float(self.scores.probabilities[0, 2])


def decide(context: ChurnContext, now: datetime) -> ChurnDecision:
    """Score the customer and see whether a rule fits."""
    gathered, before = context.gathered, context.before
    scores = context.scorer.score(gathered.columns)
    trend = trends(scores.probabilities[:, 2], before.p90_month_ago)
    changed = (before.bands >= 0) & gathered.is_active & (before.bands != scores.bands)
    seen = Situation(
        bands=scores.bands,
        bands_before=np.where(changed, before.bands, before.bands_before),
        band_changed_at=np.where(changed, now.timestamp(), before.band_changed_at),
        trends=trend,
        segments=gathered.segments,
        is_active=gathered.is_active,
        now=now.timestamp(),
    )
    rule, group, why = _intervention(context, seen, now)
    raised, lowered = reasons(context)
    return ChurnDecision(
        scores=scores,
        band=ChurnScore.BANDS[scores.bands[0]],
        trend=ChurnScore.TRENDS[trend[0]],
        band_before=ChurnScore.BANDS[before.bands[0]] if changed[0] else "",
        raised=raised,
        lowered=lowered,
        rule=rule,
        group=group,
        why=why,
        over=_over(context, scores.bands),
    )


def _intervention(context: ChurnContext, seen: Situation, now: datetime) -> tuple[RuleValue | None, Group, str]:
    position = int(fitting(context.rules, seen)[0])
    if position < 0:
        return None, "", "No rule fits."
    rule = context.rules[position]
    if context.cool_until is not None and context.cool_until > now:
        return None, "", f"“{rule.title}” fits, but the last intervention keeps another one off until {context.cool_until:%Y-%m-%d}."
    if context.is_held_out:
        return rule, "held_out", f"“{rule.title}” fits, but the customer is in the group that gets no intervention."
    if context.is_observed:
        return rule, "observed", f"“{rule.title}” fits; the agent only observes, so it is counted and nothing is proposed."
    return rule, "treated", f"“{rule.title}” fits."


def _over(context: ChurnContext, bands: NDArray[np.int64]) -> str:
    if not context.has_open_case:
        return ""
    if not context.gathered.is_active[0]:
        return "the customer has left"
    return "the risk has fallen to low" if ChurnScore.BANDS[bands[0]] == ChurnScore.LOW else ""


def reasons(context: ChurnContext) -> tuple[tuple[Reason, ...], tuple[Reason, ...]]:
    """What raised the score and what lowered it, strongest first, against the customer's own past and the segment."""
    now = signals_now(context)
    effects = {name: float(values[0]) for name, values in context.scorer.effects(context.gathered.columns).items()}
    ordered = sorted(effects, key=lambda name: -abs(effects[name]))
    said = {
        name: Reason(
            name, because(name, now, context.past, context.peers).words, effects[name], f"{SHOWN_UNDER[name]}:{context.customer.pk}"
        )
        for name in ordered
        if abs(effects[name]) >= SMALLEST_EFFECT
    }
    raised = tuple(one for one in said.values() if one.weight > 0)[:MOST_REASONS]
    return raised, tuple(one for one in said.values() if one.weight < 0)[:MOST_REASONS]


def signals_now(context: ChurnContext) -> CustomerSignals:
    """The customer's figures of this moment, None where nothing is known."""
    values = {name: float(column[0]) for name, column in context.gathered.columns.items()}
    known = {name: value for name, value in values.items() if value == value}
    reactivated = known.pop("was_reactivated", None)
    return CustomerSignals(**known, was_reactivated=None if reactivated is None else bool(reactivated))
