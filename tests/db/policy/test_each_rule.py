"""The edges of those rules that look into the database themselves; tests/unit/policy/test_each_rule.py holds all others."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

import pytest

from approvals.models import Suppression
from approvals.policy import consent, gate, rollout
from billing_ai.kernel import clock
from tests.db.policy.conftest import NOW, make_lead

RULES = frozenset({"contact.suppressed.address", "approval.wrote_the_rules"})
"""The rules whose edge is tested here, by name."""
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("channel", "address", "same"), [("sms", "+49 170 1234567", "+491701234567"), ("email", "a@b.example", " A@B.Example ")]
)
def test_an_address_is_closed_until_its_day_has_ended_everywhere(channel: str, address: str, same: str) -> None:
    until = NOW.date()
    Suppression.objects.create(
        kind=consent.NUMBER_OPTED_OUT, channel=channel, address_hash=consent.address_mark(channel, address), until_on=until, reason=""
    )
    ended = NOW.replace(hour=12, minute=0) + timedelta(days=1)

    for moment, outcome in ((ended - timedelta(minutes=1), "deny"), (ended, "allow")):
        with patch.object(clock, "now", lambda moment=moment: moment):
            check = consent.address_check(channel, same)
        assert (check.rule, check.outcome) == ("contact.suppressed.address", outcome)
    with patch.object(clock, "now", lambda: NOW):
        assert consent.address_check(channel, "").outcome == "allow"
        assert consent.address_check("sms" if channel == "email" else "email", address).outcome == "allow"


def test_who_changed_a_rule_may_approve_again_when_the_day_is_over() -> None:
    lead, other = make_lead(), make_lead("other")
    late = NOW.replace(hour=23, minute=59)
    with patch.object(clock, "now", lambda: late):
        rollout.change_limit("dunning", "daily_count", 1_000, lead, reason="Fewer for a start.")

    assert gate.wrote_the_rules_today(lead, "dunning", late).outcome == "deny"
    assert gate.wrote_the_rules_today(lead, "dunning", late + timedelta(minutes=1)).outcome == "allow"
    assert gate.wrote_the_rules_today(other, "dunning", late).outcome == "allow"
    assert gate.wrote_the_rules_today(lead, "churn", late).outcome == "allow"
