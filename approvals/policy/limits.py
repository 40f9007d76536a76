"""How much: amounts, attempts, messages and days. The pure checks, and the daily counters that are taken from before each outside call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest

from approvals.contract import Check
from approvals.models import DailyTake, DailyUse, Execution
from approvals.policy import rules as rules_module
from approvals.policy.reference import KEY as RATES
from approvals.policy.reference import OVER_EVERY_LIMIT, in_reference_cents
from approvals.policy.rules import Rules
from approvals.policy.subject import ORDERED_BY_PERSON, Subject
from billing_ai.kernel.money import Money

AMOUNT_PER_ACTION = "amount_per_action"
SECOND_PAIR_OF_EYES = "second_pair_of_eyes_above"
SPECIALIST = "specialist_limit"
ATTEMPTS = "attempts_per_invoice"
MESSAGES = "messages_per_invoice"
DAILY_COUNT = "daily_count"
DAILY_AMOUNT = "daily_amount"
DAILY_MODEL_SPEND = "daily_model_spend"
KEYS: dict[str, str] = {
    AMOUNT_PER_ACTION: "Largest amount that one action may move without a person, in reference cents",
    SECOND_PAIR_OF_EYES: "Above this amount two people approve, one of them a lead, in reference cents",
    SPECIALIST: "Largest amount that a specialist may approve alone, in reference cents",
    ATTEMPTS: "Collection attempts of ours on one invoice",
    MESSAGES: "Messages of ours about one invoice",
    DAILY_COUNT: "Actions in a day (UTC)",
    DAILY_AMOUNT: "Money moved in a day (UTC), per currency, in reference cents",
    DAILY_MODEL_SPEND: "What models may cost in a day (UTC), in millionths of a US dollar",
}
"""Every limit there is. `specialist_limit.<user id>` is one specialist's own, `daily_amount.EUR` one currency's own."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What has been used up: on the invoice, and today by the agent."""

    attempts_on_invoice: int = 0
    messages_on_invoice: int = 0
    used_today: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Weighed:
    """The checks, and who has to approve."""

    checks: tuple[Check, ...]
    approvals_needed: int
    role_needed: Literal["specialist", "lead"]


def weigh(subject: Subject, counts: Counts, rules: Rules, now: datetime) -> Weighed:
    """Every limit that is about this subject. Amounts compare in reference cents; a currency without a rate is over all of them."""
    amount = _in_reference(subject.amount, rules)
    checks = []
    if amount >= OVER_EVERY_LIMIT:
        checks.append(
            Check(
                "limits.unknown_currency", "person", f"There is no reference rate for {subject.currency}, so it counts as over every limit."
            )
        )
    if subject.agent != ORDERED_BY_PERSON:
        checks.append(_amount_per_action(subject, amount, rules))
        checks += _per_invoice(subject, counts, rules)
        checks += _daily(subject, amount, counts, rules, now)
    needed, role, approval = _approvals(subject, amount, rules)
    return Weighed((*checks, *approval), needed, role)


def _in_reference(amount: Money, rules: Rules) -> int:
    rule = rules.policies.get(RATES)
    return abs(in_reference_cents(amount, rule.params if rule is not None and rule.is_enabled else {}))


def _missing(rule: str, key: str) -> Check:
    return Check(rule, "person", f"The limit “{KEYS[key]}” is not set, so nothing happens without a person.")


def _amount_per_action(subject: Subject, amount: int, rules: Rules) -> Check:
    rule = f"limits.{AMOUNT_PER_ACTION}"
    limit = rules.limit(subject.agent, AMOUNT_PER_ACTION)
    if limit is None:
        return _missing(rule, AMOUNT_PER_ACTION)
    if amount > limit:
        return Check(rule, "person", "The amount is above what may be done without a person.", data={"amount": amount, "limit": limit})
    return Check(rule, "allow", "The amount is within what one action may move.", data={"amount": amount, "limit": limit})


def _per_invoice(subject: Subject, counts: Counts, rules: Rules) -> list[Check]:
    checks = []
    for applies, key, used, what in (
        (subject.collects, ATTEMPTS, counts.attempts_on_invoice, "attempts of ours on this invoice"),
        (subject.contacts, MESSAGES, counts.messages_on_invoice, "messages about this invoice"),
    ):
        if not applies:
            continue
        rule, limit = f"limits.{key}", rules.limit(subject.agent, key)
        if limit is None:
            checks.append(_missing(rule, key))
        else:
            outcome: Literal["allow", "deny"] = "allow" if used < limit else "deny"
            checks.append(Check(rule, outcome, f"{used} of {limit} {what} used.", data={"used": used, "limit": limit}))
    return checks


def _told(key: str, value: int) -> str:
    """A count as it is; an amount of reference cents as whole units, so that nobody reads cents as money."""
    return f"{value // 100:,} (in the reference currency)" if key.startswith(DAILY_AMOUNT) else f"{value:,}"


def _daily(subject: Subject, amount: int, counts: Counts, rules: Rules, now: datetime) -> list[Check]:
    checks = []
    for key, limit_key, more in _takes(subject, amount):
        rule = f"limits.{limit_key}"
        limit = _daily_limit(subject, key, limit_key, rules)
        used = counts.used_today.get(key, 0)
        if limit is None:
            checks.append(_missing(rule, limit_key))
        elif used + more <= limit:
            checks.append(
                Check(rule, "allow", f"{_told(key, used)} of {_told(key, limit)} used today.", data={"used": used, "limit": limit})
            )
        elif more > limit:
            checks.append(
                Check(rule, "deny", f"This alone is above the limit of one day ({_told(key, limit)}).", data={"used": used, "limit": limit})
            )
        else:
            checks.append(
                Check(
                    rule,
                    "wait",
                    f"{_told(key, used)} of {_told(key, limit)} used today; there is room again tomorrow.",
                    _tomorrow(now),
                    {"used": used, "limit": limit},
                )
            )
    return checks


