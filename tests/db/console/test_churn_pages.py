"""The churn pages: who may see and change what, the figures on them, and that a look at a person is written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from agents import releasing
from agents.churn import nightly, watching
from agents.churn.interventions import install_default_rules
from agents.churn.models import ChurnSetting, HealthWeighting, InterventionRule
from agents.models import Release
from approvals.policy import rules
from audit.models import Entry, PersonalDataRead
from billing_ai.kernel import clock
from tests.db.churn.conftest import NOW, customer
from tests.factories import PASSWORD, FakeChargebee, user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _scored() -> Any:
    rules.forget()
    install_default_rules()
    clock.shift(NOW - clock.now() + clock.offset())
    customer("cus_risky", failed=6)
    customer("cus_calm")
    nightly.work()
    yield
    clock.shift(timedelta())
    rules.forget()


@pytest.fixture
def chargebee(monkeypatch: pytest.MonkeyPatch) -> FakeChargebee:
    fake = FakeChargebee().install(monkeypatch)
    fake.customers["cus_risky"] = {"id": "cus_risky", "first_name": "Ada", "company": "Engines Ltd", "email": "ada@example.com"}
    return fake


def signed_in(role: str, name: str = "") -> Client:
    user(role, name)
    client = Client()
    assert client.login(username=name or role, password=PASSWORD)
    return client


def test_customers_are_listed_by_risk_with_reasons_and_counted_by_risk_and_value() -> None:
    page = signed_in("specialist").get(reverse("console:customers"))
    text = page.content.decode()
    assert page.status_code == 200
    assert text.index("cus_risky") < text.index("cus_calm")
    assert "failed payments in 90 days: 6" in text
    assert "Everyone was scored in the night of 2026-03-11" in text
    only_high = signed_in("lead").get(reverse("console:customers"), {"band": "high", "size": "medium"}).content.decode()
    assert "cus_risky" in only_high
    assert "cus_calm" not in only_high


def test_the_page_of_a_customer_shows_the_name_live_and_writes_the_look_down(chargebee: FakeChargebee) -> None:
    text = signed_in("specialist").get(reverse("console:customer", args=["cus_risky"])).content.decode()
    assert "Engines Ltd" in text
    assert "sub_cus_risky" in text
    read = PersonalDataRead.objects.get()
    assert (read.chargebee_customer_id, read.user_label) == ("cus_risky", "specialist")


def test_who_may_not_see_names_sees_the_rest_and_nothing_is_fetched(chargebee: FakeChargebee) -> None:
    text = signed_in("auditor").get(reverse("console:customer", args=["cus_risky"])).content.decode()
    assert "Engines Ltd" not in text
    assert "failed payments in 90 days: 6" in text
    assert PersonalDataRead.objects.count() == 0


def test_while_chargebee_is_away_the_page_is_there(chargebee: FakeChargebee) -> None:
    chargebee.away = True
    page = signed_in("specialist").get(reverse("console:customer", args=["cus_risky"]))
    assert page.status_code == 200
    assert "Chargebee does not answer." in page.content.decode()


def test_nobody_of_that_id_is_not_found_and_nobody_unsigned_gets_in() -> None:
    assert signed_in("specialist").get(reverse("console:customer", args=["cus_none"])).status_code == 404
    assert Client().get(reverse("console:customers")).status_code == 302


def test_weights_are_previewed_by_anyone_and_changed_by_a_lead_with_a_reason() -> None:
    asked = {"billing": "1", "support": "0", "product": "0"}
    before = HealthWeighting.objects.count()
    text = signed_in("specialist").get(reverse("console:churn_health"), asked).content.decode()
    assert "Of 2 customers" in text
    client = signed_in("lead")
    client.post(reverse("console:churn_health"), {**asked, "reason": ""})
    assert HealthWeighting.objects.count() == before
    client.post(reverse("console:churn_health"), {**asked, "reason": "Billing is all that we see."})
    row = HealthWeighting.objects.get()
    assert (row.billing, row.support, row.product, row.changed_by.username) == (1.0, 0.0, 0.0, "lead")
    assert Entry.objects.get(kind="churn.weights_changed").data["reason"] == "Billing is all that we see."


@pytest.mark.parametrize("role", ["specialist", "auditor", "finance"])
def test_only_leads_change_anything(role: str) -> None:
    client = signed_in(role)
    rule = {
        "title": "x",
        "bands": ["low"],
        "change": "any",
        "action": "alert",
        "params": "{}",
        "cool_down_days": "1",
        "rank": "1",
        "reason": "no",
    }
    before = list(InterventionRule.objects.order_by("key").values())
    client.post(reverse("console:churn_rule", args=["high_task"]), rule)
    client.post(reverse("console:churn_settings"), {"key": "night_hour", "value": "5", "reason": "no"})
    client.post(reverse("console:churn_health"), {"billing": "1", "support": "0", "product": "0", "reason": "no"})
    assert list(InterventionRule.objects.order_by("key").values()) == before
    assert (ChurnSetting.objects.count(), HealthWeighting.objects.count()) == (0, 0)
    assert Entry.objects.filter(kind="console.refused").count() == 3


def test_a_lead_changes_a_rule_with_history_and_bad_values_change_nothing() -> None:
    client = signed_in("lead")
    good = {
        "title": "High: call", "bands": ["high", "critical"], "segments": "large, medium", "change": "entered", "action": "call_task",
        "params": '{"subject": "Call", "due_in_days": 1}', "cool_down_days": "14", "rank": "5", "is_enabled": "on", "reason": "Calls work better.",
    }  # fmt: skip
    client.post(reverse("console:churn_rule", args=["high_task"]), good)
    row = InterventionRule.objects.get(key="high_task")
    assert (row.action, row.segments, row.cool_down_days, row.rank) == ("call_task", ["large", "medium"], 14, 5)
    assert row.history.count() == 2
    for bad in (
        {"params": '{"due_in_days": 900}'},
        {"params": "not json"},
        {"cool_down_days": "0"},
        {"bands": []},
        {"action": "collect_payment"},
    ):
        client.post(reverse("console:churn_rule", args=["high_task"]), {**good, **bad})
    row.refresh_from_db()
    assert row.history.count() == 2
    assert client.get(reverse("console:churn_rule", args=["high_task"])).status_code == 200
    assert "High: call" in client.get(reverse("console:churn_rules")).content.decode()


def test_two_leads_put_a_model_live_and_the_one_before_is_retired() -> None:
    figures = {
        "model": "logistic",
        "kinds": {"logistic": {"auc": 0.81}},
        "rows": 5000,
        "left": 400,
        "tested_rows": 3000,
        "split": "forward in time",
    }
    common: dict[str, Any] = {"agent": "churn", "kind": "model", "name": "churn", "figures": figures}
    old = releasing.offer(version="churn-old", content_hash="a" * 64, **common)
    new = releasing.offer(version="churn-new", content_hash="b" * 64, **common)
    leads = [signed_in("lead", name) for name in ("ines", "omar")]
    for row, reason in ((old, "Better than the scorecard."), (new, "Better still.")):
        said = [
            client.post(
                reverse("console:churn_release", args=[row.pk]), {"step": "promote", "reason": reason}, follow=True
            ).content.decode()
            for client in leads
        ]
        assert "Another lead puts it live." in said[0]
        assert "It is live" in said[1]
    assert dict(Release.objects.values_list("version", "status")) == {"churn-old": "retired", "churn-new": "live"}
    specialist = signed_in("specialist")
    specialist.post(reverse("console:churn_release", args=[new.pk]), {"step": "retire", "reason": "I may not."})
    assert Release.objects.get(pk=new.pk).status == "live"
    assert "0.81" in specialist.get(reverse("console:churn_release", args=[new.pk])).content.decode()


def test_the_watch_page_says_what_there_is_too_little_of() -> None:
    watching.look(clock.now())
    text = signed_in("auditor").get(reverse("console:churn_watch")).content.decode()
    assert "Not enough data: 0 scores have come due" in text
    assert "Not enough data: 0 treated and 0 held out" in text
    assert "The scorecard." in text
