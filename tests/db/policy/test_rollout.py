"""Who may change the rules, and what stays of a change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from approvals.models import KillSwitch, Limit, Phase, Policy
from approvals.people import Refused
from approvals.policy import rollout, rules
from audit.models import Entry
from billing_ai.kernel import clock
from tests.db.policy.conftest import make_lead

pytestmark = pytest.mark.django_db
HOURS = {"start": "09:00", "end": "18:00"}


@pytest.fixture
def lead() -> User:
    return make_lead()


def specialist() -> User:
    user = User.objects.create_user("specialist", password="a-long-password")
    user.user_permissions.add(*Permission.objects.filter(codename="work_case"))
    return User.objects.get(pk=user.pk)


CHANGES: list[Callable[[User, str], Any]] = [
    lambda user, reason: rollout.change_policy("contact.quiet_hours", user, reason=reason, params=HOURS),
    lambda user, reason: rollout.change_limit("dunning", "daily_count", 5, user, reason=reason),
    lambda user, reason: rollout.change_segment("dunning", "pilot", user, reason=reason, match={"tag": ["pilot"]}),
    lambda user, reason: rollout.request_phase("dunning", "everyone", "observe", user, reason=reason),
    lambda user, reason: rollout.request_model_words("dunning", "everyone", False, user, reason=reason),
    lambda user, reason: rollout.set_kill_switch("all", True, user, reason=reason),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_kept_with_who_why_history_and_a_ledger_entry(lead: User, change: Callable[[User, str], Any]) -> None:
    row = change(lead, "as agreed on Monday")

    row.refresh_from_db()
    newest = row.history.first()
    entry = Entry.objects.order_by("-pk").first()
    assert (row.changed_by, row.reason) == (lead, "as agreed on Monday")
    assert (newest.history_user, newest.history_change_reason) == (lead, "as agreed on Monday")
    assert entry is not None
    assert (entry.actor_kind, entry.actor_id, entry.data["reason"]) == ("person", str(lead.pk), "as agreed on Monday")
    assert set(entry.data) == {"before", "after", "reason"}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("who", ["specialist", "disabled", "no reason"])
def test_a_change_without_a_lead_or_a_reason_changes_nothing(lead: User, change: Callable[[User, str], Any], who: str) -> None:
    user = specialist() if who == "specialist" else lead
    if who == "disabled":
        user.is_active = False
        user.save()
    before = _state()

    with pytest.raises(Refused) as refused:
        change(user, " " if who == "no reason" else "because")

    assert refused.value.code == ("reason_needed" if who == "no reason" else "needs_lead")
    assert _state() == before
    assert not Entry.objects.exists()


def _state() -> list[Any]:
    return [list(model._default_manager.order_by("pk").values()) for model in (Policy, Limit, Phase, KillSwitch)]


def test_automating_needs_a_second_lead_and_never_the_same(lead: User) -> None:
    second = make_lead("second")
    rollout.request_phase("dunning", "everyone", "automate", lead, reason="the pilot went well")
    assert Phase.objects.get(agent="dunning", segment="everyone").phase == "assist"

    with pytest.raises(Refused) as refused:
        rollout.confirm_phase("dunning", "everyone", lead, reason="me again")
    assert refused.value.code == "same_person"
    assert Phase.objects.get(agent="dunning", segment="everyone").phase == "assist"

    rollout.confirm_phase("dunning", "everyone", second, reason="I have looked at the figures")
    row = Phase.objects.get(agent="dunning", segment="everyone")
    assert (row.phase, row.requested_phase, row.requested_by) == ("automate", "", None)


def test_a_wish_of_one_who_is_no_lead_any_more_does_not_count(lead: User) -> None:
    second = make_lead("second")
    rollout.request_phase("dunning", "everyone", "automate", lead, reason="soon")
    lead.user_permissions.clear()

    with pytest.raises(Refused) as refused:
        rollout.confirm_phase("dunning", "everyone", second, reason="fine")

    assert refused.value.code == "requester_left"
    assert Phase.objects.get(agent="dunning", segment="everyone").phase == "assist"


def test_nobody_confirms_what_nobody_asked_for(lead: User) -> None:
    with pytest.raises(Refused) as refused:
        rollout.confirm_phase("dunning", "everyone", lead, reason="fine")

    assert refused.value.code == "nothing_requested"


def test_widening_an_automated_segment_puts_it_back_to_assist(lead: User) -> None:
    row = Phase.objects.create(agent="dunning", segment="pilot", match={"tag": ["pilot"]}, phase="automate", sample_to_people_percent=10)

    rollout.change_segment("dunning", "pilot", lead, reason="see more", sample_percent=20)
    row.refresh_from_db()
    assert row.phase == "automate"

    rollout.change_segment("dunning", "pilot", lead, reason="everyone in Germany too", match={"country": ["DE"]})
    row.refresh_from_db()
    assert row.phase == "assist"


def automated(**columns: Any) -> Phase:
    row = Phase.objects.get(agent="dunning", segment="everyone")
    row.phase = "automate"
    for name, value in columns.items():
        setattr(row, name, value)
    row.save()
    return row


def test_a_models_words_need_a_second_lead_and_never_the_same(lead: User) -> None:
    second, row = make_lead("second"), automated()
    assert row.model_words is False
    rollout.request_model_words("dunning", "everyone", True, lead, reason="four months without a fault")
    row.refresh_from_db()
    assert (row.model_words, row.model_words_requested_by) == (False, lead)

    with pytest.raises(Refused) as refused:
        rollout.confirm_model_words("dunning", "everyone", lead, reason="me again")
    assert refused.value.code == "same_person"
    row.refresh_from_db()
    assert row.model_words is False

    rollout.confirm_model_words("dunning", "everyone", second, reason="I have read fifty of them")
    row.refresh_from_db()
    assert (row.model_words, row.model_words_requested_by) == (True, None)
    entry = Entry.objects.order_by("-pk").first()
    assert entry is not None
    assert (entry.kind, entry.data["after"]["asked_by"], entry.data["before"]["model_words"]) == ("model_words.changed", lead.pk, False)


@pytest.mark.parametrize("wish", ["nobody's", "of one who left", "in assist"])
def test_a_wish_for_a_models_words_that_does_not_count(lead: User, wish: str) -> None:
    second, row = make_lead("second"), automated(model_words_requested_by=None if wish == "nobody's" else lead)
    if wish == "of one who left":
        lead.is_active = False
        lead.save()
    if wish == "in assist":
        row.phase = "assist"
        row.save()

    with pytest.raises(Refused) as refused:
        rollout.confirm_model_words("dunning", "everyone", second, reason="fine")

    assert refused.value.code == {"nobody's": "nothing_requested", "of one who left": "requester_left", "in assist": "not_automated"}[wish]
    row.refresh_from_db()
    assert row.model_words is False


def test_in_assist_nobody_can_ask_for_a_models_words(lead: User) -> None:
    with pytest.raises(Refused) as refused:
        rollout.request_model_words("dunning", "everyone", True, lead, reason="soon")

    assert refused.value.code == "not_automated"


@pytest.mark.parametrize("way", ["switched off", "phase lowered", "segment widened"])
def test_a_models_words_stop_at_once_and_do_not_come_back_with_the_phase(lead: User, way: str) -> None:
    second, row = make_lead("second"), automated(model_words=True, model_words_requested_by=lead)
    if way == "switched off":
        rollout.request_model_words("dunning", "everyone", False, lead, reason="an odd one")
    elif way == "phase lowered":
        rollout.request_phase("dunning", "everyone", "assist", lead, reason="an odd one")
    else:
        rollout.change_segment("dunning", "everyone", lead, reason="fewer to people", sample_percent=1)
    row.refresh_from_db()
    assert (row.model_words, row.model_words_requested_by) == (False, None)

    rollout.request_phase("dunning", "everyone", "automate", lead, reason="again")
    if way != "switched off":
        rollout.confirm_phase("dunning", "everyone", second, reason="again")
    row.refresh_from_db()
    assert (row.phase, row.model_words) == ("automate", False)


def test_lowering_a_phase_needs_one_lead_and_takes_back_a_wish(lead: User) -> None:
    rollout.request_phase("dunning", "everyone", "automate", lead, reason="soon")

    rollout.request_phase("dunning", "everyone", "observe", lead, reason="not yet after all")

    row = Phase.objects.get(agent="dunning", segment="everyone")
    assert (row.phase, row.requested_phase, row.requested_by) == ("observe", "", None)


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("contact.quiet_hours", {"start": "20:00", "end": "08:00"}),
        ("contact.frequency", {"messages": "three", "days": 7}),
        ("contact.frequency", {"messages": 3}),
        ("contact.frequency", {"messages": -1, "days": 7}),
        ("retry.visa", {"windows": [{"limit": 21, "ceiling": 20, "hours": 720}]}),
        ("retry.visa", {"windows": []}),
        ("retry.never", {"codes": {"visa": "04"}, "mastercard_advice": []}),
        ("reference_rates", {"rates": {"EUR": "-1"}}),
        ("reference_rates", {"rates": {"ZZZ": "1"}}),
    ],
)
def test_values_that_no_rule_can_be_read_from_are_refused(lead: User, key: str, params: dict[str, Any]) -> None:
    before = Policy.objects.get(key=key).params

    with pytest.raises(Refused) as refused:
        rollout.change_policy(key, lead, reason="try", params=params)

    assert refused.value.code == "bad_values"
    assert Policy.objects.get(key=key).params == before


@pytest.mark.parametrize(
    "call",
    [
        lambda user: rollout.change_limit("dunning", "no_such_limit", 1, user, reason="x"),
        lambda user: rollout.change_limit("dunning", "daily_count.EUR", 1, user, reason="x"),
        lambda user: rollout.change_limit("dunning", "daily_count", -1, user, reason="x"),
        lambda user: rollout.change_policy("no.such.rule", user, reason="x", params={}),
        lambda user: rollout.request_phase("dunning", "everyone", "turbo", user, reason="x"),
        lambda user: rollout.request_phase("dunning", "nobody", "assist", user, reason="x"),
        lambda user: rollout.change_segment("dunning", "odd", user, reason="x", match={"shoe_size": ["44"]}),
        lambda user: rollout.change_segment("dunning", "odd", user, reason="x", match={"tier": []}),
        lambda user: rollout.change_segment("dunning", "odd", user, reason="x", sample_percent=101),
    ],
)
def test_what_does_not_exist_cannot_be_changed(lead: User, call: Callable[[User], Any]) -> None:
    before = _state()

    with pytest.raises(Refused):
        call(lead)

    assert _state() == before


def test_a_change_for_a_later_day_leaves_the_rule_as_it_is_until_then(lead: User) -> None:
    now = clock.now()
    later = clock.utc_date(now) + timedelta(days=3)

    rollout.change_policy("contact.quiet_hours", lead, reason="from Thursday on", params=HOURS, effective_from=later)

    assert rules.current(now).params("contact.quiet_hours") == {"start": "08:00", "end": "20:00"}
    assert rules.current(now + timedelta(days=3)).params("contact.quiet_hours") == HOURS


def test_a_change_counts_from_the_next_look_on(lead: User) -> None:
    now = clock.now()
    assert rules.current(now).limit("dunning", "daily_count") == 2_000

    rollout.change_limit("dunning", "daily_count", 7, lead, reason="carefully")
    assert rules.current(now).limit("dunning", "daily_count") == 7

    rollout.change_limit("dunning", "daily_count", None, lead, reason="set it anew")
    assert rules.current(now).limit("dunning", "daily_count") is None


def test_the_kill_switch_is_lifted_with_a_reason(lead: User) -> None:
    rollout.set_kill_switch("dunning", True, lead, reason="wrong amounts in the drafts")
    assert rules.switches_on() == frozenset({"dunning"})

    rollout.set_kill_switch("dunning", False, lead, reason="mended and looked at")

    assert rules.switches_on() == frozenset()
    assert [row.history_change_reason for row in KillSwitch.objects.get(scope="dunning").history.all()[:2]] == [
        "mended and looked at",
        "wrong amounts in the drafts",
    ]
