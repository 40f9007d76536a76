"""What models may cost in a day, kept in the database: reserved before each call under a guarded update, settled after it.

Two limits hold at once: LLM_DAILY_BUDGET_USD for all agents together, and the Limit row `daily_model_spend` of one agent (millionths of a US dollar, as the console shows it).
A call whose price nobody knows costs NULL, and counts as `UNKNOWN_COST_COUNTS_AS` against the limits, so that an unpriced model cannot run for ever.
Days are UTC. A process that dies in a call leaves its reservation: the budget then errs on the side of not calling.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.conf import settings
from django.db.models import F

from agents.models import ModelSpend
from approvals.models import Limit
from approvals.policy.limits import DAILY_MODEL_SPEND
from billing_ai.kernel import clock

ALL = "*"
UNKNOWN_COST_COUNTS_AS = 10_000
"""Millionths of a US dollar: one cent a call."""
AGENT_LIMIT_KEY = DAILY_MODEL_SPEND


class BudgetSpent(Exception):
    """No call may be made: `rule` names the limit, `sentence` says it to a reviewer."""

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(f"{rule}: {sentence}")
        self.rule = rule
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside for one call, in millionths of a US dollar."""

    day: date
    agent: str
    micro_usd: int
    price_known: bool


def _take(day: date, agent: str, amount: int, limit: int | None) -> bool:
    rows = ModelSpend.objects.filter(day=day, agent=agent)
    if limit is not None:
        rows = rows.annotate(
            used=F("reserved_micro_usd") + F("spent_micro_usd") + F("unknown_cost_calls") * UNKNOWN_COST_COUNTS_AS,
        ).filter(used__lte=limit - amount)
    return bool(rows.update(reserved_micro_usd=F("reserved_micro_usd") + amount, calls=F("calls") + 1))


def reserve(agent: str, estimate_micro_usd: int | None) -> Reservation:
    """Money for one call of `agent`; None when the price is unknown, 0 for a provider that is free. Call it inside a transaction.

    Raises BudgetSpent: nothing was reserved then, provided the caller's transaction is rolled back.
    """
    day = clock.utc_date(clock.now())
    amount = UNKNOWN_COST_COUNTS_AS if estimate_micro_usd is None else estimate_micro_usd
    reservation = Reservation(day, agent, amount, estimate_micro_usd is not None)
    ModelSpend.objects.bulk_create([ModelSpend(day=day, agent=ALL), ModelSpend(day=day, agent=agent)], ignore_conflicts=True)
    is_free = estimate_micro_usd == 0
    whole = int(settings.LLM_DAILY_BUDGET_USD * 1_000_000)
    # Always the row of all agents first, so that two calls never wait for each other crosswise.
    if not _take(day, ALL, amount, None if is_free else whole):
        raise BudgetSpent("model.daily_budget", "The day's budget for models is spent, so no model was asked.")
    own = Limit.objects.filter(agent=agent, key=AGENT_LIMIT_KEY).values_list("value", flat=True).first()
    if not _take(day, agent, amount, None if is_free else own):
        raise BudgetSpent("model.agent_budget", f"The day's model budget of {agent} is spent, so no model was asked.")
    return reservation


def settle(reservation: Reservation, cost_micro_usd: int | None, *, was_made: bool = True) -> None:
    """Replaces what was reserved by what the call cost; None: unknown. `was_made` False: nothing was sent, and it counts for nothing."""
    unknown = 1 if was_made and cost_micro_usd is None else 0
    for agent in (ALL, reservation.agent):
        ModelSpend.objects.filter(day=reservation.day, agent=agent).update(
            reserved_micro_usd=F("reserved_micro_usd") - reservation.micro_usd,
            spent_micro_usd=F("spent_micro_usd") + (cost_micro_usd or 0),
            unknown_cost_calls=F("unknown_cost_calls") + unknown,
        )
