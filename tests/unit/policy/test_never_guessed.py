"""What nobody knows is denied or goes to a person, with the rule's name: country, zone, code, currency, network, state of consent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from approvals.contract import Check
from approvals.policy.contact_rules import ContactFacts, Question, Word, may_contact, next_allowed_minute
from approvals.policy.limits import Counts, weigh
from approvals.policy.retry_rules import Attempt, Charge, check_retry
from approvals.policy.subject import Subject
from billing_ai.facts.decline_codes import classify
from billing_ai.kernel.money import Money, UnknownCurrency
from tests.unit.policy.rules_in_force import shipped

NOON = datetime(2026, 3, 11, 12, 0, tzinfo=UTC)
CUSTOMER = ContactFacts(country="DE", time_zone="Europe/Berlin", has_email=True, has_phone=True)
CHARGE = Charge(Money(4_900, "EUR"), "inv_1", "visa", NOON, merchant_account="gw_1")
RULES = shipped()


def contact(channel: str = "email", **facts: Any) -> tuple[Check, ...]:
    return may_contact(Question(channel, "dunning", NOON), replace(CUSTOMER, **facts), RULES)


def retry(code: str = "", **charge: Any) -> tuple[Check, ...]:
    decline = classify("stripe", code or "insufficient_funds", "card")
    tried = Attempt(
        NOON - timedelta(days=5), 4_900, "EUR", "gw_1", "inv_1", code=code, category=decline.category, retryable=decline.retryable,
        min_wait_hours=decline.min_wait_hours,
    )  # fmt: skip
    return check_retry(replace(CHARGE, **charge), [tried], RULES)


def amount(currency: str) -> tuple[Check, ...]:
    subject = Subject("p", "dunning", "collect_payment", "retry:1", Money(1, currency), "c", "inv_1", currency=currency)
    return weigh(subject, Counts(), RULES, NOON).checks


@pytest.mark.parametrize(
    ("checks", "rule", "outcome"),
    [
        (contact(country="XX", time_zone=""), "contact.country", "deny"),
        (contact(country="ZZ", time_zone="Europe/Berlin"), "contact.country", "deny"),
        (contact(country="", time_zone=""), "contact.quiet_hours", "deny"),
        (contact(country="", time_zone="Europe/Atlantis"), "contact.quiet_hours", "deny"),
        (contact(country="", time_zone="Etc/GMT+12"), "contact.days_off", "deny"),
        (contact("sms", words={"sms": Word("perhaps")}), "contact.consent.sms", "deny"),
        (contact("sms", sms_consent="maybe"), "contact.consent.sms", "deny"),
        (contact("sms"), "contact.consent.sms", "deny"),
        (contact("fax"), "contact.channel", "deny"),
        (retry("a_code_that_nobody_has_seen"), "retry.unknown_code", "deny"),
        (retry(network="wallet"), "retry.unknown_network", "deny"),
        (retry(network=""), "retry.unknown_network", "deny"),
        (amount("XAF"), "limits.unknown_currency", "person"),
        (amount("XAF"), "limits.daily_amount", "deny"),
    ],
)
def test_what_nobody_knows_is_not_guessed(checks: tuple[Check, ...], rule: str, outcome: str) -> None:
    found = {check.rule: check for check in checks}

    assert found[rule].outcome == outcome
    assert found[rule].sentence.endswith(".")
    assert next_allowed_minute(checks, NOON) is None or outcome == "person"


@pytest.mark.parametrize("currency", ["", "EURO", "ZZZ"])
def test_a_currency_that_does_not_exist_is_no_money(currency: str) -> None:
    with pytest.raises(UnknownCurrency):
        Money(100, currency)
