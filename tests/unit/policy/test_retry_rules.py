"""Each limit on retries at its boundary, for each network."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from approvals.contract import Check
from approvals.policy.retry_rules import Attempt, Charge, check_retry
from billing_ai.kernel.money import Money
from tests.unit.policy.rules_in_force import shipped

NOON = datetime(2026, 3, 11, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULES = shipped()
FEE = Money(4_900, "EUR")
CHARGE = Charge(FEE, "inv_1", "visa", NOON, merchant_account="gw_1")


def failed(age: timedelta, **more: Any) -> Attempt:
    values = {
        "merchant_account": "gw_1",
        "invoice_id": "inv_1",
        "code": "insufficient_funds",
        "category": "insufficient_funds",
        "retryable": "yes",
    }
    return Attempt(NOON - age, more.pop("amount_minor", 4_900), more.pop("currency", "EUR"), **(values | more))


def ask(attempts: list[Attempt], charge: Charge = CHARGE, rules: Any = RULES) -> tuple[Check, ...]:
    return check_retry(charge, attempts, rules, ZoneInfo("UTC"))


def strict(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.rule: check.outcome for check in checks if check.outcome != "allow"}


def over(days: float, count: int, **more: Any) -> list[Attempt]:
    """`count` failures, the oldest `days` ago, the newest two hours ago."""
    newest, oldest = timedelta(hours=2), timedelta(days=days)
    step = (oldest - newest) / max(1, count - 1)
    return [failed(oldest - step * index, **more) for index in range(count)]


@pytest.mark.parametrize(
    ("network", "limit", "days"),
    [
        ("visa", 15, 30),
        ("mastercard", 35, 30),
        ("amex", 20, 30),
        ("discover", 20, 30),
        ("ach", 3, 180),
        ("sepa", 3, 30),
        ("bacs", 3, 30),
        ("nach", 2, 30),
    ],
)
def test_each_network_has_its_window(network: str, limit: int, days: int) -> None:
    charge = replace(CHARGE, network=network)
    oldest = timedelta(days=days)

    one_less = ask(over(days - 1, limit - 1), charge)
    full = ask([failed(oldest - MINUTE), *over(days - 1, limit - 1)], charge)
    on_the_edge = ask([failed(oldest), *over(days - 1, limit - 1)], charge)

    assert strict(one_less) == {}
    assert strict(full) == {f"retry.window.{network}": "wait"}
    assert full[-1].not_before == NOON + MINUTE
    assert strict(on_the_edge) == {}


def test_the_sentence_says_how_much_is_used_and_when_the_next_slot_is_safe() -> None:
    newest = failed(timedelta(minutes=30))
    checks = ask([*over(10, 13), newest])

    assert checks[-1].sentence == "14 of 15 attempts in 30 days used, next safe slot Wed 11 Mar, 12:30."
    assert checks[-1].data == {"used": 14, "limit": 15, "hours": 720, "per": "same_charge"}


def test_a_window_over_a_leap_day_is_counted_in_hours() -> None:
    noon = datetime(2028, 3, 15, 12, 0, tzinfo=UTC)
    charge = replace(CHARGE, at=noon)
    thirty_days_before = datetime(2028, 2, 14, 12, 0, tzinfo=UTC)
    recent = [replace(failed(timedelta(0)), at=noon - timedelta(hours=2 + hour)) for hour in range(14)]

    edge = ask([replace(failed(timedelta(0)), at=thirty_days_before), *recent], charge)
    inside = ask([replace(failed(timedelta(0)), at=thirty_days_before + MINUTE), *recent], charge)

    assert strict(edge) == {}
    assert inside[-1].not_before == noon + MINUTE


def test_attempts_from_every_source_count_and_so_do_successes_and_slots_that_are_taken() -> None:
    attempts = [*over(20, 12), failed(timedelta(days=3), succeeded=True), failed(timedelta(days=2), reserved=True, retryable="")]

    assert strict(ask([*attempts, failed(timedelta(hours=3))])) == {"retry.window.visa": "wait"}
    assert strict(ask(attempts)) == {}


@pytest.mark.parametrize(
    "other",
    [{"amount_minor": 4_901}, {"currency": "USD"}, {"merchant_account": "gw_2"}],
)
def test_another_amount_currency_or_merchant_account_has_a_window_of_its_own(other: dict[str, Any]) -> None:
    assert strict(ask(over(20, 15, **other))) == {}


@pytest.mark.parametrize("amounts", ["same", "different"])
def test_mastercard_counts_ten_declines_of_a_card_in_a_day_whatever_the_amount(amounts: str) -> None:
    charge = replace(CHARGE, network="mastercard")
    attempts = [
        failed(timedelta(hours=24) - MINUTE - timedelta(minutes=10 * index), amount_minor=4_900 + (index if amounts == "different" else 0))
        for index in range(10)
    ]

    full = ask(attempts, charge)
    edge = ask([replace(attempts[0], at=NOON - timedelta(hours=24)), *attempts[1:]], charge)

    assert strict(full) == {"retry.window.mastercard": "wait"}
    assert full[-1].not_before == attempts[0].at + timedelta(hours=24) == NOON + MINUTE
    assert full[-1].data["per"] == "instrument"
    assert strict(edge) == {}


def test_ten_attempts_of_which_one_went_through_are_not_ten_declines() -> None:
    charge = replace(CHARGE, network="mastercard")
    attempts = [failed(timedelta(hours=2, minutes=index), succeeded=index == 5) for index in range(10)]

    assert strict(ask(attempts, charge)) == {}


def test_a_bank_debit_is_counted_per_invoice() -> None:
    charge = replace(CHARGE, network="ach", amount=Money(4_900, "USD"))
    other_invoice = over(100, 6, invoice_id="inv_0", currency="USD")

    assert strict(ask(other_invoice, charge)) == {}
    assert strict(ask([*other_invoice, *over(30, 3, currency="USD")], charge)) == {"retry.window.ach": "wait"}


@pytest.mark.parametrize("network", ["", "jcb", "diners", "carte_bleue"])
def test_an_unknown_network_is_denied(network: str) -> None:
    checks = ask([], replace(CHARGE, network=network))

    assert strict(checks) == {"retry.unknown_network": "deny"}


@pytest.mark.parametrize(
    ("retryable", "rule", "outcome"),
    [
        ("no", "retry.hard_decline", "deny"),
        ("after_update", "retry.hard_decline", "deny"),
        ("after_auth", "retry.authentication", "deny"),
        ("after_customer_action", "retry.customer_action", "person"),
        ("fix_config", "retry.configuration", "deny"),
        ("unknown", "retry.unknown_code", "deny"),
        ("", "retry.unknown_code", "deny"),
        ("pending", "retry.pending", "deny"),
    ],
)
def test_what_the_last_answer_says(retryable: str, rule: str, outcome: str) -> None:
    last = failed(timedelta(hours=2), retryable=retryable, code="some_code", category="some")

    assert strict(ask([failed(timedelta(days=3)), last])) == {rule: outcome}
    assert strict(ask([last, failed(timedelta(hours=1, minutes=30), succeeded=True, retryable="")])) == {}


@pytest.mark.parametrize("code", ["03", "04", "07", "12", "15", "41", "43", "57", "62", "78", "93", "R0", "R1", "R3", "r1"])
def test_a_visa_category_1_code_is_for_good_whatever_came_after(code: str) -> None:
    long_ago = failed(timedelta(days=400), network_code=code, retryable="no")
    success = failed(timedelta(days=1), succeeded=True, retryable="")

    assert strict(ask([long_ago, success])) == {"retry.never": "deny"}
    assert strict(ask([long_ago, success], replace(CHARGE, network="amex"))) == {}


def test_a_gateways_own_12_is_not_visas() -> None:
    """Adyen's 12 is want of funds."""
    assert strict(ask([failed(timedelta(days=4), code="12")])) == {}


