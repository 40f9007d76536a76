"""When to try again: paydays, past successes, spacing, and when not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from approvals.policy.paydays import days_since_payday, habit_of, is_payday
from approvals.policy.planner import Attempt, NoRetry, PlannedRetry, RetryQuestion, plan_retry
from billing_ai.facts.decline_codes import UNKNOWN, Decline, classify

NOW = datetime(2026, 3, 11, 12, 0, tzinfo=UTC)
POOR = classify("stripe", "insufficient_funds")


def tried(at: datetime, succeeded: bool = False) -> Attempt:
    return Attempt(at, succeeded, "card_1", "gw_1", 4_900, "EUR", "" if succeeded else "insufficient_funds")


QUESTION = RetryQuestion(
    decline=POOR, instrument_hash="card_1", network="visa", payment_method="card", country="DE", currency="EUR", amount_minor=4_900,
    time_zone="Europe/Berlin", attempts=(tried(NOW - timedelta(hours=1)),),
)  # fmt: skip


def planned(question: RetryQuestion, now: datetime = NOW) -> PlannedRetry:
    answer = plan_retry(question, now)
    assert isinstance(answer, PlannedRetry)
    return answer


@pytest.mark.parametrize(
    ("country", "day", "expected"),
    [
        ("CH", date(2026, 3, 25), True),
        ("CH", date(2026, 3, 24), False),
        # The 25th of April 2026 is a Saturday: wages come on the Friday before.
        ("CH", date(2026, 4, 24), True),
        ("CH", date(2026, 4, 25), False),
        ("DK", date(2026, 2, 27), True),
        ("DK", date(2028, 2, 29), True),
        ("US", date(2026, 3, 13), True),
        ("US", date(2026, 3, 12), False),
        ("AU", date(2026, 3, 12), True),
    ],
)
def test_paydays(country: str, day: date, expected: bool) -> None:
    assert is_payday(day, habit_of(country, "")) is expected


def test_the_habit_of_the_currency_stands_in_for_an_unknown_country() -> None:
    assert habit_of("", "SEK") == habit_of("SE", "SEK")
    assert habit_of("", "EUR") == habit_of("XX", "XXX")
    assert days_since_payday(date(2026, 3, 27), habit_of("SE", "")) == 2


def test_money_that_was_short_is_tried_after_the_next_payday() -> None:
    answer = planned(QUESTION)

    # The 15th is a Sunday, so wages come on Friday the 13th.
    assert answer.at == datetime(2026, 3, 13, 8, 0, tzinfo=UTC)
    assert answer.reasons[0].sentence == "Friday 13 March is a payday where the customer is."


def test_a_customer_without_a_payday_nearby_is_not_kept_waiting_for_weeks() -> None:
    swiss = replace(QUESTION, country="CH", currency="CHF", time_zone="Europe/Zurich")

    assert planned(swiss).at == datetime(2026, 3, 25, 8, 0, tzinfo=UTC)
    assert planned(replace(swiss, decline=classify("stripe", "do_not_honor"))).at == datetime(2026, 3, 13, 8, 0, tzinfo=UTC)


def test_the_hour_is_the_one_at_which_payments_went_through_before() -> None:
    before = tuple(tried(datetime(2026, month, 13, 16, 5, tzinfo=UTC), succeeded=True) for month in (1, 2))

    answer = planned(replace(QUESTION, attempts=(*before, *QUESTION.attempts)))

    assert answer.at == datetime(2026, 3, 13, 16, 0, tzinfo=UTC)
    assert "retry.past_success" in [reason.code for reason in answer.reasons]


def test_the_hour_keeps_to_the_customers_clock_over_a_clock_change() -> None:
    late = replace(QUESTION, attempts=(tried(datetime(2026, 3, 27, 12, 0, tzinfo=UTC)),))

    answer = planned(late, datetime(2026, 3, 27, 13, 0, tzinfo=UTC))

    # Tuesday the 31st, 09:00 in summer time.
    assert answer.at == datetime(2026, 3, 31, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(("failures", "days"), [(1, 1), (2, 2), (3, 3), (4, 5), (5, 7), (9, 7)])
def test_tries_are_spaced_further_apart_with_each_failure(failures: int, days: int) -> None:
    question = replace(QUESTION, decline=classify("stripe", "do_not_honor"), invoice_failures=failures)

    assert planned(question).at >= NOW - timedelta(hours=1) + timedelta(days=days)


@pytest.mark.parametrize(("failures", "hours"), [(1, 2), (2, 6), (3, 24), (4, 48), (8, 48)])
def test_a_technical_fault_is_tried_again_soon(failures: int, hours: int) -> None:
    question = replace(QUESTION, decline=classify("stripe", "processing_error"), invoice_failures=failures)

    assert planned(question).at == NOW - timedelta(hours=1) + timedelta(hours=hours)


def test_the_banks_own_waiting_time_is_kept() -> None:
    asked = replace(QUESTION, decline=Decline("insufficient_funds", "yes", 240, ""))

    answer = planned(asked)

    assert answer.at >= NOW - timedelta(hours=1) + timedelta(hours=240)
    assert "retry.waiting_time" in [reason.code for reason in answer.reasons]


@pytest.mark.parametrize(
    ("decline", "rule"),
    [
        (classify("stripe", "lost_card"), "retry.hard_decline"),
        (classify("stripe", "expired_card"), "retry.hard_decline"),
        (classify("stripe", "authentication_required"), "retry.authentication"),
        (classify("stripe", "incorrect_pin"), "retry.customer_action"),
        (classify("braintree", "2023"), "retry.configuration"),
        (UNKNOWN, "retry.unknown_code"),
    ],
)
def test_a_hard_decline_is_never_tried_again(decline: Decline, rule: str) -> None:
    answer = plan_retry(replace(QUESTION, decline=decline), NOW)

    assert isinstance(answer, NoRetry)
    assert answer.rule == rule


def test_a_new_card_is_tried_at_once_whatever_the_old_ones_bank_said() -> None:
    assert planned(replace(QUESTION, decline=classify("stripe", "lost_card"), is_new_instrument=True)).at == NOW + timedelta(minutes=5)


def test_the_ledgers_next_slot_moves_the_retry_or_leaves_none() -> None:
    soon, late = NOW + timedelta(days=10), NOW + timedelta(days=40)

    assert planned(replace(QUESTION, not_before=soon)).at >= soon
    assert plan_retry(replace(QUESTION, not_before=late), NOW) == NoRetry(
        "The network's limit leaves no slot within the next three weeks.", "retry.window"
    )


def test_an_unknown_zone_only_moves_the_hour() -> None:
    assert planned(replace(QUESTION, time_zone="", country="")).at.hour == 9
