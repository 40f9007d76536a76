"""Cases that the built-in writer is tried on: every language, with money, dates and names as that country has them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from approvals.drafts import built_in
from approvals.drafts.facts import Card, Customer, DraftFacts, Invoice
from approvals.drafts.slots import slots_for
from billing_ai.kernel.money import Money

STAGES = ("first_notice", "reminder", "last_notice", "apology")
TONES = ("warm", "neutral", "firm")
CATEGORIES = (
    "insufficient_funds",
    "expired_card",
    "lost_stolen",
    "fraud",
    "auth_required",
    "processor_error",
    "do_not_honor",
    "mandate",
    "closed_account",
    "never_heard_of",
)
PEOPLE = {
    "en-US": ("Carla", "USD"),
    "en-GB": ("Rosa", "GBP"),
    "de-DE": ("Miriam", "EUR"),
    "de-CH": ("Urs", "CHF"),
    "fr-FR": ("Léa", "EUR"),
    "es-ES": ("Nuria", "EUR"),
    "es-MX": ("Andrés", "MXN"),
    "pt-PT": ("Inês", "EUR"),
    "pt-BR": ("Renata", "BRL"),
    "nl-NL": ("Joris", "EUR"),
    "it-IT": ("Sara", "EUR"),
    "ja-JP": ("陽菜", "JPY"),
}


def facts(locale: str, *, named: bool = True, retry: bool = True, several: bool = False, channel: str = "email") -> DraftFacts:
    """A case in `locale`: an invoice of 1,345 units, due 19 June 2025, looked at on 23 June."""
    name, currency = PEOPLE[locale]
    invoice = Invoice(
        id="in_32477",
        number="INV-60015",
        amount_due=Money(134500, currency),
        date=date(2025, 6, 5),
        due_date=date(2025, 6, 19),
    )
    other = replace(invoice, id="in_32400", number="INV-59900", amount_due=Money(25000, currency), due_date=date(2025, 5, 19))
    return DraftFacts(
        customer=Customer(first_name=name if named else None, company="Tulpenhof", locale=locale, time_zone="Europe/Amsterdam"),
        vendor="Orbital Desk",
        invoice=invoice,
        payment_link="https://orbitaldesk.chargebee.com/pages/v4/inv_x3Yb521wQ/pay",
        update_card_link="https://orbitaldesk.chargebee.com/pages/v4/inv_x3Yb521wQ/update_card",
        sender_name="Marco Vidal",
        support_email="billing@orbitaldesk.example",
        today=date(2025, 6, 23),
        other_invoices=(other,) if several else (),
        retry_date=date(2025, 6, 27) if retry else None,
        card=Card("Visa", "4242"),
        says_stop=True,
    )


def case(about: DraftFacts, *, category: str, stage: str, tone: str, channel: str, value: str = "standard") -> dict[str, object]:
    """What the built-in writer is given for these facts."""
    return {
        "language": about.customer.locale,
        "channel": channel,
        "tone": tone,
        "stage": stage,
        "reason_category": category,
        "allowed_slots": sorted(slots_for(about, channel)),  # type: ignore[arg-type]  # the tests only name the two channels
        "value": value,
        "open_invoices": len(about.open_invoices),
    }


def every_language() -> list[str]:
    """The locales above, of which every template's language must have one."""
    assert {locale.split("-")[0] for locale in PEOPLE} == set(built_in.languages())
    return list(PEOPLE)