@pytest.mark.parametrize("advice", ["03", "21"])
def test_mastercards_advice_never_to_try_again(advice: str) -> None:
    told = failed(timedelta(days=90), advice_code=advice)

    assert strict(ask([told, failed(timedelta(days=1))], replace(CHARGE, network="mastercard"))) == {"retry.never": "deny"}
    assert strict(ask([told, failed(timedelta(days=1))])) == {}


@pytest.mark.parametrize(
    ("advice", "hours"), [("24", 1), ("25", 24), ("26", 48), ("27", 96), ("28", 144), ("29", 192), ("30", 240), ("02", 72)]
)
def test_mastercards_advice_to_wait(advice: str, hours: int) -> None:
    charge = replace(CHARGE, network="mastercard")

    early = ask([failed(timedelta(hours=hours) - MINUTE, advice_code=advice)], charge)
    in_time = ask([failed(timedelta(hours=hours), advice_code=advice)], charge)

    assert strict(early)["retry.waiting_time"] == "wait"
    assert early[-1].not_before == NOON + MINUTE
    assert strict(in_time) == {}


def test_mastercards_advice_that_a_new_card_is_needed() -> None:
    assert strict(ask([failed(timedelta(days=5), advice_code="01")], replace(CHARGE, network="mastercard"))) == {"retry.advice": "deny"}


