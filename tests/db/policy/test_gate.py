"""The gate over real rows: what each moment sees, and how many statements it takes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from approvals.contract import Verdict
from approvals.models import Contact, KillSwitch, Limit, Phase, Policy, Proposal, Suppression
from approvals.policy import gate
from approvals.policy.words_origin import Origin
from tests.db.policy.conftest import make_case, make_customer, make_lead, make_proposal

pytestmark = pytest.mark.django_db


def outcome_of(verdict: Verdict, rule: str) -> str:
    return next(check.outcome for check in verdict.checks if check.rule == rule)


@pytest.fixture
def message() -> Proposal:
    make_customer()
    return make_proposal(make_case(), "send_message", step="first_notice", channel="email")


@pytest.fixture
def retry() -> Proposal:
    make_customer()
    return make_proposal(make_case())


def automate(sample: int = 0) -> None:
    row = Phase.objects.get(agent="dunning", segment="everyone")
    row.phase, row.sample_to_people_percent = Phase.AUTOMATE, sample
    row.save()


def test_a_message_waits_for_a_person_while_the_phase_is_assist(message: Proposal, now: datetime) -> None:
    verdict = gate.judge(message, moment="propose", now=now)

    assert (verdict.outcome, verdict.phase, verdict.role_needed, verdict.approvals_needed) == ("person", "assist", "specialist", 1)
    assert verdict.blocking == ()


def test_a_built_in_message_goes_by_itself_when_the_phase_allows_it(message: Proposal, now: datetime) -> None:
    automate()

    verdict = gate.judge(message, moment="propose", now=now, origin=Origin(built_in="Built-in text."))

    assert (verdict.outcome, verdict.phase) == ("approved", "automate")


def test_other_words_go_by_themselves_only_where_two_leads_have_said_so(message: Proposal, now: datetime) -> None:
    automate()
    models = Origin()

    assert gate.judge(message, moment="propose", now=now, origin=models).outcome == "person"
    assert gate.judge(message, moment="propose", now=now).outcome == "person"

    row = Phase.objects.get(agent="dunning", segment="everyone")
    row.model_words = True
    row.save()
    assert gate.judge(message, moment="propose", now=now, origin=models).outcome == "approved"
    assert gate.judge(message, moment="propose", now=now, origin=Origin(lacks=("a person has edited it",))).outcome == "person"
    assert gate.judge(message, moment="propose", now=now).outcome == "person"


def test_a_sample_of_everything_goes_to_a_person(message: Proposal, now: datetime) -> None:
    automate(sample=100)

    verdict = gate.judge(message, moment="propose", now=now)

    assert verdict.outcome == "person"
    assert outcome_of(verdict, "rollout.sample") == "person"


def test_a_first_retry_is_allowed_and_says_how_full_the_window_is(retry: Proposal, now: datetime) -> None:
    verdict = gate.judge(retry, moment="propose", now=now)

    assert verdict.outcome == "person"
    assert (
        next(check.sentence for check in verdict.checks if check.rule == "retry.window.visa")
        == "0 of 15 attempts in 30 days used; a slot is free."
    )


def test_the_statements_of_a_look_do_not_grow_with_the_history(message: Proposal, now: datetime, django_assert_num_queries: Any) -> None:
    gate.judge(message, moment="propose", now=now)
    for days in range(1, 60):
        Contact.objects.create(chargebee_customer_id="cust_1", case=message.case, channel="email", at=now - timedelta(days=days + 10))

    with django_assert_num_queries(3):
        gate.judge(message, moment="propose", now=now)


def test_a_second_proposal_of_the_case_reads_only_the_switches_and_the_day(
    retry: Proposal, now: datetime, django_assert_num_queries: Any
) -> None:
    note = make_proposal(retry.case, "send_message", step="first_notice", channel="email")
    with django_assert_num_queries(1):
        view = gate.look(retry, now=now, collects=True)
    gate.judge(retry, moment="propose", now=now, view=view)

    with django_assert_num_queries(2):
        gate.judge(note, moment="propose", now=now, view=view)


@pytest.mark.parametrize("scope", ["all", "dunning"])
def test_the_kill_switch_holds_everything_back(message: Proposal, now: datetime, scope: str) -> None:
    automate()
    switch = KillSwitch.objects.get(scope=scope)
    switch.is_on = True
    switch.save()

    proposed = gate.judge(message, moment="propose", now=now)
    about_to_act = gate.judge(message, moment="execute", now=now)

    assert proposed.outcome == "person"
    assert outcome_of(about_to_act, "kill_switch") == "wait"
    assert about_to_act.not_before == now + timedelta(minutes=1)
    assert gate.kill_switch("dunning", now).outcome == "wait"


def test_a_switch_that_was_flipped_by_sql_counts_at_once(message: Proposal, now: datetime) -> None:
    gate.judge(message, moment="propose", now=now)

    KillSwitch.objects.filter(scope="all").update(is_on=True)

    assert outcome_of(gate.judge(message, moment="propose", now=now), "kill_switch") == "person"


def test_a_rule_without_a_row_denies_what_it_guards(message: Proposal, now: datetime) -> None:
    Policy.objects.get(key="contact.quiet_hours").delete()

    verdict = gate.judge(message, moment="propose", now=now)

    assert verdict.outcome == "blocked"
    assert [check.rule for check in verdict.blocking] == ["contact.quiet_hours"]


def test_a_limit_that_is_not_set_needs_a_person(message: Proposal, now: datetime) -> None:
    automate()
    Limit.objects.get(agent="dunning", key="messages_per_invoice").delete()

    verdict = gate.judge(message, moment="propose", now=now)

    assert verdict.outcome == "person"
    assert outcome_of(verdict, "limits.messages_per_invoice") == "person"


def test_a_tighter_phase_applies_to_what_a_policy_approved_before(message: Proposal, now: datetime) -> None:
    verdict = gate.judge(message, moment="execute", now=now)

    assert outcome_of(verdict, "rollout.phase") == "deny"


def test_a_person_who_approved_is_enough_before_it_acts(message: Proposal, now: datetime) -> None:
    lead = make_lead()
    message.decisions.create(revision=message.current, kind="approve", by=lead, content_hash="c" * 64, facts_hash="f" * 64)

    verdict = gate.judge(message, moment="execute", now=now)

    assert {check.outcome for check in verdict.checks} == {"allow"}


def test_one_person_is_not_enough_when_two_are_needed_by_now(retry: Proposal, now: datetime) -> None:
    lead = make_lead()
    retry.decisions.create(revision=retry.current, kind="approve", by=lead, content_hash="c" * 64, facts_hash="f" * 64)
    limit = Limit.objects.get(agent="dunning", key="second_pair_of_eyes_above")
    limit.value = 5_000
    limit.save()

    verdict = gate.judge(retry, moment="execute", now=now)

    assert verdict.approvals_needed == 2
    assert outcome_of(verdict, "limits.second_pair_of_eyes_above") == "deny"


def test_who_changed_a_rule_today_may_not_approve_under_it(message: Proposal, now: datetime) -> None:
    lead, other = make_lead(), make_lead("other")
    row = Policy.objects.get(key="contact.frequency")
    row.changed_by, row.changed_at = lead, now - timedelta(hours=1)
    row.save()
    row.changed_by, row.changed_at = other, now - timedelta(days=2)
    row.save()

    by_lead = gate.judge(message, moment="approve", now=now, approver=lead)
    by_other = gate.judge(message, moment="approve", now=now, approver=other)
    next_day = gate.judge(message, moment="approve", now=now + timedelta(days=1), approver=lead)

    assert outcome_of(by_lead, "approval.wrote_the_rules") == "deny"
    assert outcome_of(by_other, "approval.wrote_the_rules") == "allow"
    assert outcome_of(next_day, "approval.wrote_the_rules") == "allow"


@pytest.mark.parametrize(
    ("kind", "stops_message", "stops_retry"),
    [("hardship", True, True), ("bankruptcy", True, True), ("deceased", True, True), ("do_not_contact", True, False)],
)
def test_what_stands_on_the_suppression_list(retry: Proposal, now: datetime, kind: str, stops_message: bool, stops_retry: bool) -> None:
    note = make_proposal(retry.case, "send_message", step="first_notice", channel="email")
    Suppression.objects.create(chargebee_customer_id="cust_1", kind=kind)

    assert bool(gate.judge(note, moment="propose", now=now).blocking) == stops_message
    assert bool(gate.judge(retry, moment="propose", now=now).blocking) == stops_retry
