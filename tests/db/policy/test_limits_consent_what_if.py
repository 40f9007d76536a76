"""Days that are taken from and given back, the customer's word, and rules tried on the past."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from approvals.models import CollectionAttempt, Consent, Contact, DailyUse, Limit, Phase, Policy
from approvals.policy import consent, contact, limits, rules, what_if
from approvals.policy.defaults import LIMITS, POLICIES, install_defaults
from audit.models import Entry
from tests.db.policy.conftest import NOW, make_case, make_customer, make_execution, make_lead, make_proposal

pytestmark = pytest.mark.django_db


def used(key: str) -> int:
    return DailyUse.objects.get(agent="dunning", on=NOW.date(), key=key).used


def test_one_execution_takes_once_and_gives_back_once() -> None:
    make_customer()
    execution = make_execution(make_proposal(make_case()))

    assert [limits.take(execution, now=NOW).outcome for _ in range(2)] == ["allow", "allow"]
    assert (used("daily_count"), used("daily_amount.EUR")) == (1, 5_292)
    assert [limits.give_back(execution) for _ in range(2)] == [True, False]
    assert (used("daily_count"), used("daily_amount.EUR")) == (0, 0)
    assert limits.take(execution, now=NOW).outcome == "allow"
    assert used("daily_count") == 1


def test_a_day_that_is_full_takes_nothing_at_all() -> None:
    make_customer()
    Limit.objects.filter(key="daily_amount").first()
    limit = Limit.objects.get(agent="dunning", key="daily_amount")
    limit.value = 10_000
    limit.save()
    first, second = (make_execution(make_proposal(make_case(invoice_id=f"inv_{number}"))) for number in (1, 2))

    assert limits.take(first, now=NOW).outcome == "allow"
    refused = limits.take(second, now=NOW)

    assert (refused.rule, refused.outcome) == ("limits.daily_amount", "wait")
    assert (used("daily_count"), used("daily_amount.EUR")) == (1, 5_292)
    assert limits.take(second, now=NOW + timedelta(days=1)).outcome == "allow"


def test_a_currency_may_have_a_day_of_its_own() -> None:
    make_customer()
    Limit.objects.create(agent="dunning", key="daily_amount.EUR", value=5_000)

    refused = limits.take(make_execution(make_proposal(make_case())), now=NOW)

    assert (refused.rule, refused.outcome) == ("limits.daily_amount", "deny")
    assert not DailyUse.objects.filter(used__gt=0).exists()


def test_a_limit_that_is_not_set_lets_nothing_out() -> None:
    make_customer()
    Limit.objects.get(agent="dunning", key="daily_count").delete()

    assert limits.take(make_execution(make_proposal(make_case())), now=NOW).outcome == "deny"


def test_the_newest_word_counts_at_once_and_an_older_one_changes_nothing() -> None:
    make_customer(sms_consent="yes")
    assert contact.may_contact("cust_1", "sms", "dunning", NOW).outcome == "allow"

    consent.record("cust_1", "sms", granted=False, source="reply", at=NOW)
    consent.record("cust_1", "sms", granted=True, source="import", at=NOW - timedelta(days=1))

    denied = contact.may_contact("cust_1", "sms", "dunning", NOW)
    assert (denied.rule, denied.outcome) == ("contact.consent.sms", "deny")
    assert Consent.objects.get().history.count() == 1
    assert Entry.objects.filter(kind="consent.recorded").count() == 1
    assert contact.may_contact("cust_1", "sms", "opt_out_confirmation", NOW + timedelta(minutes=5)).outcome == "allow"

    consent.record("cust_1", "sms", granted=True, source="reply", at=NOW + timedelta(minutes=6))
    assert contact.may_contact("cust_1", "sms", "dunning", NOW + timedelta(minutes=7)).outcome == "allow"


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("STOP", "opt_out"), (" stop. ", "opt_out"), ("Unsubscribe!", "opt_out"), ("Opt-Out", "opt_out"), ("opt out", "opt_out"),
        ("quit", "opt_out"), ("END", "opt_out"), ("revoke", "opt_out"), ("Cancel", "opt_out"), ("HELP", "help"), ("start", "opt_in"),
        ("please stop by tomorrow", ""), ("", ""), ("STOPP", "opt_out"), ("Arrêt", "opt_out"), ("बंद करें", "opt_out"), ("停止", "opt_out"), ("Hilfe!", "help"),
        ("Bitte nicht stoppen", ""),
    ],
)  # fmt: skip
def test_what_a_text_message_asks_for(text: str, asks: str) -> None:
    assert consent.asks_for(text) == asks


def test_a_suppression_is_lifted_with_a_reason() -> None:
    make_customer()
    lead = make_lead()
    row = consent.suppress("cust_1", "do_not_contact", lead)
    assert contact.may_contact("cust_1", "email", "dunning", NOW).rule == "contact.suppressed"

    with pytest.raises(ValueError):
        consent.lift(row.pk, lead, reason=" ")
    assert consent.lift(row.pk, lead, reason="she has called and asked for mail again")
    assert not consent.lift(row.pk, lead, reason="twice")

    assert contact.may_contact("cust_1", "email", "dunning", NOW).outcome == "allow"


def test_an_address_on_the_list_is_found_by_its_mark_under_another_customer() -> None:
    from approvals.models import Suppression

    make_customer()
    Suppression.objects.create(address_hash="a" * 64)

    assert contact.may_contact("cust_1", "email", "dunning", NOW, address_hash="a" * 64).rule == "contact.suppressed"
    assert contact.may_contact("cust_1", "email", "dunning", NOW, address_hash="b" * 64).outcome == "allow"


def test_what_would_have_been_denied_last_month() -> None:
    make_customer()
    case = make_case()
    # At 18:30 and at 10:00 Berlin, on four days each a week apart.
    for week in range(4):
        for hours in (-7.5, 1):
            at = NOW - timedelta(days=7 * week) - timedelta(hours=hours)
            Contact.objects.create(chargebee_customer_id="cust_1", case=case, channel="email", at=at)

    found = what_if.policy("contact.quiet_hours", now=NOW + timedelta(days=1), params={"start": "08:00", "end": "18:00"})

    assert (found.total, found.held_back, found.let_through) == (8, 4, 0)
    assert found.sentence == "This change would have denied or put off 4 of the last 30 days' 8 messages."
    assert Policy.objects.get(key="contact.quiet_hours").params == {"start": "08:00", "end": "20:00"}


def test_a_trial_goes_no_further_back_than_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    make_customer()
    case = make_case()
    for day in range(6):
        Contact.objects.create(chargebee_customer_id="cust_1", case=case, channel="email", at=NOW - timedelta(days=3 * day))
        make_proposal(make_case(invoice_id=f"past_{day}", amount=1_000 if day < 4 else 400_000), created_at=NOW - timedelta(days=day))
    monkeypatch.setattr(what_if, "MOST_LOOKED_AT", 4)

    found = what_if.policy("contact.frequency", now=NOW, params={"messages": 1, "days": 7})

    assert (found.total, found.held_back) == (4, 3)
    assert found.sentence.endswith("4 messages. Only the newest 4 were looked at.")
    lower = what_if.limit("dunning", "specialist_limit", 50_000, now=NOW)
    assert (lower.total, lower.held_back) == (4, 0)  # the two large ones are older
    assert what_if.phase("dunning", "everyone", now=NOW).sentence.endswith("Only the newest 4 were looked at.")


def test_a_trial_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    make_customer()
    case = make_case()
    for day in range(6):
        Contact.objects.create(chargebee_customer_id="cust_1", case=case, channel="email", at=NOW - timedelta(days=3 * day))
    seconds = iter(range(0, 1_000, 3))  # each look at the clock finds three seconds gone
    monkeypatch.setattr(what_if, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))

    found = what_if.policy("contact.frequency", now=NOW, params={"messages": 1, "days": 7})

    assert found.total == 2
    assert found.sentence.endswith("It was stopped after 8 seconds, so not all of them are counted.")


def test_a_stricter_frequency_tried_on_the_past() -> None:
    make_customer()
    case = make_case()
    for day in range(6):
        Contact.objects.create(chargebee_customer_id="cust_1", case=case, channel="email", at=NOW - timedelta(days=3 * day))

    found = what_if.policy("contact.frequency", now=NOW, params={"messages": 1, "days": 7})

    assert (found.total, found.held_back) == (6, 5)


def test_a_stricter_window_tried_on_the_past() -> None:
    make_customer()
    for day in range(6):
        CollectionAttempt.objects.create(
            chargebee_transaction_id=f"t{day}", chargebee_customer_id="cust_1", chargebee_invoice_id="inv_1", instrument_hash="hash_cust_1",
            network="visa", amount_minor=4_900, currency="EUR", happened_at=NOW - timedelta(days=day), succeeded=False, source="ours",
            decline_code="insufficient_funds", decline_category="insufficient_funds", retryable="yes",
        )  # fmt: skip

    found = what_if.policy("retry.visa", now=NOW, params={"windows": [{"limit": 3, "hours": 720}]})

    assert (found.kind, found.total, found.held_back) == ("attempts", 5, 3)
    assert found.examples == ("t2", "t1", "t0")


def test_a_lower_limit_tried_on_the_past() -> None:
    make_customer()
    for number, amount in enumerate((1_000, 100_000, 400_000)):
        make_proposal(make_case(invoice_id=f"inv_{number}", amount=amount), created_at=NOW - timedelta(days=1))

    found = what_if.limit("dunning", "specialist_limit", 50_000, now=NOW)

    assert (found.total, found.held_back, found.let_through) == (3, 2, 0)


def test_how_many_would_have_gone_out_alone() -> None:
    make_customer()
    fine = {"checks": [{"rule": "rollout.phase", "outcome": "person"}, {"rule": "contact.frequency", "outcome": "allow"}]}
    large = {"checks": [{"rule": "limits.amount_per_action", "outcome": "person"}]}
    denied = {"checks": [{"rule": "contact.suppressed", "outcome": "deny"}]}
    for number, verdict in enumerate((fine, large, denied)):
        make_proposal(make_case(invoice_id=f"inv_{number}"), verdict=verdict, created_at=NOW - timedelta(days=1))
    row = Phase.objects.get(agent="dunning", segment="everyone")
    row.sample_to_people_percent = 0
    row.save()

    found = what_if.phase("dunning", "everyone", now=NOW)

    assert (found.total, found.let_through) == (3, 1)


def test_a_message_goes_out_alone_in_the_past_only_by_its_words() -> None:
    make_customer()
    asked = {"rule": "rollout.phase", "outcome": "person"}
    written = {
        "built in": {"rule": "words.origin", "outcome": "allow", "data": {"built_in": True, "lacks": []}},
        "passed": {"rule": "words.origin", "outcome": "person", "data": {"built_in": False, "lacks": []}},
        "found": {
            "rule": "words.origin",
            "outcome": "person",
            "data": {"built_in": False, "lacks": ["the verifier found something in it"]},
        },
    }
    for number, checks in enumerate([[asked, written["built in"]], [asked, written["passed"]], [asked, written["found"]], [asked]]):
        case = make_case(invoice_id=f"inv_{number}")
        make_proposal(
            case, "send_message", step="message:1", channel="email", verdict={"checks": checks}, created_at=NOW - timedelta(days=1)
        )
    Phase.objects.filter(agent="dunning", segment="everyone").update(sample_to_people_percent=0)
    rules.forget()

    only_built_in, with_a_models = (
        what_if.phase("dunning", "everyone", now=NOW),
        what_if.phase("dunning", "everyone", now=NOW, model_words=True),
    )

    assert (only_built_in.total, only_built_in.let_through, with_a_models.let_through) == (4, 1, 2)
    assert only_built_in.sentence.endswith("3 more would have waited for a person only because of who wrote their words.")
    assert with_a_models.sentence.endswith("2 more would have waited for a person only because of who wrote their words.")


@pytest.mark.parametrize(("key", "params"), [("contact.quiet_hours", {"start": "x"}), ("draft.brand", {})])
def test_what_cannot_be_tried_says_so(key: str, params: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        what_if.policy(key, now=NOW, params=params)


def test_defaults_are_added_once_and_never_over_what_a_lead_has_set() -> None:
    row = Policy.objects.get(key="contact.frequency")
    row.params = {"messages": 2, "days": 7}
    row.save()

    assert install_defaults() == 0
    assert Policy.objects.get(key="contact.frequency").params == {"messages": 2, "days": 7}
    assert Policy.objects.count() == len(POLICIES)
    assert all(policy.source for policy in POLICIES)
    assert dict(Limit.objects.filter(agent="dunning").values_list("key", "value")) == LIMITS
