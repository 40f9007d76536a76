"""The API and the CRM's fields in the console: leads change them, everyone else sees, and each change has its history."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from approvals import crm_fields
from approvals.models import CrmField
from audit.models import Entry
from billing_ai.api import arrivals, changes, tasks, webhooks
from billing_ai.api.models import ApiClient, ApiToken, WebhookDelivery, WebhookEndpoint
from billing_ai.kernel import clock
from billing_ai.signals.models import UsageEvent
from tests import factories
from tests.db.api.conftest import ACTOR, Caller, MakeToken, customer

LISTS = ("api_apiclient", "api_apitoken", "api_webhookendpoint", "api_webhookdelivery", "signals_usageevent", "signals_externalticket",
         "signals_replynote", "signals_crmlink", "approvals_crmfield")  # fmt: skip


def as_(user: User) -> Client:
    found = Client()
    found.force_login(user)
    return found


@pytest.fixture
def endpoint(north: ApiClient) -> WebhookEndpoint:
    """An endpoint with one delivery that was given up."""
    customer("cus_1")
    made, _ = webhooks.make_endpoint(north, "http://127.0.0.1:9/hook", [changes.CASE], ACTOR)
    changes.record(changes.CASE, "cus_1", ("case", "1"), {})
    changes.number_all()
    WebhookDelivery.objects.update(status="parked", reason="given up after 12 attempts: it answered 500", attempt=12)
    return made


def test_a_lead_makes_a_client_and_a_token_and_sees_the_secret_once(people: dict[str, User]) -> None:
    lead = as_(people["lead"])
    made = lead.post("/console/api/client/new/", {"name": "crm-eu", "title": "Salesforce EU", "entities": "be_1, be_2"})
    client = ApiClient.objects.get()
    assert made.headers["Location"] == f"/console/api/client/{client.pk}/"
    assert (client.business_entity_ids, client.covers_everyone) == (["be_1", "be_2"], False)
    page = lead.post(
        f"/console/api/client/{client.pk}/token/",
        {"label": "sync", "scopes": ["customers:read", "act"], "act_as": ["specialist"], "days": "30", "rate": "60"},
    )
    (secret,) = re.findall(r"bai_[\w-]{20,}", page.content.decode())
    assert "no-store" in page.headers["Cache-Control"]
    said = Caller(secret, ApiToken()).get("/me").body
    assert (said["label"], said["scopes"], said["may_act_as"], said["rate_per_minute"]) == (
        "sync",
        ["act", "customers:read"],
        ["specialist"],
        60,
    )
    # then no page shows it again, and the history names who made it
    for path in (
        f"/console/api/client/{client.pk}/",
        "/console/api/apitoken/",
        f"/console/api/apitoken/{ApiToken.objects.get().pk}/change/",
    ):
        shown = lead.get(path)
        assert shown.status_code == 200
        assert secret not in shown.content.decode()
        assert ApiToken.objects.get().token_hash not in shown.content.decode()
    assert [row.history_user for row in ApiToken.history.all()] == [people["lead"]]
    assert Entry.objects.get(kind="api.token_made").actor_label == "lead"


def test_a_lead_rotates_and_revokes(people: dict[str, User], token: MakeToken) -> None:
    lead, old = as_(people["lead"]), token("customers:read")
    page = lead.post(f"/console/api/token/{old.token.pk}/", {"what": "rotate"})
    (secret,) = re.findall(r"bai_[\w-]{20,}", page.content.decode())
    fresh = Caller(secret, ApiToken.objects.get(replaces=old.token))
    assert (old.get("/me").status, fresh.get("/me").status) == (200, 200)
    lead.post(f"/console/api/token/{old.token.pk}/", {"what": "revoke"})
    assert (old.get("/me").status, fresh.get("/me").status) == (401, 200)
    history = lead.get(f"/console/api/apitoken/{old.token.pk}/history/")
    assert history.status_code == 200
    assert "revoked" in history.content.decode()


def test_a_lead_changes_the_reach_with_a_reason(people: dict[str, User], north: ApiClient, api: Caller) -> None:
    customer("cus_south", "be_south")
    lead, path = as_(people["lead"]), f"/console/api/client/{north.pk}/"
    lead.post(path, {"title": "", "entities": "be_south", "is_active": "on"})
    assert api.get("/customers/cus_south").status == 404  # no reason, no change
    lead.post(path, {"title": "", "entities": "be_south", "is_active": "on", "reason": "moved"})
    assert api.get("/customers/cus_south").status == 200
    newest = ApiClient.history.latest("history_id")
    assert (newest.history_user, newest.history_change_reason) == (people["lead"], "moved")
    lead.post(path, {"title": "", "entities": "be_south", "reason": "contract ended"})
    assert api.get("/me").status == 401


def test_a_lead_replays_and_stops(people: dict[str, User], endpoint: WebhookEndpoint) -> None:
    lead, path = as_(people["lead"]), f"/console/api/endpoint/{endpoint.pk}/"
    delivery = WebhookDelivery.objects.get()
    assert "given up after 12 attempts" in lead.get(path).content.decode()
    lead.post(path, {"what": "replay_one", "delivery": str(delivery.pk)})
    assert WebhookDelivery.objects.get().status == "waiting"
    tasks.deliver()
    delivery.refresh_from_db()
    assert (delivery.attempt, delivery.status) == (13, "waiting")
    lead.post(path, {"what": "replay", "hours": "24"})
    assert WebhookDelivery.objects.get().replays == 2
    lead.post(path, {"what": "stop", "reason": "gone"})
    endpoint.refresh_from_db()
    assert (endpoint.is_active, endpoint.stopped_reason, WebhookDelivery.objects.get().status) == (
        False,
        "stopped in the console: gone",
        "dropped",
    )
    assert endpoint.history.latest("history_id").history_user == people["lead"]


@pytest.mark.parametrize("role", ["specialist", "finance", "auditor"])
def test_everyone_else_changes_nothing(
    role: str, people: dict[str, User], token: MakeToken, north: ApiClient, endpoint: WebhookEndpoint
) -> None:
    live, someone = token("customers:read"), as_(people[role])
    orders: list[tuple[str, dict[str, str]]] = [
        ("/console/api/client/new/", {"name": "mine", "covers_everyone": "on"}),
        (f"/console/api/client/{north.pk}/", {"covers_everyone": "on", "is_active": "on", "reason": "x"}),
        (f"/console/api/client/{north.pk}/token/", {"label": "x", "scopes": "customers:read", "days": "9", "rate": "9"}),
        (f"/console/api/token/{live.token.pk}/", {"what": "rotate"}),
        (f"/console/api/token/{live.token.pk}/", {"what": "revoke"}),
        (f"/console/api/endpoint/{endpoint.pk}/", {"what": "stop", "reason": "x"}),
        (f"/console/api/endpoint/{endpoint.pk}/", {"what": "replay", "hours": "24"}),
        ("/console/crm/fields/", {"system": "hubspot", "ours": "health", "theirs": "mine", "is_enabled": "on", "reason": "x"}),
    ]
    for path, form in orders:
        answer = someone.post(path, form)
        assert "bai_" not in answer.content.decode()
    assert (ApiClient.objects.count(), ApiToken.objects.count(), CrmField.objects.count()) == (1, 1, 0)
    north.refresh_from_db()
    endpoint.refresh_from_db()
    assert (north.covers_everyone, endpoint.is_active, WebhookDelivery.objects.get().status) == (False, True, "parked")
    assert live.get("/me").status == 200
    assert Entry.objects.filter(kind="console.refused", actor_label=role).count() == len(orders)


@pytest.mark.parametrize("form", [{"what": "replay_one", "delivery": "x"}, {"what": "replay", "hours": "many"}, {"what": "burn"}, {}])
def test_an_order_that_there_is_not(form: dict[str, str], people: dict[str, User], endpoint: WebhookEndpoint) -> None:
    as_(people["lead"]).post(f"/console/api/endpoint/{endpoint.pk}/", form)
    assert WebhookDelivery.objects.get().status == "parked"
    assert Entry.objects.filter(kind="console.refused").count() == 1


def test_every_list_opens_and_none_shows_a_secret(
    people: dict[str, User], endpoint: WebhookEndpoint, token: MakeToken, api: Caller
) -> None:
    api.post(
        "/usage-events", {"events": [{"id": "e1", "customer": {"id": "cus_1"}, "name": "login", "occurred_at": clock.now().isoformat()}]}
    )
    auditor = as_(people["auditor"])
    for name in LISTS:
        app, model = name.split("_")
        shown = auditor.get(f"/console/{app}/{model}/")
        assert shown.status_code == 200, name
        assert ApiToken.objects.get().token_hash not in shown.content.decode()
    event = UsageEvent.objects.get()
    assert "login" in auditor.get(f"/console/signals/usageevent/{event.pk}/change/").content.decode()
    exported = auditor.get("/console/api/apitoken/export/")
    assert ApiToken.objects.get().token_hash not in b"".join(exported).decode()  # type: ignore[arg-type]
    nobody = as_(factories.user("nobody"))
    assert nobody.get("/console/api/apitoken/").status_code == 403


def test_what_never_found_its_customer_is_replayed_or_dropped(people: dict[str, User], api: Caller) -> None:
    # given two events of customers who did not turn up in time
    event = {"name": "login", "occurred_at": clock.now().isoformat()}
    api.post("/usage-events", {"events": [{"id": one, "customer": {"id": f"cus_{one}"}, **event} for one in ("late", "never")]})
    clock.shift(timedelta(hours=73))
    arrivals.look_again()
    late, never = UsageEvent.objects.order_by("external_id")
    assert {late.status, never.status} == {"parked"}
    worker = as_(people["specialist"])
    assert "there is still no customer cus_late" in worker.get("/console/parked/").content.decode()
    # when one turns up after all, and the other is given up
    customer("cus_late")
    worker.post(f"/console/parked/usage/{late.pk}/", {"what": "replay", "note": "imported today"})
    worker.post(f"/console/parked/usage/{never.pk}/", {"what": "drop", "note": "a test account"})
    clock.shift(clock.offset() + timedelta(seconds=1))
    arrivals.look_again()
    late.refresh_from_db()
    never.refresh_from_db()
    assert (late.status, late.chargebee_customer_id, never.status) == ("done", "cus_late", "dropped")
    assert Entry.objects.filter(kind__in=("parked.replayed", "parked.dropped"), actor_label="specialist").count() == 2
    # and what somebody told cannot be rewritten, nor by whoever may only look
    as_(people["auditor"]).post(f"/console/parked/usage/{never.pk}/", {"what": "replay", "note": "x"})
    worker.post(f"/console/parked/usage/{late.pk}/", {"what": "correct", "note": "x", "customer_id": "cus_1"})
    assert Entry.objects.filter(kind="console.refused").count() == 2


def test_a_lead_sends_a_value_into_another_field(people: dict[str, User], settings: Any) -> None:
    settings.HUBSPOT_URL = "http://hubspot.test"
    lead = as_(people["lead"])
    assert "billing_health" in lead.get("/console/crm/fields/").content.decode()
    form = {"system": "hubspot", "ours": "health", "theirs": "account_health", "is_enabled": "on", "reason": "our own field"}
    lead.post("/console/crm/fields/", form)
    assert crm_fields.mapping(("hubspot",))["hubspot"]["health"] == "account_health"
    # a field cannot be what the record is found by, and one field takes one value
    for theirs in ("name", "account health", "billing_churn_30"):
        lead.post("/console/crm/fields/", {**form, "theirs": theirs})
    assert crm_fields.mapping(("hubspot",))["hubspot"]["health"] == "account_health"
    lead.post("/console/crm/fields/", {"system": "hubspot", "ours": "health", "theirs": "account_health", "reason": "not sent any more"})
    assert "health" not in crm_fields.mapping(("hubspot",))["hubspot"]
    assert [row.history_user for row in CrmField.history.all()] == [people["lead"]] * 2
