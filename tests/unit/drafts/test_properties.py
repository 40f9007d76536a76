"""Render ∘ parse over locales and currencies, no text that raises, and no changed fact that passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from babel.core import get_global
from babel.localedata import locale_identifiers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.drafts.calendars import matching, written_dates
from approvals.drafts.findings import DraftText
from approvals.drafts.folding import Reading
from approvals.drafts.locales import date_text, language_of, money_text
from approvals.drafts.money_rules import written_amounts
from approvals.drafts.numerals import currencies_of, readings
from approvals.drafts.render import SlotDraft
from approvals.drafts.verify import verify, verify_slots
from approvals.drafts.words import supported_languages
from billing_ai.kernel.money import Money, UnknownCurrency, exponent
from tests.unit.drafts.cases import facts, mail

LOCALES = sorted(
    name.replace("_", "-")
    for name in locale_identifiers()
    # Pinyin is how the CLDR writes Chinese for those who learn it; no customer's locale is.
    if language_of(name) in supported_languages() and not name.startswith("zh_Latn")
)


def _is_known(code: str) -> bool:
    try:
        exponent(code)
    except UnknownCurrency:
        return False
    return True


CURRENCIES = sorted(code for code in get_global("all_currencies") if _is_known(code))
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(locale=st.sampled_from(LOCALES), currency=st.sampled_from(CURRENCIES), minor=st.integers(1, 10**11))
def test_money_as_rendered_reads_as_itself(locale: str, currency: str, minor: int) -> None:
    money = Money(minor, currency)
    text = Reading("body", f"x {money_text(money, locale)} y").plain
    (amount,) = written_amounts(text, locale)
    assert money.amount in readings(amount.number, locale)
    assert any(currency in (currencies_of(mark, locale) or ()) for mark in amount.marks)


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_every_currency_of_every_locale_reads_as_itself(locale: str) -> None:
    for currency in CURRENCIES:
        for minor in (5, 123456789):
            money = Money(minor, currency)
            (amount,) = written_amounts(Reading("body", f"x {money_text(money, locale)} y").plain, locale)
            assert money.amount in readings(amount.number, locale), currency
            assert any(currency in (currencies_of(mark, locale) or ()) for mark in amount.marks), currency


def test_what_is_claimed_is_covered() -> None:
    assert len(LOCALES) > 300
    assert len(CURRENCIES) > 150
    assert {"en-US", "de-CH", "pt-CV", "zh-Hant-TW", "hi-IN", "ar-SA"} <= set(LOCALES)


@QUIET
@given(
    locale=st.sampled_from(LOCALES),
    day=st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    length=st.sampled_from(["full", "long", "medium", "short"]),
)
def test_dates_as_rendered_read_as_themselves(locale: str, day: date, length: str) -> None:
    text = Reading("body", f"x {date_text(day, locale, length)} y").folded
    found = list(written_dates(text, locale))
    assert len(found) == 1
    assert matching(found[0], {day: frozenset({"due"})}) == day


@QUIET
@given(
    subject=st.text(max_size=60),
    body=st.text(max_size=400),
    locale=st.sampled_from([*LOCALES, "ar-EG", "xx", ""]),
    channel=st.sampled_from(["email", "sms"]),
)
def test_no_text_raises(subject: str, body: str, locale: str, channel: str) -> None:
    case = facts(locale, untrusted=(body[:50],))
    verify(DraftText(subject, body, channel), case)  # type: ignore[arg-type]  # one of two literals
    verify_slots(SlotDraft(subject, body, channel), case)  # type: ignore[arg-type]  # one of two literals


def _rules_in(locale: str, due: Money, written: Money, day: date, length: str = "long") -> set[str]:
    """What is found in a mail that names `written` and `day` where the facts say `due` and 16 September 2025. Its words are English: only facts count."""
    case = facts(locale, due.currency, due.minor)
    draft = mail(amount=money_text(written, locale), due=date_text(day, locale, length))
    # "on" before a date is short for Wednesday in Scandinavia
    draft = replace(draft, body=draft.body.replace("was due on", "was due"))
    return {found.rule for found in verify(draft, case)} & {"wrong_amount", "wrong_currency", "wrong_date", "wrong_invoice"}


DUE_ON = date(2025, 9, 16)
LENGTHS = st.sampled_from(["full", "long", "medium", "short"])


@QUIET
@given(locale=st.sampled_from(LOCALES), currency=st.sampled_from(CURRENCIES), minor=st.integers(100, 10**9), length=LENGTHS)
def test_right_facts_pass_in_every_locale_and_currency(locale: str, currency: str, minor: int, length: str) -> None:
    money = Money(minor, currency)
    assert _rules_in(locale, money, money, DUE_ON, length) == set()


@QUIET
@given(
    locale=st.sampled_from(LOCALES),
    currency=st.sampled_from(CURRENCIES),
    minor=st.integers(100, 10**9),
    other=st.one_of(st.integers(1, 10**9), st.integers(-3, 3)),
)
def test_a_changed_amount_is_found_in_every_locale_and_currency(locale: str, currency: str, minor: int, other: int) -> None:
    changed = minor + other if abs(other) <= 3 else other
    if changed != minor:
        assert "wrong_amount" in _rules_in(locale, Money(minor, currency), Money(changed, currency), DUE_ON)


@QUIET
@given(
    locale=st.sampled_from(LOCALES), currency=st.sampled_from(CURRENCIES), other=st.sampled_from(CURRENCIES), minor=st.integers(100, 10**9)
)
def test_another_currency_is_found_in_every_locale(locale: str, currency: str, other: str, minor: int) -> None:
    money = Money(minor, currency)
    # the same figure, so that nothing but the currency gives it away
    same_figure = Money.from_decimal(money.amount, other)
    if other != currency and money_text(same_figure, locale) != money_text(money, locale):
        assert _rules_in(locale, money, same_figure, DUE_ON) & {"wrong_currency", "wrong_amount"}


@QUIET
@given(locale=st.sampled_from(LOCALES), days=st.integers(-900, 900).filter(lambda value: value not in (0, -14, 8)), length=LENGTHS)
def test_a_changed_date_is_found_in_every_locale(locale: str, days: int, length: str) -> None:
    money = Money(123400, "EUR")
    assert "wrong_date" in _rules_in(locale, money, money, DUE_ON + timedelta(days), length)


@QUIET
@given(minor=st.integers(100, 10**8).filter(lambda value: value != 123400))
def test_a_changed_amount_is_found(minor: int) -> None:
    draft = mail(amount=money_text(Money(minor, "USD"), "en-US"))
    assert "wrong_amount" in {finding.rule for finding in verify(draft, facts())}


@QUIET
@given(
    days=st.integers(-400, 400).filter(lambda value: value not in (0, -14, 8)), length=st.sampled_from(["full", "long", "medium", "short"])
)
def test_a_changed_date_is_found(days: int, length: str) -> None:
    draft = mail(due=date_text(date(2025, 9, 16) + timedelta(days), "en-US", length))
    assert "wrong_date" in {finding.rule for finding in verify(draft, facts())}


@QUIET
@given(position=st.integers(0, 45), character=st.sampled_from("abcXYZ019-_.~/"))
def test_a_changed_link_is_found(position: int, character: str) -> None:
    link = facts().payment_link
    changed = link[:position] + character + link[position + 1 :]
    if changed != link:
        found = {finding.rule for finding in verify(mail(link=changed), facts())}
        assert found & {"unknown_link", "missing_payment_link"}


@pytest.mark.parametrize("number", ["QX-410", "QX-41000", "QX4100", "qx-4100", "QX-4lOO", "XQ-4100", "QX–4100"])
def test_a_changed_invoice_number_is_found(number: str) -> None:
    assert "wrong_invoice" in {finding.rule for finding in verify(mail(number=number), facts())}
