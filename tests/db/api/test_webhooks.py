"""Webhooks out: signed, told again until they are taken, replayed on demand, and never sent inwards."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from agents.churn.announcing import BandChange, bands_changed
from agents.churn.models import ChurnScore
from approvals import case_transitions
from audit.models import Entry
from billing_ai.api import changes, forgetting, tasks, webhooks
from billing_ai.api.models import ApiClient, Change, WebhookDelivery, WebhookEndpoint
from billing_ai.facts.models import Customer
from billing_ai.kernel import clock
from billing_ai.work.models import Leased, Tick
from tests.db.api.conftest import Caller, MakeToken, case_of, customer
from tests.db.api.receiver import Receiver, receiver

ALL_KINDS = ["case.opened", "case.settled", "score.band_changed"]


@pytest.fixture
def outside() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture(autouse=True)
def known(db: Any) -> Customer:
    return customer("cus_1")


def register(api: Caller, outside: Receiver, kinds: list[str] | None = None) -> tuple[WebhookEndpoint, str]:
    said = api.post("/webhook-endpoints", {"url": outside.url, "kinds": kinds or ALL_KINDS})
    assert said.status == 201, said.body
    return WebhookEndpoint.objects.get(pk=said.body["id"]), said.body["secret"]


def change_band(customer_id: str = "cus_1") -> None:
    told = [BandChange(customer_id, "medium", "high", clock.now(), 0.22, 61.5)]
    bands_changed.send(sender=ChurnScore, changes=told)


def delivery(endpoint: WebhookEndpoint) -> WebhookDelivery:
    return WebhookDelivery.objects.select_related("change").get(endpoint=endpoint)


def later(**by: float) -> None:
    clock.shift(clock.offset() + timedelta(**by))


# -- told ------------------------------------------------------------------------------------------------------------------------


def test_a_band_that_changed_is_told_and_signed(api: Caller, outside: Receiver) -> None:
    endpoint, secret = register(api, outside)
    change_band()
    tasks.deliver()
    # then one call came, and its signature holds over exactly these bytes
    (heard,) = outside.heard
    assert heard.is_signed_with(secret)
    assert not heard.is_signed_with("whsec_another")
    assert heard.headers["content-type"] == "application/json"
    assert {name: heard.body[name] for name in ("kind", "data")} == {
        "kind": "score.band_changed",
        "data": {"customer_id": "cus_1", "band_before": "medium", "band": "high", "churn_90_days": 0.22, "health": 61.5,
                 "scored_at": heard.body["data"]["scored_at"]},
    }  # fmt: skip
    row = delivery(endpoint)
    assert (row.status, row.last_status, row.attempt, heard.headers["billing-delivery"]) == ("done", 200, 1, str(row.pk))
    # and it is the same line as in the feed
    fed = api.get("/changes").body["items"][0]
    assert (fed["id"], fed["cursor"], fed["data"]) == (heard.body["id"], heard.body["cursor"], heard.body["data"])
    # and not told twice
    tasks.deliver()
    assert len(outside.heard) == 1


def test_a_case_that_opens_and_settles_is_told(api: Caller, outside: Receiver) -> None:
    from approvals.signals import case_changed

    register(api, outside)
    lead = User.objects.get(username="lead")
    case = case_of("cus_1")
    case_changed.send(sender=type(case), case=case, kind="case.opened")
    case_transitions.close(case.pk, lead, "not worth it")
    tasks.deliver()
    assert [(one.body["kind"], one.body["data"]["case_id"], one.body["data"]["status"]) for one in outside.heard] == [
        ("case.opened", str(case.pk), "open"),
        ("case.settled", str(case.pk), "closed"),
    ]
    # ids and amounts, no words and no names
    assert set(outside.heard[0].body["data"]) == {
        "case_id", "customer_id", "invoice_id", "kind", "status", "amount_due_minor", "recovered_minor", "currency", "because",
    }  # fmt: skip


def test_only_what_was_asked_for_of_customers_in_reach(
    api: Caller, token: MakeToken, south: ApiClient, outside: Receiver, people: dict[str, User]
) -> None:
    register(api, outside, ["case.settled"])
    register(token(client=south), outside, ["score.band_changed"])
    customer("cus_south", "be_south")
    change_band("cus_1")
    change_band("cus_south")
    tasks.deliver()
    assert [one.body["data"]["customer_id"] for one in outside.heard] == ["cus_south"]


def test_a_customer_who_left_the_reach_is_not_told_of_any_more(api: Caller, outside: Receiver) -> None:
    endpoint, _ = register(api, outside)
    change_band()
    changes.number_all()
    customer("cus_1", "be_south")
    tasks.deliver()
    row = delivery(endpoint)
    assert (row.status, row.reason) == ("dropped", "the customer is not in reach of this client any more")
    assert outside.heard == []


# -- told again ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 404, 302, 429])
def test_what_is_not_taken_is_told_again_after_longer_pauses(status: int, api: Caller, outside: Receiver) -> None:
    endpoint, _ = register(api, outside)
    outside.will_answer(status, status)
    change_band()
    tasks.deliver()
    row = delivery(endpoint)
    assert (row.status, row.last_status, row.reason) == ("waiting", status, f"it answered {status}")
    tasks.deliver()
    assert len(outside.heard) == 1  # not before its time
    later(seconds=6)
    tasks.deliver()
    later(seconds=6)
    tasks.deliver()
    assert len(outside.heard) == 2  # the second pause is longer
    later(seconds=15)
    tasks.deliver()
    assert (delivery(endpoint).status, len(outside.heard)) == ("done", 3)
    assert len({one.body["id"] for one in outside.heard}) == 1


def test_a_redirect_is_not_followed(api: Caller, outside: Receiver) -> None:
    register(api, outside)
    outside.answers.append((302, {"Location": outside.url.replace("/hooks/billing", "/inside")}))
    change_band()
    tasks.deliver()
    assert [one.path for one in outside.heard] == ["/hooks/billing"]


def test_after_two_days_it_is_parked_and_a_replay_tells_it_once_more(api: Caller, outside: Receiver) -> None:
    endpoint, _ = register(api, outside)
    outside.will_answer(*[500] * webhooks.ATTEMPTS)
    change_band()
    for _ in range(webhooks.ATTEMPTS):
        tasks.deliver()
        later(hours=9)
    row = delivery(endpoint)
    assert (row.status, len(outside.heard)) == ("parked", 12)
    assert row.reason == "given up after 12 attempts: it answered 500"
    assert sum((webhooks.pause(attempt) for attempt in range(1, 12)), timedelta()) > timedelta(hours=36)
    # when it is replayed
    said = api.post(f"/webhook-endpoints/{endpoint.pk}/deliveries/{row.pk}/replay")
    assert (said.status, said.body) == (202, {"replayed": 1})
    tasks.deliver()
    row = delivery(endpoint)
    assert (row.status, row.replays, len(outside.heard)) == ("done", 1, 13)
    listed = api.get(f"/webhook-endpoints/{endpoint.pk}/deliveries").body["items"]
    assert [(one["id"], one["status"], one["attempts"], one["last_status"]) for one in listed] == [(str(row.pk), "done", 13, 200)]


def test_a_dead_endpoint_is_asked_once_and_the_living_are_told(api: Caller, outside: Receiver) -> None:
    # given an endpoint where nobody listens, with three things to tell, and one that works
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    said = api.post("/webhook-endpoints", {"url": nobody, "kinds": ["score.band_changed"]})
    register(api, outside)
    for _ in range(3):
        change_band()
    tasks.deliver()
    # then the living has all three, and the dead one was tried once and has lost no attempt for the others
    assert len(outside.heard) == 3
    dead = WebhookDelivery.objects.filter(endpoint_id=said.body["id"]).order_by("pk")
    assert {row.status for row in dead} == {"waiting"}
    assert sorted(row.reason for row in dead)[-1] == "its endpoint failed a moment ago"
    assert sum("ConnectError" in row.reason for row in dead) == 1
    assert sum(row.max_attempts - row.attempt for row in dead) == 3 * webhooks.ATTEMPTS - 1
    assert all(row.not_before > clock.now() for row in dead)


def test_gone_means_gone(api: Caller, outside: Receiver) -> None:
    endpoint, _ = register(api, outside)
    outside.will_answer(410)
    change_band()
    tasks.deliver()
    endpoint.refresh_from_db()
    assert (endpoint.is_active, endpoint.stopped_reason) == (False, "it answered 410 Gone")
    change_band()
    tasks.deliver()
    assert len(outside.heard) == 1
    assert api.post(f"/webhook-endpoints/{endpoint.pk}/ping").code == "endpoint_stopped"


def test_a_worker_that_dies_leaves_the_delivery_to_the_next(api: Caller, outside: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, _ = register(api, outside)
    change_band()
    changes.number_all()
    with monkeypatch.context() as patched:
        patched.setattr(webhooks, "send", lambda *args: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            webhooks.deliver_due()
    assert delivery(endpoint).status == Leased.LEASED
    later(seconds=webhooks.LEASE.total_seconds() + 1)
    tasks.deliver()
    assert (delivery(endpoint).status, len(outside.heard)) == ("done", 1)


# -- endpoints -------------------------------------------------------------------------------------------------------------------


def test_a_secret_is_shown_once(api: Caller, outside: Receiver) -> None:
    endpoint, secret = register(api, outside)
    assert secret.startswith("whsec_")
    for path in ("/webhook-endpoints", f"/webhook-endpoints/{endpoint.pk}"):
        assert secret not in api.get(path).response.content.decode()
    assert secret.encode() not in bytes(endpoint.sealed_secret)
    assert secret not in str(list(Entry.objects.values_list("data", flat=True)))
    kept = api.post("/webhook-endpoints", {"url": outside.url, "kinds": ALL_KINDS}, Idempotency_Key="k")
    assert (kept.status, kept.code) == (400, "no_idempotency_here")


def test_while_a_secret_is_replaced_both_sign(api: Caller, outside: Receiver) -> None:
    endpoint, old = register(api, outside)
    said = api.post(f"/webhook-endpoints/{endpoint.pk}/rotate-secret")
    new = said.body["secret"]
    change_band()
    tasks.deliver()
    assert (outside.heard[0].is_signed_with(old), outside.heard[0].is_signed_with(new)) == (True, True)
    later(hours=24, seconds=1)
    change_band()
    tasks.deliver()
    assert (outside.heard[1].is_signed_with(old), outside.heard[1].is_signed_with(new)) == (False, True)


def test_a_ping_goes_to_that_endpoint_alone(api: Caller, outside: Receiver) -> None:
    register(api, outside)
    endpoint, secret = register(api, outside)
    assert api.post(f"/webhook-endpoints/{endpoint.pk}/ping").status == 202
    tasks.deliver()
    assert [(one.body["kind"], one.body["data"]) for one in outside.heard] == [("ping", {"endpoint_id": str(endpoint.pk)})]
    assert outside.heard[0].is_signed_with(secret)


def test_a_stopped_endpoint_hears_nothing_more(api: Caller, outside: Receiver) -> None:
    endpoint, _ = register(api, outside)
    change_band()
    changes.number_all()
    assert api.call("DELETE", f"/webhook-endpoints/{endpoint.pk}").status == 204
    tasks.deliver()
    assert (delivery(endpoint).status, outside.heard) == ("dropped", [])
    assert api.get(f"/webhook-endpoints/{endpoint.pk}").body["is_active"] is False
    assert api.post(f"/webhook-endpoints/{endpoint.pk}/replay", {"since": clock.now().isoformat()}).code == "endpoint_stopped"
    assert Entry.objects.filter(kind="api.webhook_stopped").count() == 1


def test_a_replay_since_a_moment(api: Caller, outside: Receiver) -> None:
    endpoint, _ = register(api, outside)
    change_band()
    tasks.deliver()
    later(hours=2)
    change_band()
    tasks.deliver()
    since = (clock.now() - timedelta(hours=1)).isoformat()
    assert api.post(f"/webhook-endpoints/{endpoint.pk}/replay", {"since": since}).body == {"replayed": 1}
    tasks.deliver()
    assert [one.body["id"] for one in outside.heard][1:] == [outside.heard[1].body["id"]] * 2


@pytest.mark.parametrize("body", [{}, {"since": "x"}, {"since": None}, {"since": "2026-01-01T00:00:00Z", "delivery_id": "x"}])
def test_a_replay_of_nothing(body: dict[str, Any], api: Caller, outside: Receiver) -> None:
    endpoint, _ = register(api, outside)
    change_band()
    tasks.deliver()
    assert api.post(f"/webhook-endpoints/{endpoint.pk}/replay", body).status == 400
    assert api.post(f"/webhook-endpoints/{endpoint.pk}/deliveries/{uuid4()}/replay").status == 404
    assert delivery(endpoint).status == "done"


def test_another_endpoints_delivery_is_not_replayed(api: Caller, outside: Receiver) -> None:
    first, _ = register(api, outside)
    change_band()
    tasks.deliver()
    second, _ = register(api, outside)
    assert api.post(f"/webhook-endpoints/{second.pk}/deliveries/{delivery(first).pk}/replay").status == 404
    tasks.deliver()
    assert len(outside.heard) == 1


def test_so_many_endpoints_and_no_more(api: Caller, outside: Receiver) -> None:
    for _ in range(20):
        register(api, outside)
    said = api.post("/webhook-endpoints", {"url": outside.url, "kinds": ALL_KINDS})
    assert (said.status, said.code) == (409, "too_many_endpoints")
    assert WebhookEndpoint.objects.count() == 20


@pytest.mark.parametrize("host", ["a" * 64 + ".example.com", "a..example.com", "nobody.invalid"])
def test_a_name_that_no_host_has_fails_quietly(host: str, api: Caller, outside: Receiver) -> None:
    endpoint, _ = register(api, outside)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(url=f"https://{host}/")
    change_band()
    tasks.deliver()
    assert delivery(endpoint).status == "waiting"
    assert "it could not be reached" in delivery(endpoint).reason


@pytest.mark.parametrize("kinds", [[], ["ping"], ["everything"], "case.opened", [1]])
def test_kinds_that_there_are_not(kinds: Any, api: Caller, outside: Receiver) -> None:
    assert api.post("/webhook-endpoints", {"url": outside.url, "kinds": kinds}).status == 400
    assert not WebhookEndpoint.objects.exists()


# -- never inwards ---------------------------------------------------------------------------------------------------------------

INWARDS = [
    "http://crm.example.com/hook", "https://127.0.0.1/", "https://localhost/", "https://10.0.0.8/", "https://192.168.1.1:8443/x", "https://172.16.0.1/",
    "https://169.254.169.254/latest/meta-data/", "https://[::1]/", "https://[fd00::1]/", "https://[::ffff:10.0.0.1]/", "https://0.0.0.0/",
    "https://100.64.0.1/", "https://db.internal/", "https://printer.local/", "https://app.localhost/", "https://user:secret@crm.example.com/",
    "https://crm.example.com/#x", "https://crm.example.com/a b", "https://crm.example.com:0/", "https://crm.example.com:99999/", "ftp://crm.example.com/",
    "file:///etc/passwd", "gopher://crm.example.com/", "https:///hook", "crm.example.com", "https://[", "javascript:alert(1)",
]  # fmt: skip


@pytest.mark.parametrize("url", INWARDS)
def test_an_address_that_leads_inwards_is_refused(url: str, api: Caller, settings: Any) -> None:
    settings.WEBHOOKS_TO_PRIVATE_HOSTS = False
    said = api.post("/webhook-endpoints", {"url": url, "kinds": ALL_KINDS})
    assert (said.status, said.code, said.fields) == (422, "impossible_value", [("url", "impossible_url")])
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "100.64.0.1"])
def test_a_name_that_leads_inwards_is_not_called(
    address: str, api: Caller, outside: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an endpoint whose name looked well when it was registered
    endpoint, _ = register(api, outside)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(url="https://rebinding.example.com/hook")
    settings.WEBHOOKS_TO_PRIVATE_HOSTS = False
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: [(family, socket.SOCK_STREAM, 6, "", (address, 443))])
    called: list[Any] = []
    monkeypatch.setattr(webhooks, "_caller", lambda: called.append(1))
    # when it points inwards by the time of the call
    change_band()
    tasks.deliver()
    row = delivery(endpoint)
    assert (row.status, row.last_status, row.reason) == ("waiting", None, "The host has no public address.")
    assert called == []


def test_the_call_goes_to_the_address_that_was_checked_under_the_hosts_own_name(
    api: Caller, outside: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    asked: list[httpx.Request] = []
    answering = httpx.Client(transport=httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(204)))  # type: ignore[func-returns-value]
    monkeypatch.setattr(webhooks, "_caller", lambda: answering)
    found = [(socket.AF_INET, 1, 6, "", ("10.0.0.1", 443)), (socket.AF_INET, 1, 6, "", ("93.184.215.14", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
    endpoint, _ = register(api, outside)
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(url="https://crm.example.com/hook?x=1")
    settings.WEBHOOKS_TO_PRIVATE_HOSTS = False
    change_band()
    tasks.deliver()
    (request,) = asked
    assert str(request.url) == "https://93.184.215.14/hook?x=1"
    assert request.headers["host"] == "crm.example.com"
    # the certificate has to be the host's, not the address's
    assert request.extensions["sni_hostname"] == "crm.example.com"
    assert delivery(endpoint).status == "done"


# -- kept no longer --------------------------------------------------------------------------------------------------------------


def _swept(batch: int = 1_000) -> int:
    return forgetting.forget_old_changes(batch)


def test_changes_and_their_deliveries_are_kept_as_long_as_set(api: Caller, outside: Receiver, settings: Any) -> None:
    endpoint, _ = register(api, outside)
    for _ in range(3):
        change_band()
    tasks.deliver()
    first_cursor = api.get("/changes?limit=1").body["next_cursor"]
    later(days=10)
    change_band()
    tasks.deliver()
    assert _swept() == 0  # nothing is set: for ever
    settings.CHANGES_KEPT_DAYS = 9

    tasks.housekeeping()

    assert Tick.objects.get(schedule="api.housekeeping").result.endswith("3 changes")
    kept = Change.objects.get()
    assert (kept.position, WebhookDelivery.objects.get().change_id) == (4, kept.pk)
    entry = Entry.objects.get(kind="retention.changes_forgotten")
    assert entry.data == {"days": 9, "up_to": 3, "changes": 3, "deliveries": 3}
    # the feed goes on from what is left; a reader who stayed away is told so
    assert [item["cursor"] for item in api.get("/changes").body["items"]] == ["4"]
    assert [item["cursor"] for item in api.get("/changes?cursor=3").body["items"]] == ["4"]
    missed = api.get(f"/changes?cursor={first_cursor}")
    assert (missed.status, missed.code) == (404, "changes_forgotten")
    # numbers are not given again
    change_band()
    tasks.deliver()
    assert [item["cursor"] for item in api.get("/changes?cursor=4").body["items"]] == ["5"]
    assert endpoint.deliveries.filter(status="done").count() == 2
    assert _swept() == 0


def test_what_an_endpoint_has_not_heard_yet_is_kept_with_all_that_follows(api: Caller, outside: Receiver, settings: Any) -> None:
    endpoint, _ = register(api, outside)
    for _ in range(4):
        change_band()
    changes.number_all()
    WebhookDelivery.objects.exclude(change__position=3).update(status=Leased.DONE)
    later(days=10)
    settings.CHANGES_KEPT_DAYS = 9
    assert _swept(batch=1) == 2
    assert sorted(Change.objects.values_list("position", flat=True)) == [3, 4]
    WebhookDelivery.objects.update(status=Leased.PARKED)
    assert _swept() == 2
    assert not endpoint.deliveries.exists()
