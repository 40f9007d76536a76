"""The console's page about the site: what it finds, and a lead who has Chargebee send its events here."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest
from django.core.cache import cache
from django.test import Client

from audit.models import Entry
from billing_ai.integrations.chargebee.events import HANDLED
from tests import factories
from tests.contracts.conftest import Edge
from tests.contracts.sdk_shapes import check, sent_parameters
from tests.contracts.test_setup_check import Site

pytestmark = pytest.mark.django_db
OURS = "https://console.example/webhooks/chargebee/"


class Registering(Site):
    """A site on which endpoints can be made and changed."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return super().__call__(request)
        told = sent_parameters(request)
        name = request.url.path.rsplit("/", 1)[-1]
        endpoint = {"id": "whe_1"} if name == "webhook_endpoints" else next(one for one in self.endpoints if one["id"] == name)
        if name == "webhook_endpoints":
            self.endpoints.append(endpoint)
        endpoint |= {"url": told.get("url", endpoint.get("url")), "disabled": told.get("disabled") == "true"}
        if "enabled_events" in told:
            endpoint["enabled_events"] = list(told["enabled_events"].values())
        return httpx.Response(200, json={"webhook_endpoint": endpoint})


@pytest.fixture
def site(edge: Edge, settings: Any) -> Registering:
    cache.clear()
    settings.PUBLIC_URL = "https://console.example"
    settings.CHARGEBEE_WEBHOOK_USER, settings.CHARGEBEE_WEBHOOK_PASSWORD = "chargebee", "new-secret,old-secret"
    settings.CHARGEBEE_WEBHOOK_SECRET_PATH = ""
    made = Registering()
    made.endpoints = []
    edge.answer = made
    return made


def signed_in(role: str) -> Client:
    client = Client()
    client.force_login(factories.user(role))
    return client


def words(client: Client) -> str:
    """The page as it is read."""
    answer = client.get("/console/chargebee/")
    assert answer.status_code == 200
    text = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def order(client: Client, number: str = "1") -> str:
    """Press the button; the words of the page that comes back."""
    answer = client.post("/console/chargebee/webhook/", {"order": number}, follow=True)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def test_a_lead_has_chargebee_send_its_events_here(site: Registering, edge: Edge) -> None:
    lead = signed_in("lead")
    before = words(lead)
    assert "Something is in the way" in before
    assert f"No active webhook that points to {OURS} is registered" in before
    # when the button is pressed
    assert f"Chargebee sends its events to {OURS} now." in order(lead)
    # then one legal call made the endpoint, under the key that may write and a key of its own
    [made] = [request for request in edge.requests if request.method == "POST"]
    told = sent_parameters(made)
    assert check("webhook_endpoint", "create", told) == []
    assert (told["url"], told["basic_auth_username"], told["basic_auth_password"]) == (OURS, "chargebee", "new-secret")
    assert set(told["enabled_events"].values()) == set(HANDLED)
    assert made.headers["authorization"] == httpx.BasicAuth("key-that-writes", "")._auth_header
    assert len(made.headers["chargebee-idempotency-key"]) == 64
    # and the page is content, and the ledger says who ordered it
    assert "The site is set up" in words(lead)
    entries = list(Entry.objects.filter(kind__startswith="webhook.").order_by("id"))
    assert [entry.kind for entry in entries] == ["webhook.ordered", "webhook.registered"]
    assert entries[1].data == {"url": OURS, "endpoint_id": "whe_1", "was_there": False}
    assert "new-secret" not in str([entry.data for entry in entries])


def test_an_endpoint_that_lacks_events_or_is_off_is_completed(site: Registering, edge: Edge) -> None:
    site.endpoints = [{"id": "whe_7", "url": OURS.rstrip("/"), "disabled": True, "enabled_events": ["payment_failed", "coupon_created"]}]
    order(signed_in("lead"))
    [sent] = [request for request in edge.requests if request.method == "POST"]
    assert sent.url.path == "/api/v2/webhook_endpoints/whe_7"
    assert check("webhook_endpoint", "update", sent_parameters(sent)) == []
    assert set(site.endpoints[0]["enabled_events"]) == {*HANDLED, "coupon_created"}
    assert site.endpoints[0]["disabled"] is False
    # and once it has all, another order changes nothing
    order(signed_in_again(), "2")
    assert len([request for request in edge.requests if request.method == "POST"]) == 1


def signed_in_again() -> Client:
    client = Client()
    client.force_login(factories.user("lead", "another-lead"))
    return client


@pytest.mark.parametrize("role", ["specialist", "finance", "auditor"])
def test_who_is_no_lead_sees_the_page_and_changes_nothing(role: str, site: Registering, edge: Edge) -> None:
    client = signed_in(role)
    assert "A lead can order this." in words(client)
    assert "Only a lead may have Chargebee send its events here." in order(client)
    assert {request.method for request in edge.requests} == {"GET"}
    assert [entry.data["code"] for entry in Entry.objects.filter(kind="console.refused")] == ["needs_lead"]
    assert not Entry.objects.filter(kind__startswith="webhook.").exists()


def test_who_has_no_role_sees_nothing(site: Registering, edge: Edge) -> None:
    assert signed_in("nobody").get("/console/chargebee/").status_code == 403
    assert edge.requests == []


def test_a_key_without_the_scope_says_so(site: Registering, edge: Edge) -> None:
    lead = signed_in("lead")

    def refuses(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(403, json={"message": "m", "api_error_code": "api_authorization_failed"})
        return site(request)

    edge.answer = refuses
    assert "It lacks the scope “write: webhook endpoint” (webhook_endpoint.create)" in order(lead)
    kinds = Entry.objects.filter(kind__startswith="webhook.").order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["webhook.ordered", "webhook.not_registered"]


def test_the_secret_segment_goes_to_chargebee_and_to_nobody_else(site: Registering, edge: Edge, settings: Any) -> None:
    settings.CHARGEBEE_WEBHOOK_SECRET_PATH = "s3cret"
    lead = signed_in("lead")
    assert "s3cret" not in words(lead)
    assert "s3cret" not in order(lead)
    assert site.endpoints[0]["url"] == f"{OURS}s3cret/"
    assert "s3cret" not in str(list(Entry.objects.values_list("data", flat=True)))


def test_a_wrong_clock_is_named(site: Registering) -> None:
    site.date = "Thu, 01 Jan 2015 00:00:00 GMT"
    assert "This machine's clock differs from Chargebee's by" in words(signed_in("specialist"))


def test_a_site_that_is_away_is_named(site: Registering, edge: Edge) -> None:
    edge.answers = [httpx.ConnectError("refused")]
    said = words(signed_in("specialist"))
    assert "Something is in the way" in said
    assert "The site at chargebee.test cannot be reached. Chargebee could not be reached. Nothing was sent." in said
