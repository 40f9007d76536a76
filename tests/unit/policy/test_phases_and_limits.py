"""Who may do it: phases by segment, samples, amounts, four eyes, attempts, messages and days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from approvals.policy.defaults import LIMITS
from approvals.policy.limits import Counts, weigh
from approvals.policy.phase_rules import is_sampled, phase_checks, phase_for
from approvals.policy.reference import OVER_EVERY_LIMIT, in_reference_cents
from approvals.policy.rules import PhaseRule
from approvals.policy.subject import Subject
from billing_ai.kernel.money import Money
from tests.unit.policy.rules_in_force import shipped

NOW = datetime(2026, 3, 11, 12, 0, tzinfo=UTC)
SUBJECT = Subject(
    id="p", agent="dunning", action="collect_payment", step="retry:1", amount=Money(4_900, "USD"), customer_id="c", invoice_id="inv_1",
    tier="gold", country="DE", currency="USD", plans=("pro-monthly",), tags=("pilot",),
)  # fmt: skip
EVERYONE = PhaseRule("dunning", "everyone", {}, "assist", 10)


def of(amount: int, currency: str = "USD", **more: Any) -> Subject:
    return replace(SUBJECT, amount=Money(amount, currency), currency=currency, **more)


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({"tier": ["gold", "silver"]}, True),
        ({"tier": ["silver"]}, False),
        ({"country": ["DE"]}, True),
        ({"currency": ["EUR"]}, False),
        ({"plan": ["pro-monthly"]}, True),
        ({"tag": ["pilot"]}, True),
        ({"tag": ["pilot"], "country": ["FR"]}, False),
        ({"amount_max": 4_900}, True),
        ({"amount_max": 4_899}, False),
        ({"amount_max": "4900"}, False),
        ({"shoe_size": ["44"]}, False),
        ({"tier": "gold"}, False),
        ({"tier": []}, False),
    ],
)
def test_a_segment_fits_when_all_its_conditions_hold(match: dict[str, Any], fits: bool) -> None:
    rules = shipped(phases=(EVERYONE, PhaseRule("dunning", "pilot", match, "automate", 0)))

    found = phase_for(SUBJECT, rules)

    assert found is not None
    assert found.segment == ("pilot" if fits else "everyone")


def test_the_lowest_rank_wins_and_then_the_one_that_asks_for_most() -> None:
    one = PhaseRule("dunning", "gold", {"tier": ["gold"]}, "automate", 0)
    two = PhaseRule("dunning", "gold in germany", {"tier": ["gold"], "country": ["DE"]}, "observe", 0)
    first = PhaseRule("dunning", "always", {}, "assist", 0, rank=1)

    assert phase_for(SUBJECT, shipped(phases=(EVERYONE, one, two))) == two
    assert phase_for(SUBJECT, shipped(phases=(EVERYONE, one, two, first))) == first
    assert phase_for(replace(SUBJECT, agent="churn"), shipped(phases=(EVERYONE,))) is None


@pytest.mark.parametrize(
    ("phase", "moment", "expected"),
    [
        ("observe", "propose", ("observe", "allow")),
        ("observe", "approve", ("observe", "deny")),
        ("observe", "execute", ("observe", "deny")),
        ("assist", "propose", ("assist", "person")),
        ("automate", "propose", ("automate", "allow")),
        ("nonsense", "propose", ("assist", "person")),
    ],
)
def test_what_a_phase_lets_happen(phase: str, moment: Any, expected: tuple[str, str]) -> None:
    found, checks = phase_checks(SUBJECT, shipped(phases=(PhaseRule("dunning", "everyone", {}, phase, 0),)), moment)

    assert (found, checks[0].outcome) == expected


@pytest.mark.parametrize("phase", ["observe", "assist", "automate"])
def test_what_gives_back_to_chargebee_needs_no_phase(phase: str) -> None:
    rules = shipped(phases=(PhaseRule("dunning", "everyone", {}, phase, 100),))
    release = replace(SUBJECT, action="resume_dunning", step="release:1", amount=Money(0, "USD"))

    assert [check.outcome for check in phase_checks(release, rules, "execute")[1]] == ["allow"]
    assert phase_checks(release, rules, "propose")[1][0].outcome != "allow" or phase == "observe"


def test_without_a_phase_a_person_decides() -> None:
    assert phase_checks(SUBJECT, shipped(phases=()), "propose")[1][0].outcome == "person"


def test_the_sample_is_the_same_every_time_and_about_the_share_that_was_set() -> None:
    subjects = [replace(SUBJECT, invoice_id=f"inv_{number}") for number in range(2_000)]

    sampled = [one for one in subjects if is_sampled(one, 10)]

    assert 150 < len(sampled) < 250
    assert sampled == [one for one in subjects if is_sampled(one, 10)]
    assert not any(is_sampled(one, 0) for one in subjects)
    assert all(is_sampled(one, 100) for one in subjects)
    assert set(map(id, sampled)) <= {id(one) for one in subjects if is_sampled(one, 25)}


@pytest.mark.parametrize(
    ("amount", "needed", "role", "asks"),
    [
        (50_000, 1, "specialist", set()),
        (50_001, 1, "specialist", {"limits.amount_per_action"}),
        (500_000, 1, "specialist", {"limits.amount_per_action"}),
        (500_001, 1, "lead", {"limits.amount_per_action", "limits.specialist_limit"}),
        (1_000_000, 1, "lead", {"limits.amount_per_action", "limits.specialist_limit"}),
        (1_000_001, 2, "lead", {"limits.amount_per_action", "limits.specialist_limit", "limits.second_pair_of_eyes_above"}),
    ],
)
def test_amounts_decide_who_approves(amount: int, needed: int, role: str, asks: set[str]) -> None:
    weighed = weigh(of(amount), Counts(), shipped(), NOW)

    assert (weighed.approvals_needed, weighed.role_needed) == (needed, role)
    assert {check.rule for check in weighed.checks if check.outcome == "person"} == asks


def test_a_specialist_may_have_a_limit_of_their_own() -> None:
    own = shipped(limits={**LIMITS, "specialist_limit.7": 1_000, "specialist_limit.8": 900_000})

    assert weigh(of(1_001, approver_id=7), Counts(), own, NOW).role_needed == "lead"
    assert weigh(of(900_000, approver_id=8), Counts(), own, NOW).role_needed == "specialist"
    assert weigh(of(900_000, approver_id=9), Counts(), own, NOW).role_needed == "lead"


def test_amounts_are_compared_across_currencies_and_an_unknown_one_is_over_every_limit() -> None:
    yen, dinar, unknown = of(1_000_000, "JPY"), of(1_000_000, "KWD"), of(1, "XAF")

    assert weigh(yen, Counts(), shipped(), NOW).role_needed == "lead"  # 6,700 dollars
    assert weigh(dinar, Counts(), shipped(), NOW).role_needed == "specialist"  # 3,250 dollars
    assert weigh(unknown, Counts(), shipped(), NOW).approvals_needed == 2


@pytest.mark.parametrize(
    ("money", "cents"),
    [
        (Money(100, "USD"), 100),
        (Money(100, "EUR"), 108),
        (Money(1, "EUR"), 2),
        (Money(1_000, "JPY"), 670),
        (Money(1_000, "KWD"), 325),
        (Money(-100, "EUR"), -108),
        (Money(0, "XAF"), 0),
        (Money(1, "XAF"), OVER_EVERY_LIMIT),
    ],
)
def test_reference_cents(money: Money, cents: int) -> None:
    rates = shipped().policies["reference_rates"].params

    assert in_reference_cents(money, rates) == cents


@pytest.mark.parametrize("params", [{}, {"rates": []}, {"rates": {"EUR": "much"}}, {"rates": {"EUR": "-1"}}, {"rates": {"EUR": "NaN"}}])
def test_rates_that_cannot_be_read_make_everything_too_large(params: dict[str, Any]) -> None:
    assert in_reference_cents(Money(1, "EUR"), params) == OVER_EVERY_LIMIT


@pytest.mark.parametrize(("used", "outcome"), [(7, "allow"), (8, "deny"), (9, "deny")])
def test_attempts_on_one_invoice(used: int, outcome: str) -> None:
    checks = weigh(SUBJECT, Counts(attempts_on_invoice=used), shipped(), NOW).checks

    assert next(check.outcome for check in checks if check.rule == "limits.attempts_per_invoice") == outcome


@pytest.mark.parametrize(("used", "outcome"), [(5, "allow"), (6, "deny")])
def test_messages_about_one_invoice(used: int, outcome: str) -> None:
    message = replace(SUBJECT, action="send_message", channel="email", amount=Money(0, "USD"))

    checks = weigh(message, Counts(messages_on_invoice=used), shipped(), NOW).checks

    assert next(check.outcome for check in checks if check.rule == "limits.messages_per_invoice") == outcome


@pytest.mark.parametrize(
    ("used", "rule", "outcome"),
    [
        ({"daily_count": 1_999}, "limits.daily_count", "allow"),
        ({"daily_count": 2_000}, "limits.daily_count", "wait"),
        ({"daily_amount.USD": 25_000_000 - 4_900}, "limits.daily_amount", "allow"),
        ({"daily_amount.USD": 25_000_000 - 4_899}, "limits.daily_amount", "wait"),
        ({"daily_amount.EUR": 25_000_000}, "limits.daily_amount", "allow"),
    ],
)
def test_a_day_that_is_full_waits_for_the_next(used: dict[str, int], rule: str, outcome: str) -> None:
    check = next(check for check in weigh(SUBJECT, Counts(used_today=used), shipped(), NOW).checks if check.rule == rule)

    assert check.outcome == outcome
    assert check.not_before == (datetime(2026, 3, 12, tzinfo=UTC) if outcome == "wait" else None)


def test_an_amount_above_the_limit_of_a_day_is_denied() -> None:
    checks = weigh(of(25_000_001), Counts(), shipped(), NOW).checks

    assert next(check.outcome for check in checks if check.rule == "limits.daily_amount") == "deny"


def test_limits_that_are_not_set_ask_for_a_person() -> None:
    weighed = weigh(SUBJECT, Counts(), shipped(limits={}), NOW)

    assert (weighed.approvals_needed, weighed.role_needed) == (2, "lead")
    assert {check.outcome for check in weighed.checks} == {"person"}
