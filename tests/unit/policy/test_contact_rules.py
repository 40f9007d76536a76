"""Each rule of contact at its boundary."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from approvals.contract import Check
from approvals.policy.contact_rules import ContactFacts, Question, Said, Suppressed, Word, may_contact, next_allowed_minute, pauses
from tests.unit.policy.rules_in_force import shipped

NOON = datetime(2026, 3, 11, 11, 0, tzinfo=UTC)
"""A Wednesday, 12:00 in Berlin."""
MINUTE = timedelta(minutes=1)
CUSTOMER = ContactFacts(country="DE", time_zone="Europe/Berlin", has_email=True, has_phone=True)
RULES = shipped()


def ask(facts: ContactFacts = CUSTOMER, channel: str = "email", at: datetime = NOON, rules: Any = RULES, **more: Any) -> tuple[Check, ...]:
    return may_contact(Question(channel, more.pop("kind", "dunning"), at, **more), facts, rules)


def strict(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.rule: check.outcome for check in checks if check.outcome != "allow"}


def test_a_billing_notice_by_mail_to_a_customer_who_said_nothing() -> None:
    checks = ask()

    assert strict(checks) == {}
    assert {check.rule for check in checks} == {
        "contact.customer", "contact.consent.email", "contact.suppressed", "contact.pauses", "contact.promotion", "contact.frequency",
        "contact.after_conversation", "contact.quiet_hours", "contact.days_off",
    }  # fmt: skip
    assert next_allowed_minute(checks, NOON) == NOON


@pytest.mark.parametrize(
    ("channel", "facts", "rule"),
    [
        ("email", {"is_known": False}, "contact.customer"),
        ("email", {"is_deleted": True}, "contact.customer"),
        ("email", {"has_email": False}, "contact.customer"),
        ("sms", {"has_phone": False, "sms_consent": "yes"}, "contact.customer"),
        ("call", {"has_phone": False}, "contact.customer"),
        ("email", {"email_consent": "no"}, "contact.consent.email"),
        ("email", {"email_consent": "perhaps"}, "contact.consent.email"),
        ("email", {"words": {"email": Word("denied", "reply")}}, "contact.consent.email"),
        ("email", {"words": {"email": Word("denied", "reply")}, "email_consent": "yes"}, "contact.consent.email"),
        ("email", {"words": {"email": Word("granted", "import")}, "email_consent": "no"}, "contact.consent.email"),
        ("email", {"words": {"email": Word("whatever")}}, "contact.consent.email"),
        ("sms", {}, "contact.consent.sms"),
        ("sms", {"sms_consent": "no"}, "contact.consent.sms"),
        ("sms", {"sms_consent": "yes", "words": {"sms": Word("denied", "reply")}}, "contact.consent.sms"),
        ("call", {"words": {"call": Word("denied")}}, "contact.consent.call"),
        ("email", {"suppressed": (Suppressed("do_not_contact"),)}, "contact.suppressed"),
        ("email", {"suppressed": (Suppressed("wrong_person", "email"),)}, "contact.suppressed"),
        ("email", {"suppressed": (Suppressed("hardship"),)}, "contact.pause.hardship"),
        ("email", {"suppressed": (Suppressed("bankruptcy"),)}, "contact.pause.bankruptcy"),
        ("email", {"suppressed": (Suppressed("deceased"),)}, "contact.pause.deceased"),
        ("email", {"dispute": "this"}, "contact.pause.dispute"),
        ("email", {"promise": "this"}, "contact.pause.promise"),
        ("email", {"country": "XX", "time_zone": ""}, "contact.country"),
        ("carrier_pigeon", {}, "contact.channel"),
    ],
)
def test_what_denies(channel: str, facts: dict[str, Any], rule: str) -> None:
    checks = ask(replace(CUSTOMER, **facts), channel)

    assert strict(checks)[rule] == "deny"
    assert next_allowed_minute(checks, NOON) is None


@pytest.mark.parametrize(
    ("channel", "facts"),
    [
        ("sms", {"sms_consent": "yes"}),
        ("sms", {"words": {"sms": Word("granted", "console")}}),
        ("email", {"words": {"sms": Word("denied", "reply")}}),
        ("email", {"suppressed": (Suppressed("do_not_contact", "sms"),)}),
        ("call", {}),
    ],
)
def test_what_allows(channel: str, facts: dict[str, Any]) -> None:
    assert strict(ask(replace(CUSTOMER, **facts), channel)) == {}


def test_a_case_about_another_invoice_is_for_a_person() -> None:
    assert strict(ask(replace(CUSTOMER, dispute="other", promise="other"))) == {
        "contact.pause.dispute": "person",
        "contact.pause.promise": "person",
    }


@pytest.mark.parametrize(
    ("moment", "outcome"),
    [
        # Until the day has ended on the last island: noon UTC of the day after.
        (datetime(2026, 3, 12, 11, 59, tzinfo=UTC), "deny"),
        (datetime(2026, 3, 12, 12, 0, tzinfo=UTC), "allow"),
    ],
)
def test_a_suppression_holds_until_its_day_has_ended_everywhere(moment: datetime, outcome: str) -> None:
    listed = replace(CUSTOMER, suppressed=(Suppressed("do_not_contact", "", date(2026, 3, 11)),))

    assert next(check.outcome for check in ask(listed, at=moment) if check.rule == "contact.suppressed") == outcome


@pytest.mark.parametrize(
    ("ages", "in_flight", "outcome", "frees"),
    [
        ([timedelta(days=1), timedelta(days=2)], 0, "allow", None),
        ([timedelta(days=1), timedelta(days=2), timedelta(days=7) - MINUTE], 0, "wait", NOON + MINUTE),
        ([timedelta(days=1), timedelta(days=2), timedelta(days=7)], 0, "allow", None),
        ([timedelta(days=1), timedelta(days=2), timedelta(days=7) + MINUTE], 0, "allow", None),
        ([timedelta(days=1), timedelta(days=2), timedelta(days=3)], 0, "wait", NOON + timedelta(days=4)),
        ([timedelta(0), timedelta(0), timedelta(0)], 0, "wait", NOON + timedelta(days=7)),
        ([timedelta(days=1), timedelta(days=2)], 1, "wait", NOON + timedelta(days=5)),
        ([timedelta(days=1), timedelta(days=2), timedelta(days=3), timedelta(days=4)], 0, "wait", NOON + timedelta(days=4)),
    ],
)
def test_at_most_three_contacts_in_seven_days(ages: list[timedelta], in_flight: int, outcome: str, frees: datetime | None) -> None:
    channels = ("email", "sms", "call", "email")
    said = tuple(Said(NOON - age, channel, "dunning") for age, channel in zip(ages, channels, strict=False))

    check = next(check for check in ask(replace(CUSTOMER, said=said, in_flight=in_flight)) if check.rule == "contact.frequency")

    assert (check.outcome, check.not_before) == (outcome, frees)


def test_an_answer_to_the_customers_own_word_uses_nothing_up() -> None:
    said = tuple(Said(NOON - timedelta(hours=hour), "sms", kind) for hour, kind in enumerate(("reply", "opt_out_confirmation", "receipt")))

    assert strict(ask(replace(CUSTOMER, said=said))) == {}


def test_the_next_minute_satisfies_every_rule_at_once() -> None:
    # Three messages on Thursday 18 December at 18:30 Berlin; a week later is Christmas Day, and after it Boxing Day.
    evening = datetime(2025, 12, 18, 17, 30, tzinfo=UTC)
    said = tuple(Said(evening, "email", "dunning") for _ in range(3))

    checks = ask(replace(CUSTOMER, said=said), at=evening + timedelta(days=1))

    assert strict(checks) == {"contact.frequency": "wait"}
    assert next_allowed_minute(checks, NOON) == datetime(2025, 12, 27, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "outcome", "then"),
    [
        (datetime(2026, 3, 11, 6, 59, tzinfo=UTC), "wait", datetime(2026, 3, 11, 7, 0, tzinfo=UTC)),
        (datetime(2026, 3, 11, 7, 0, tzinfo=UTC), "allow", None),
        (datetime(2026, 3, 11, 18, 59, tzinfo=UTC), "allow", None),
        (datetime(2026, 3, 11, 19, 0, tzinfo=UTC), "wait", datetime(2026, 3, 12, 7, 0, tzinfo=UTC)),
    ],
)
def test_quiet_hours_to_the_minute(local: datetime, outcome: str, then: datetime | None) -> None:
    check = next(check for check in ask(at=local) if check.rule == "contact.quiet_hours")

    assert (check.outcome, check.not_before) == (outcome, then)


def test_a_day_off_waits_for_the_next_working_morning() -> None:
    good_friday = datetime(2026, 4, 3, 10, 0, tzinfo=UTC)

    check = next(check for check in ask(at=good_friday) if check.rule == "contact.days_off")

    assert (check.outcome, check.not_before) == ("wait", datetime(2026, 4, 4, 6, 0, tzinfo=UTC))
    assert check.sentence == "Friday 03 April is a day off where the customer is."


def test_without_zone_and_country_there_is_no_hour_to_send() -> None:
    checks = ask(replace(CUSTOMER, country="", time_zone=""))

    assert strict(checks) == {"contact.quiet_hours": "deny", "contact.days_off": "deny"}


def test_the_country_comes_from_the_zone_when_the_address_has_none() -> None:
    nowhere = replace(CUSTOMER, country="")

    assert strict(ask(nowhere)) == {}
    assert strict(ask(nowhere, at=datetime(2026, 4, 3, 10, 0, tzinfo=UTC))) == {"contact.days_off": "wait"}


def test_a_phone_from_another_country_narrows_the_hours_of_a_text_but_not_of_a_mail() -> None:
    abroad = replace(CUSTOMER, time_zone="", country="GB", phone_country="JP", sms_consent="yes")
    noon_in_london = datetime(2026, 3, 11, 12, 0, tzinfo=UTC)

    assert strict(ask(abroad, "email", noon_in_london)) == {}
    assert strict(ask(abroad, "sms", noon_in_london)) == {"contact.quiet_hours": "wait"}


@pytest.mark.parametrize(
    ("channel", "age", "outcome"),
    [
        ("call", timedelta(days=7) - MINUTE, "wait"),
        ("call", timedelta(days=7), "allow"),
        ("email", timedelta(days=1), "allow"),
    ],
)
def test_no_call_within_seven_days_of_a_conversation(channel: str, age: timedelta, outcome: str) -> None:
    spoken = replace(CUSTOMER, said=(Said(NOON - age, "call", "conversation"),))

    assert next(check.outcome for check in ask(spoken, channel) if check.rule == "contact.after_conversation") == outcome


def test_an_offer_in_a_billing_notice_is_mended_as_a_draft_and_denied_afterwards() -> None:
    assert strict(ask(promotes=True, is_draft=True)) == {"contact.promotion": "person"}
    assert strict(ask(promotes=True)) == {"contact.promotion": "deny"}
    assert strict(ask(promotes=True, rules=shipped(off=("contact.promotion",)))) == {}


@pytest.mark.parametrize(
    ("word", "said", "outcome"),
    [
        (Word("denied", "reply", NOON - timedelta(minutes=5)), (), "allow"),
        (Word("denied", "reply", NOON - timedelta(minutes=5, seconds=1)), (), "deny"),
        (Word("denied", "reply", NOON - MINUTE), (Said(NOON, "sms", "opt_out_confirmation"),), "deny"),
        (Word("granted", "reply", NOON - MINUTE), (), "deny"),
        (None, (), "deny"),
    ],
)
def test_one_confirmation_of_an_opt_out_within_five_minutes_at_any_hour(word: Word | None, said: tuple[Said, ...], outcome: str) -> None:
    facts = replace(CUSTOMER, words={"sms": word} if word else {}, said=said)

    checks = ask(facts, "sms", kind="opt_out_confirmation")

    assert next(check.outcome for check in checks if check.rule == "contact.confirmation") == outcome


@pytest.mark.parametrize(
    "rule", ["contact.quiet_hours", "contact.days_off", "contact.frequency", "contact.after_conversation", "contact.promotion"]
)
def test_a_rule_without_a_row_denies_and_one_that_is_off_does_not(rule: str) -> None:
    midnight = datetime(2026, 12, 25, 23, 0, tzinfo=UTC)
    busy = replace(CUSTOMER, said=tuple(Said(midnight - MINUTE, "call", "conversation") for _ in range(4)))

    assert strict(ask(busy, "call", midnight, shipped(without=(rule,)), promotes=True))[rule] == "deny"
    assert rule not in strict(ask(busy, "call", midnight, shipped(off=(rule,)), promotes=True))


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        ("contact.quiet_hours", {"start": "20:00", "end": "08:00"}),
        ("contact.quiet_hours", {}),
        ("contact.frequency", {"messages": "many", "days": 7}),
        ("contact.frequency", {}),
        ("contact.after_conversation", {"channels": ["email"]}),
    ],
)
def test_a_rule_that_cannot_be_read_denies(rule: str, params: dict[str, Any]) -> None:
    assert strict(ask(rules=shipped(changed={rule: params})))[rule] == "deny"


def test_what_pauses_collecting_is_what_pauses_contact_but_not_a_wish_for_silence() -> None:
    assert strict(pauses(replace(CUSTOMER, suppressed=(Suppressed("do_not_contact"),)), NOON)) == {}
    assert strict(pauses(replace(CUSTOMER, suppressed=(Suppressed("bankruptcy", "email"),)), NOON)) == {"contact.pause.bankruptcy": "deny"}
    assert strict(pauses(replace(CUSTOMER, snoozed_until=NOON + MINUTE), NOON)) == {"contact.pause.snoozed": "wait"}
    assert strict(pauses(replace(CUSTOMER, snoozed_until=NOON), NOON)) == {}
