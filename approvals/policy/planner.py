"""When to try again: the earliest slot worth trying, by how likely it is to go through. Pure; the retry rules have the last word.

Three things move a slot's likelihood: how many days after a payday it lies (only where money was short), whether past payments of this
customer went through at that hour, weekday or day of the month, and how long the bank has had to change its mind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from approvals.contract import Reason
from approvals.policy.paydays import Habit, days_since_payday, habit_of
from approvals.policy.quiet_hours import next_minute, possible_zones
from billing_ai.facts.decline_codes import Decline

HORIZON_DAYS = 21
GOOD_ENOUGH = 0.85
"""The earliest slot with at least this share of the best slot's likelihood is taken."""
USUAL_HOUR = 9
"""Wages are booked overnight; by nine they are there."""
_FEWEST_PAST_PAYMENTS = 2
_SHORT_OF_MONEY = frozenset({"insufficient_funds", "limit_exceeded"})
_PASSING = frozenset({"processor_error"})
_DAYS_BETWEEN = (1, 2, 3, 5, 7)
"""Days to leave after the first, second … failure on the invoice."""
_HOURS_AFTER_A_FAULT = (2, 6, 24, 48)
_NO_RETRY = {
    "no": ("retry.hard_decline", "The bank said never to try this again."),
    "after_update": ("retry.hard_decline", "This card or mandate cannot be charged any more; the customer has to give a new one."),
    "after_auth": ("retry.authentication", "The bank wants the customer to authenticate: a link, not a retry."),
    "after_customer_action": ("retry.customer_action", "The customer has to do something at their bank first."),
    "fix_config": ("retry.configuration", "Our own set-up at the gateway is at fault; a retry would fail the same way."),
    "unknown": ("retry.unknown_code", "We do not know what the decline means, so it is not tried again."),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One past try to collect from this customer."""

    at: datetime
    succeeded: bool
    instrument_hash: str
    merchant_account: str
    amount_minor: int
    currency: str
    decline_code: str = ""
    decline_category: str = ""


@dataclass(frozen=True, slots=True)
class RetryQuestion:
    """What failed, how, on what, and everything that was tried before. `not_before`: the retry ledger's next safe slot, None: at once."""

    decline: Decline
    instrument_hash: str
    network: str
    payment_method: str
    country: str
    currency: str
    amount_minor: int
    time_zone: str
    attempts: tuple[Attempt, ...] = ()
    invoice_failures: int = 1
    is_new_instrument: bool = False
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class PlannedRetry:
    """The slot, why it was chosen, and how likely it is to go through (0–10,000)."""

    at: datetime
    reasons: tuple[Reason, ...] = ()
    likelihood_bp: int = 0


@dataclass(frozen=True, slots=True)
class NoRetry:
    """No retry makes sense: the sentence that a person reads, and the rule."""

    sentence: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class _Slot:
    at: datetime
    likelihood: float
    days_after_payday: int | None


def plan_retry(question: RetryQuestion, now: datetime) -> PlannedRetry | NoRetry:
    """The slot to propose, or why there is none. Times are aware UTC on a full minute."""
    if question.is_new_instrument:
        at = next_minute(now + timedelta(minutes=5))
        return PlannedRetry(at, (Reason("retry.new_instrument", "There is a new card on file: it can be tried at once."),), 6_000)
    if question.decline.retryable != "yes":
        rule, sentence = _NO_RETRY[question.decline.retryable]
        return NoRetry(sentence, rule)
    earliest = _earliest(question, now)
    free = max(earliest, question.not_before or earliest)
    if free > earliest + timedelta(days=HORIZON_DAYS):
        return NoRetry("The network's limit leaves no slot within the next three weeks.", "retry.window")
    if question.decline.category in _PASSING:
        sentence = "A technical fault passes by itself; a short wait is enough."
        return PlannedRetry(next_minute(free), (Reason("retry.technical_fault", sentence),), 6_000)
    return _best(question, free)


def _best(question: RetryQuestion, free: datetime) -> PlannedRetry | NoRetry:
    zone = _zone(question)
    past = _past_payments(question, zone)
    habit = habit_of(question.country, question.currency)
    slots = [_slot(question, at, zone, habit, past) for at in _candidates(free, zone, _hour(past))]
    best = max(slot.likelihood for slot in slots)
    chosen = next(slot for slot in slots if slot.likelihood >= best * GOOD_ENOUGH)
    return PlannedRetry(chosen.at, tuple(_reasons(question, chosen, zone, past)), round(chosen.likelihood * 10_000))


def _earliest(question: RetryQuestion, now: datetime) -> datetime:
    """Not before the bank's own waiting time, and further apart with each failure."""
    failures = max(1, question.invoice_failures)
    last = max((one.at for one in question.attempts if not one.succeeded), default=now)
    if question.decline.category in _PASSING:
        gap = timedelta(hours=_HOURS_AFTER_A_FAULT[min(failures, len(_HOURS_AFTER_A_FAULT)) - 1])
    else:
        gap = timedelta(days=_DAYS_BETWEEN[min(failures, len(_DAYS_BETWEEN)) - 1])
    waits = [last + gap, now + timedelta(minutes=5)]
    if question.decline.min_wait_hours is not None:
        waits.append(last + timedelta(hours=question.decline.min_wait_hours))
    return max(waits)


def _candidates(free: datetime, zone: ZoneInfo, hour: int) -> Iterable[datetime]:
    """The usual hour of each day from `free` on, as instants. Never empty."""
    first = free.astimezone(zone).date()
    for ahead in range(HORIZON_DAYS + 1):
        at = datetime.combine(first + timedelta(days=ahead), time(hour), zone).astimezone(UTC)
        if at >= free:
            yield at


def _slot(question: RetryQuestion, at: datetime, zone: ZoneInfo, habit: Habit, past: Sequence[datetime]) -> _Slot:
    day = at.astimezone(zone).date()
    likelihood = 0.30
    after: int | None = None
    if question.decline.category in _SHORT_OF_MONEY:
        after = days_since_payday(day, habit)
        likelihood = 0.20 + 0.30 * max(0.0, 1 - after / 6)
    likelihood += 0.15 * _share(past, day)
    # The bank forgets, and so does the customer: each day of waiting costs a little.
    waited = max(0, (at - max((one.at for one in question.attempts), default=at)).days)
    likelihood *= 0.985**waited
    likelihood *= 0.85 ** max(0, question.invoice_failures - 1)
    return _Slot(at, min(0.95, likelihood), after)


def _share(past: Sequence[datetime], day: date) -> float:
    """How much of what went through before, went through on such a day: same weekday or within a day of the same day of the month."""
    if len(past) < _FEWEST_PAST_PAYMENTS:
        return 0.0
    alike = sum(1 for one in past if one.weekday() == day.weekday() or abs(one.day - day.day) <= 1)
    return alike / len(past)


def _past_payments(question: RetryQuestion, zone: ZoneInfo) -> list[datetime]:
    return [one.at.astimezone(zone) for one in question.attempts if one.succeeded]


def _hour(past: Sequence[datetime]) -> int:
    """The hour at which most payments went through, kept between 6 and 20; nine without a habit."""
    if len(past) < _FEWEST_PAST_PAYMENTS:
        return USUAL_HOUR
    hours = Counter(one.hour for one in past)
    most = max(hours.values())
    return min(20, max(6, min(hour for hour, times in hours.items() if times == most)))


def _reasons(question: RetryQuestion, slot: _Slot, zone: ZoneInfo, past: Sequence[datetime]) -> Iterable[Reason]:
    local = slot.at.astimezone(zone)
    after = slot.days_after_payday
    if after is not None and after <= 2:
        when = "a payday" if after == 0 else "a day after a payday" if after == 1 else f"{after} days after a payday"
        yield Reason("retry.payday", f"{local:%A %d %B} is {when} where the customer is.", slot.likelihood)
    if _share(past, local.date()) >= 0.5:
        yield Reason("retry.past_success", "Payments of this customer went through on such a day before.", 0.15)
    if question.decline.min_wait_hours:
        yield Reason("retry.waiting_time", f"The bank asked to wait {question.decline.min_wait_hours} hours.")
    if question.invoice_failures > 1:
        yield Reason("retry.further_apart", f"After {question.invoice_failures} failures the tries are spaced further apart.")
    yield Reason("retry.hour", f"At {local:%H:%M} where the customer is.")


def _zone(question: RetryQuestion) -> ZoneInfo:
    """The customer's zone; of several that are possible, the first; UTC when nothing is known. It only moves the hour."""
    if not question.time_zone and not question.country:
        return ZoneInfo("UTC")
    return possible_zones(question.time_zone, question.country)[0]