def _takes(subject: Subject, amount: int) -> list[tuple[str, str, int]]:
    """(counter, limit, how much) that one action takes from the day."""
    takes = [(DAILY_COUNT, DAILY_COUNT, 1)]
    if amount:
        takes.append((f"{DAILY_AMOUNT}.{subject.amount.currency}", DAILY_AMOUNT, amount))
    return takes


def _daily_limit(subject: Subject, key: str, limit_key: str, rules: Rules) -> int | None:
    own = rules.limit(subject.agent, key)
    return own if own is not None else rules.limit(subject.agent, limit_key)


def _tomorrow(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(0), UTC)


def _approvals(subject: Subject, amount: int, rules: Rules) -> tuple[int, Literal["specialist", "lead"], list[Check]]:
    if not amount:
        return 1, "specialist", []
    agent = subject.agent
    two = rules.limit(agent, SECOND_PAIR_OF_EYES)
    alone = rules.limit(agent, SPECIALIST)
    own = rules.limit(agent, f"{SPECIALIST}.{subject.approver_id}") if subject.approver_id is not None else None
    alone = own if own is not None else alone
    if two is None or alone is None:
        missing = SECOND_PAIR_OF_EYES if two is None else SPECIALIST
        return 2, "lead", [_missing(f"limits.{missing}", missing)]
    checks = []
    if amount > two:
        sentence = "The amount needs two people, one of them a lead."
        checks.append(Check(f"limits.{SECOND_PAIR_OF_EYES}", "person", sentence, data={"amount": amount, "limit": two}))
    if amount > alone:
        sentence = "The amount is above what a specialist may approve alone."
        checks.append(Check(f"limits.{SPECIALIST}", "person", sentence, data={"amount": amount, "limit": alone}))
    return (2 if amount > two else 1), ("lead" if amount > min(two, alone) else "specialist"), checks


def used_today(agent: str, now: datetime) -> dict[str, int]:
    """What the agent has used of each daily counter."""
    return dict(used_on(agent, now.astimezone(UTC).date()))


def used_on(agent: str, day: date) -> QuerySet[Any, tuple[str, int]]:
    """The same for a day, as a question to be asked with others: (counter, used)."""
    return DailyUse.objects.filter(agent=agent, on=day).values_list("key", "used")


def take(execution: Execution, *, now: datetime) -> Check:
    """Take this execution's share of today's limits, all of it or nothing; the same execution takes once a day.

    Counters are raised by guarded updates in the database, so no number of workers can pass a limit. Call it before the outside call.
    """
    proposal = execution.proposal
    if proposal.agent == ORDERED_BY_PERSON:
        return Check("limits.daily", "allow", "Ordered by a person.")
    rules = rules_module.current(now)
    subject = Subject(str(proposal.pk), proposal.agent, proposal.action, proposal.step, proposal.amount, "", "", currency=proposal.currency)
    takes = _takes(subject, _in_reference(subject.amount, rules))
    today = now.astimezone(UTC).date()
    for key, limit_key, _ in takes:
        if _daily_limit(subject, key, limit_key, rules) is None:
            return Check(f"limits.{limit_key}", "deny", f"The limit “{KEYS[limit_key]}” is not set, so nothing goes out.")
    try:
        with transaction.atomic():
            if not _open_take(execution, proposal.agent, today, takes):
                return Check("limits.daily", "allow", "Counted already.")
            for key, limit_key, more in sorted(takes):
                limit = _daily_limit(subject, key, limit_key, rules) or 0
                DailyUse.objects.get_or_create(agent=proposal.agent, on=today, key=key)
                if not DailyUse.objects.filter(agent=proposal.agent, on=today, key=key, used__lte=limit - more).update(
                    used=F("used") + more
                ):
                    raise _DayIsFull(limit_key, never=more > limit)
    except _DayIsFull as full:
        if full.never:
            return Check(f"limits.{full.limit_key}", "deny", "This alone is above the limit of one day.")
        return Check(f"limits.{full.limit_key}", "wait", "The limit of today is used up; there is room again tomorrow.", _tomorrow(now))
    except IntegrityError:
        return Check("limits.daily", "allow", "Counted already.")  # another worker wrote this execution's own row first
    return Check("limits.daily", "allow", "Within the limits of today.")


def give_back(execution: Execution) -> bool:
    """Undo `take` for a call that was not made. False when there is nothing to give back."""
    with transaction.atomic():
        held = DailyTake.objects.select_for_update().filter(execution=execution, given_back=False).first()
        if held is None:
            return False
        for key, more in sorted(held.amounts.items()):
            DailyUse.objects.filter(agent=held.agent, on=held.on, key=key).update(used=Greatest(F("used") - more, 0))
        held.given_back = True
        held.save(update_fields=["given_back"])
        return True


class _DayIsFull(Exception):
    def __init__(self, limit_key: str, *, never: bool) -> None:
        super().__init__(limit_key)
        self.limit_key = limit_key
        self.never = never


def _open_take(execution: Execution, agent: str, today: date, takes: list[tuple[str, str, int]]) -> bool:
    """This execution's own row; False when it counts for today already. One that waited over midnight counts for the new day too."""
    amounts = {key: more for key, _, more in takes}
    held = DailyTake.objects.select_for_update().filter(execution=execution).first()
    if held is None:
        DailyTake.objects.create(execution=execution, agent=agent, on=today, amounts=amounts)
        return True
    if held.on == today and not held.given_back:
        return False
    held.on, held.amounts, held.given_back = today, amounts, False
    held.save()
    return True
