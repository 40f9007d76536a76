"""Render ∘ parse over locales and currencies, no text that raises, and no changed fact that passes."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals.drafts.calendars import matching, written_dates
from approvals.drafts.findings import DraftText
from approvals.drafts.folding import Reading
from approvals.drafts.locales import date_text, money_text
from approvals.drafts.money_rules import written_amounts
from approvals.drafts.numerals import currencies_of, readings
from approvals.drafts.render import SlotDraft
from approvals.drafts.verify import verify, verify_slots
from billing_ai.kernel.money import Money
from tests.unit.drafts.cases import facts, mail

LOCALES = [
    "en-US",
    "en-GB",
    "en-AU",
    "en-CA",
    "en-IN",
    "en-ZA",
    "en-IE",
    "de-DE",
    "de-AT",
    "de-CH",
    "fr-FR",
    "fr-CA",
    "fr-CH",
    "fr-BE",
    "es-ES",
    "es-MX",
    "es-CO",
    "es-AR",
    "es-CL",
    "pt-BR",
    "pt-PT",
    "it-IT",
    "it-CH",
    "nl-NL",
    "nl-BE",
    "sv-SE",
    "da-DK",
    "nb-NO",
    "fi-FI",
    "tr-TR",
    "pl-PL",
    "cs-CZ",
    "ja-JP",
    "zh-CN",
    "ko-KR",
]
CURRENCIES = [
    "USD",
    "EUR",
    "GBP",
    "JPY",
    "KRW",
    "KWD",
    "BHD",
    "CHF",
    "SEK",
    "NOK",
    "DKK",
    "PLN",
    "CZK",
    "HUF",
    "TRY",
    "INR",
    "BRL",
    "MXN",
    "COP",
    "CLP",
    "CAD",
    "AUD",
    "NZD",
    "SGD",
    "HKD",
    "CNY",
    "ZAR",
    "AED",
    "SAR",
    "ILS",
    "THB",
    "VND",
    "IDR",
    "ISK",
    "RON",
]
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUIET
@given(locale=st.sampled_from(LOCALES), currency=st.sampled_from(CURRENCIES), minor=st.integers(1, 10**11))
def test_money_as_rendered_reads_as_itself(locale: str, currency: str, minor: int) -> None:
    money = Money(minor, currency)
    text = Reading("body", f"x {money_text(money, locale)} y").plain
    (amount,) = written_amounts(text, locale)
    assert money.amount in readings(amount.number, locale)
    assert any(currency in (currencies_of(mark, locale) or ()) for mark in amount.marks)


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