def test_the_waiting_time_of_a_code() -> None:
    assert strict(ask([failed(timedelta(hours=72) - MINUTE, min_wait_hours=72)]))["retry.waiting_time"] == "wait"
    assert strict(ask([failed(timedelta(hours=72), min_wait_hours=72)])) == {}


INR = Money(1_500_000, "INR")


@pytest.mark.parametrize(
    ("amount", "told_ago", "is_draft", "expected"),
    [
        (INR, timedelta(hours=24), False, {}),
        (INR, timedelta(hours=24) - MINUTE, False, {"retry.india_mandate": "wait", "retry.window.visa": "wait"}),
        (INR, None, False, {"retry.india_mandate": "deny"}),
        (INR, None, True, {"retry.india_mandate": "person"}),
        (Money(1_500_001, "INR"), timedelta(days=2), False, {"retry.india_mandate": "deny"}),
        (Money(100, "USD"), timedelta(days=2), False, {"retry.india_mandate": "deny"}),
    ],
)
def test_india_wants_notice_and_authentication(amount: Money, told_ago: timedelta | None, is_draft: bool, expected: dict[str, str]) -> None:
    charge = replace(CHARGE, amount=amount, issuing_country="IN", is_draft=is_draft, noticed_at=NOON - told_ago if told_ago else None)

    assert strict(ask([], charge)) == expected


def test_no_instrument_no_retry() -> None:
    assert strict(ask([], replace(CHARGE, has_instrument=False))) == {"retry.instrument": "deny"}


def test_a_limit_above_the_networks_ceiling_is_not_believed() -> None:
    rules = shipped(changed={"retry.visa": {"windows": [{"limit": 99, "ceiling": 20, "hours": 720}]}})

    assert strict(ask(over(20, 20), rules=rules)) == {"retry.window.visa": "wait"}
    assert strict(ask(over(20, 19), rules=rules)) == {}


@pytest.mark.parametrize(
    "params", [{}, {"windows": []}, {"windows": [{"limit": "x", "hours": 1}]}, {"windows": [{"limit": 1, "hours": 1, "per": "moon"}]}]
)
def test_a_window_that_cannot_be_read_denies(params: dict[str, Any]) -> None:
    assert strict(ask([], rules=shipped(changed={"retry.visa": params}))) == {"retry.visa": "deny"}


def test_a_window_of_nothing_denies_and_a_rule_that_is_off_allows() -> None:
    nothing = shipped(changed={"retry.visa": {"windows": [{"limit": 0, "hours": 720}]}})

    assert strict(ask([], rules=nothing)) == {"retry.window.visa": "deny"}
    assert strict(ask(over(20, 30), rules=shipped(off=("retry.visa",)))) == {}


@pytest.mark.parametrize("rule", ["retry.never", "retry.spacing", "retry.india_mandate"])
def test_a_rule_without_a_row_denies(rule: str) -> None:
    assert strict(ask([failed(timedelta(days=1))], rules=shipped(without=(rule,)))) == {rule: "deny"}
