"""A month of eager agents that send and charge whenever the rules let them. What went out is counted by a checker that knows no rule of ours."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from approvals.policy.contact_rules import ContactFacts, Question, Said, may_contact, next_allowed_minute
from approvals.policy.retry_rules import Attempt, Charge, check_retry
from billing_ai.kernel.money import Money
from tests.unit.policy.rules_in_force import shipped

START = datetime(2026, 3, 1, tzinfo=UTC)
"""A month with a clock change in the USA, one in Europe, and public holidays."""
RULES = shipped()
PLACES = [
    ("US", "America/New_York"), ("US", "Pacific/Honolulu"), ("DE", "Europe/Berlin"), ("GB", "Europe/London"), ("IN", "Asia/Kolkata"),
    ("JP", "Asia/Tokyo"), ("AU", "Australia/Sydney"), ("KI", "Pacific/Kiritimati"), ("BR", "America/Sao_Paulo"), ("NP", "Asia/Kathmandu"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_no_customer_hears_from_us_too_often_or_at_night(seed: int) -> None:
    chance = random.Random(seed)
    sent: list[tuple[str, str, datetime]] = []
    for number in range(60):
        country, zone = chance.choice(PLACES)
        knows_zone = chance.random() < 0.6
        facts = ContactFacts(
            country=country,
            time_zone=zone if knows_zone else "",
            has_email=True,
            has_phone=True,
            sms_consent=chance.choice(("yes", "", "no")),
        )
        said: tuple[Said, ...] = ()
        at = START + timedelta(minutes=chance.randrange(3 * 24 * 60), seconds=chance.randrange(60))
        while at < START + timedelta(days=31):
            channel = chance.choice(("email", "sms", "call"))
            checks = may_contact(Question(channel, "dunning", at), replace(facts, said=said), RULES)
            then = next_allowed_minute(checks, at)
            if then == at:
                said = (*said, Said(at, channel, "dunning"))
                sent.append((f"customer {number}", zone, at))
            # Half of the time it comes back at the very minute that it was told, else whenever it likes.
            later = at + timedelta(minutes=chance.randrange(1, 24 * 60))
            at = then if then is not None and then > at and chance.random() < 0.5 else later

    breaches = [
        (who, at)
        for who, _, at in sent
        if sum(1 for other, _, moment in sent if other == who and at - timedelta(days=7) < moment <= at) > 3
    ]
    at_night = [(who, at) for who, zone, at in sent if not 8 <= at.astimezone(ZoneInfo(zone)).hour < 20]
    assert len(sent) > 300
    assert breaches == []
    assert at_night == []


@pytest.mark.parametrize(
    ("network", "limit", "days"), [("visa", 15, 30), ("mastercard", 35, 30), ("amex", 20, 30), ("sepa", 3, 30), ("ach", 3, 180)]
)
def test_no_card_is_tried_too_often(network: str, limit: int, days: int) -> None:
    chance = random.Random(network)
    for _ in range(6):
        at, tried, attempts = START, [], []
        while at < START + timedelta(days=60 if days < 100 else 200):
            charge = Charge(Money(4_900, "EUR"), "inv_1", network, at, "gw_1")
            checks = check_retry(charge, attempts, RULES)
            waits = [check.not_before for check in checks if check.outcome == "wait" and check.not_before]
            if all(check.outcome == "allow" for check in checks):
                tried.append(at)
                attempts.append(Attempt(at, 4_900, "EUR", "gw_1", "inv_1", False, "insufficient_funds", "insufficient_funds", "yes"))
            at = max(waits) if waits and chance.random() < 0.7 else at + timedelta(minutes=chance.randrange(1, 600))

        most = max(sum(1 for other in tried if at - timedelta(days=days) < other <= at) for at in tried)
        most_in_a_day = max(sum(1 for other in tried if at - timedelta(hours=24) < other <= at) for at in tried)
        assert most == limit
        assert network != "mastercard" or most_in_a_day <= 10
