"""The rules that a new installation starts with: rows with their source and date, changed afterwards by leads and never by code."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db import transaction

from approvals.models import KillSwitch, Limit, Phase, Policy, RuleStamp
from approvals.policy.limits import (
    AMOUNT_PER_ACTION,
    ATTEMPTS,
    DAILY_AMOUNT,
    DAILY_COUNT,
    DAILY_MODEL_SPEND,
    MESSAGES,
    SECOND_PAIR_OF_EYES,
    SPECIALIST,
)

_DAY = 24
_CARD_NOTE = "No published limit; 20 in 30 days is what others assume"


@dataclass(frozen=True, slots=True)
class DefaultPolicy:
    """One row as it is shipped."""

    key: str
    kind: str
    title: str
    params: dict[str, Any]
    effective_from: date
    source: str
    is_enabled: bool = True


def _windows(*windows: dict[str, Any]) -> dict[str, Any]:
    return {"windows": list(windows)}


POLICIES: tuple[DefaultPolicy, ...] = (
    DefaultPolicy(
        "contact.quiet_hours", "contact", "Contact only from 8:00 to 20:00 in the customer's zone", {"start": "08:00", "end": "20:00"},
        date(2021, 11, 30), "US Regulation F, 12 CFR 1006.6 (8:00–21:00); our default ends an hour earlier",
    ),
    DefaultPolicy(
        "contact.days_off", "contact", "No contact on the public holidays of the customer's country", {},
        date(2026, 1, 1), "Our default; calendars from the library holidays",
    ),
    DefaultPolicy(
        "contact.frequency", "contact", "At most 3 contacts in 7 days over all channels", {"messages": 3, "days": 7},
        date(2021, 11, 30), "US Regulation F, 12 CFR 1006.14 (7 calls in 7 days); our default is 3 over all channels",
    ),
    DefaultPolicy(
        "contact.after_conversation", "contact", "No call within 7 days of a conversation", {"channels": ["call"], "days": 7},
        date(2021, 11, 30), "US Regulation F, 12 CFR 1006.14",
    ),
    DefaultPolicy(
        "contact.promotion", "contact", "No offer inside a billing notice", {},
        date(2004, 1, 1), "CAN-SPAM Act, 16 CFR 316.3; UK PECR reg. 22: a billing notice is transactional while it promotes nothing",
    ),
    DefaultPolicy(
        "contact.confirmation", "contact", "One confirmation of an opt-out, within 5 minutes", {"minutes": 5},
        date(2025, 4, 11), "US TCPA, 47 CFR 64.1200(a)(12)",
    ),
    DefaultPolicy(
        "contact.sms_opt_out", "contact", "Each text message says that STOP ends them", {},
        date(2025, 4, 11), "US TCPA, 47 CFR 64.1200(a)(10); CTIA Messaging Principles and Best Practices, 5.1.3; in each one is our default",
    ),
    DefaultPolicy(
        "retry.visa", "retry", "Visa: at most 15 attempts in 30 days", _windows({"limit": 15, "ceiling": 20, "hours": 30 * _DAY}),
        date(2025, 5, 25), "Visa rules on reattempts, categories 2–4: 15 in 30 days, since 25 May 2025 up to 20",
    ),
    DefaultPolicy(
        "retry.mastercard", "retry", "Mastercard: at most 35 attempts in 30 days, 10 declines in 24 hours",
        _windows({"limit": 35, "hours": 30 * _DAY}, {"limit": 10, "hours": _DAY, "per": "instrument", "counts": "declines"}),
        date(2025, 1, 1), "Mastercard Transaction Processing Excellence programme",
    ),
    DefaultPolicy("retry.amex", "retry", "American Express: at most 20 attempts in 30 days", _windows({"limit": 20, "hours": 30 * _DAY}), date(2026, 1, 1), _CARD_NOTE),
    DefaultPolicy("retry.discover", "retry", "Discover: at most 20 attempts in 30 days", _windows({"limit": 20, "hours": 30 * _DAY}), date(2026, 1, 1), _CARD_NOTE),
    DefaultPolicy(
        "retry.ach", "retry", "ACH: the original and 2 re-presentments within 180 days",
        _windows({"limit": 3, "hours": 180 * _DAY, "per": "invoice", "counts": "declines"}),
        date(2015, 9, 18), "Nacha Operating Rules, Reinitiation of Entries (R01, R09; same amount)",
    ),
    DefaultPolicy(
        "retry.sepa", "retry", "SEPA direct debit: the original and 2 more within 30 days",
        _windows({"limit": 3, "hours": 30 * _DAY, "per": "invoice", "counts": "declines"}),
        date(2026, 1, 1), "The scheme publishes no figure; docs.adyen.com/online-payments/auto-rescue/sepa (24 May 2026) makes at most two, after AM04 and MS03",
    ),
    DefaultPolicy(
        "retry.bacs", "retry", "Bacs: the original and 2 re-presentations within 30 days",
        _windows({"limit": 3, "hours": 30 * _DAY, "per": "invoice", "counts": "declines"}),
        date(2026, 1, 1), "Bacs allows re-presentation within a month, same amount, after ARUDD code 0; two is our default",
    ),
    DefaultPolicy(
        "retry.nach", "retry", "NACH (India): one more attempt in 30 days",
        _windows({"limit": 2, "hours": 30 * _DAY, "per": "invoice", "counts": "declines"}),
        date(2026, 1, 1), "No figure on record; our default is the most careful of all rails",
    ),
    DefaultPolicy(
        "retry.never", "retry", "Codes after which a card is never tried again",
        {
            "codes": {"visa": ["03", "04", "07", "12", "15", "41", "43", "57", "62", "78", "93", "R0", "R1", "R3"]},
            "mastercard_advice": ["03", "21"],
        },
        date(2021, 4, 17), "Visa category 1 (list of 2021); Mastercard merchant advice codes 03 and 21",
    ),
    DefaultPolicy(
        "retry.spacing", "retry", "At least an hour between two attempts", {"hours": 1}, date(2026, 1, 1), "Our default",
    ),
    DefaultPolicy(
        "retry.india_mandate", "retry", "India: notice 24 hours before, authentication above ₹15,000",
        {"notice_hours": 24, "authentication_above_minor": 1_500_000},
        date(2022, 6, 16), "Reserve Bank of India, e-mandates on cards for recurring transactions, circular of 16 June 2022",
    ),
    DefaultPolicy(
        "reference_rates", "reference_rates", "Rates for comparing amounts, US dollars for one unit",
        {
            "reference": "USD",
            "rates": {
                "USD": "1", "EUR": "1.08", "GBP": "1.27", "CHF": "1.12", "CAD": "0.73", "AUD": "0.66", "NZD": "0.61", "JPY": "0.0067",
                "INR": "0.012", "SEK": "0.095", "NOK": "0.093", "DKK": "0.145", "PLN": "0.25", "CZK": "0.043", "HUF": "0.0028", "RON": "0.22",
                "BRL": "0.19", "MXN": "0.055", "SGD": "0.75", "HKD": "0.128", "AED": "0.272", "SAR": "0.267", "KWD": "3.25", "ZAR": "0.054",
                "TRY": "0.03", "ILS": "0.27", "KRW": "0.00073", "CNY": "0.14", "TWD": "0.031", "THB": "0.028", "MYR": "0.22", "PHP": "0.0175",
                "IDR": "0.000063", "COP": "0.00025", "CLP": "0.0011", "ARS": "0.001",
            },
        },
        date(2026, 1, 1), "Rounded by hand, to compare and to order only; nothing is charged by them. Put your own in",
    ),
    DefaultPolicy(
        "draft.brand", "brand", "Who signs, and words that messages never use",
        {"sender_name": "", "signature": "", "do": [], "do_not": [], "forbidden_words": []}, date(2026, 1, 1), "The vendor's own",
    ),
)  # fmt: skip

LIMITS: dict[str, int] = {
    AMOUNT_PER_ACTION: 50_000,
    SECOND_PAIR_OF_EYES: 1_000_000,
    SPECIALIST: 500_000,
    ATTEMPTS: 8,
    MESSAGES: 6,
    DAILY_COUNT: 2_000,
    DAILY_AMOUNT: 25_000_000,
    DAILY_MODEL_SPEND: 20_000_000,
}
"""Per agent; amounts in reference cents, model spend in millionths of a US dollar."""


@dataclass(frozen=True, slots=True)
class DefaultPhase:
    """One phase row as it is shipped."""

    agent: str
    segment: str = "everyone"
    phase: str = Phase.ASSIST
    match: dict[str, Any] = field(default_factory=dict)
    sample_percent: int = 10


PHASES: tuple[DefaultPhase, ...] = (DefaultPhase("dunning"), DefaultPhase("churn", phase=Phase.OBSERVE))
AGENTS = ("dunning", "churn")
REASON = "shipped with the product"


def install_defaults() -> int:
    """Add each row that is not there; never touch one that is. Safe to run at every start. Returns how many were added."""
    added = 0
    with transaction.atomic():
        for policy in POLICIES:
            values = {
                "kind": policy.kind,
                "title": policy.title,
                "params": policy.params,
                "effective_from": policy.effective_from,
                "source": policy.source,
                "is_enabled": policy.is_enabled,
                "reason": REASON,
            }
            added += Policy.objects.get_or_create(key=policy.key, defaults=values)[1]
        for agent in AGENTS:
            for key, value in LIMITS.items():
                added += Limit.objects.get_or_create(agent=agent, key=key, defaults={"value": value, "reason": REASON})[1]
            added += KillSwitch.objects.get_or_create(scope=agent)[1]
        for phase in PHASES:
            values = {"match": phase.match, "phase": phase.phase, "sample_to_people_percent": phase.sample_percent, "reason": REASON}
            added += Phase.objects.get_or_create(agent=phase.agent, segment=phase.segment, defaults=values)[1]
        added += KillSwitch.objects.get_or_create(scope="all")[1]
        RuleStamp.objects.get_or_create(pk=1)
    return added
