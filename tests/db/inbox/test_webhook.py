"""What the webhook accepts, what it refuses, and that a refusal leaves no trace."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from celery import Celery
from django.core.wsgi import get_wsgi_application
from django.db import InterfaceError, OperationalError, connection, connections
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from audit.models import Entry
from billing_ai.inbox import intake, reception
from billing_ai.inbox.door import with_door
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.work import wake as waking
from billing_ai.work.models import Lane
from tests.db.inbox.conftest import NEW, OLD, Chargebee, basic, event

pytestmark = pytest.mark.django_db


def assert_nothing_happened(woken: list[str]) -> None:
    assert Event.objects.count() == 0
    assert Entry.objects.count() == 0
    assert woken == []


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


# -- accepted ----------------------------------------------------------------------------------------------------------------------------


def test_an_event_is_one_row_then_200_and_the_workers_are_woken(chargebee: Chargebee, woken: list[str]) -> None:
    raw = json.dumps(event()).encode()
    response = chargebee.post(raw)
    assert (response.status_code, response.json()) == (200, {"received": "ev_1", "new": True})
    row = Event.objects.get()
    assert (row.chargebee_event_id, row.event_type, row.status, row.lane) == ("ev_1", "payment_failed", "waiting", Lane.NEWS)
    assert (row.found_by, row.source, row.api_version, row.chargebee_customer_id) == ("webhook", "scheduled_job", "v2", "cus_1")
    assert clock.to_seconds(row.occurred_at) == 1_760_000_000
    assert row.resources == [
        {"kind": "customer", "id": "cus_1", "version": 1_760_000_000_001},
        {"kind": "invoice", "id": "INV-1", "version": 1_760_000_000_002},
        {"kind": "transaction", "id": "txn_1", "version": None},
    ]
    assert row.body_sha256 == hashlib.sha256(raw).hexdigest()
    assert len(row.trace_id) == 32
    assert woken == ["inbox.process"]


@pytest.mark.parametrize("password", [OLD, NEW])
def test_both_passwords_work_while_one_is_rotated(chargebee: Chargebee, woken: list[str], password: str) -> None:
    assert chargebee.post(auth=basic(password=password)).status_code == 200
    assert Event.objects.count() == 1


def test_a_payment_goes_into_the_first_lane(chargebee: Chargebee, woken: list[str]) -> None:
    chargebee.post(event("ev_paid", "payment_succeeded"))
    assert Event.objects.get().lane == Lane.PAYMENT


def test_a_duplicate_is_answered_200_and_stored_once(chargebee: Chargebee, woken: list[str]) -> None:
    assert chargebee.post().json() == {"received": "ev_1", "new": True}
    assert chargebee.post().json() == {"received": "ev_1", "new": False}
    assert Event.objects.count() == 1
    assert woken == ["inbox.process"]


def test_an_event_that_is_replayed_a_month_later_is_known(chargebee: Chargebee, woken: list[str]) -> None:
    chargebee.post()
    Event.objects.update(status="done", received_at=clock.now() - timedelta(days=31))
    response = chargebee.post(event(occurred_at=1_762_600_000))
    assert (response.status_code, response.json()["new"]) == (200, False)
    row = Event.objects.get()
    assert (row.status, clock.to_seconds(row.occurred_at)) == ("done", 1_760_000_000)
    assert woken == ["inbox.process"]


def test_an_unknown_type_is_stored_and_ignored(chargebee: Chargebee, woken: list[str]) -> None:
    assert chargebee.post(event("ev_2", "quote_created")).status_code == 200
    row = Event.objects.get()
    assert (row.status, row.reason) == ("ignored", "nothing here acts on quote_created")


def test_what_the_console_of_chargebee_sends_as_a_test_is_ignored(chargebee: Chargebee, woken: list[str]) -> None:
    assert chargebee.post(event("cbdemo_ev_1")).status_code == 200
    row = Event.objects.get()
    assert (row.status, row.reason) == ("ignored", "a test from Chargebee's console")


def test_nothing_of_the_payload_is_in_the_database(chargebee: Chargebee, woken: list[str]) -> None:
    chargebee.post(event(event_type="customer_changed", webhooks=[{"id": "whv2_x", "webhook_status": "not_configured"}]))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {Event._meta.db_table}")
        kept = "|".join(str(cell) for row in cursor.fetchall() for cell in row)
    for detail in ("Zsófia", "zsofia", "example.com", "1881", "4900", "amount_due", "whv2_x"):
        assert detail not in kept


def test_an_event_sent_in_chunks_is_accepted(chargebee: Chargebee, woken: list[str]) -> None:
    raw = json.dumps(event()).encode()
    chunked = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True, "wsgi.input": io.BytesIO(raw)}
    assert chargebee.post(b"", **chunked).status_code == 200
    assert Event.objects.get().body_sha256 == hashlib.sha256(raw).hexdigest()


# -- refused -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "auth",
    [
        None,
        basic(password="guessed"),
        basic(user="someone"),
        basic(password=""),
        basic(password=f"{NEW},{OLD}"),
        basic().replace("Basic", "Bearer"),
        "Basic not-base64!",
        "Basic",
        "Basic " + "QQ==",
    ],
)
def test_wrong_credentials_are_401(chargebee: Chargebee, woken: list[str], auth: str | None) -> None:
    response = chargebee.post(auth=auth)
    assert refusal(response) == (401, "unauthorized")
    assert response["WWW-Authenticate"].startswith("Basic ")
    assert_nothing_happened(woken)


def test_an_emptied_password_lets_nobody_in(chargebee: Chargebee, woken: list[str], settings: Any) -> None:
    settings.CHARGEBEE_WEBHOOK_PASSWORD = ""
    assert refusal(chargebee.post(auth=basic(password=""))) == (401, "unauthorized")
    assert_nothing_happened(woken)


def test_credentials_are_asked_for_before_the_body_is_read(chargebee: Chargebee, woken: list[str]) -> None:
    class Unread(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("the body of a stranger was read")

    assert chargebee.post(auth=basic(password="guessed"), **{"wsgi.input": Unread()}).status_code == 401
    assert_nothing_happened(woken)


@pytest.mark.parametrize(("configured", "used"), [("s3cret", ""), ("s3cret", "guess"), ("", "anything")])
def test_a_wrong_secret_path_is_404(chargebee: Chargebee, woken: list[str], settings: Any, configured: str, used: str) -> None:
    settings.CHARGEBEE_WEBHOOK_SECRET_PATH = configured
    assert refusal(chargebee.post(secret=used)) == (404, "not_found")
    assert_nothing_happened(woken)


def test_the_right_secret_path_still_needs_the_password(chargebee: Chargebee, woken: list[str], settings: Any) -> None:
    settings.CHARGEBEE_WEBHOOK_SECRET_PATH = "s3cret"
    assert chargebee.post(secret="s3cret", auth=None).status_code == 401
    assert_nothing_happened(woken)
    assert chargebee.post(secret="s3cret").status_code == 200


@pytest.mark.parametrize("method", ["get", "put", "delete", "head"])
def test_only_post_is_answered(chargebee: Chargebee, woken: list[str], method: str) -> None:
    assert getattr(chargebee.client, method)("/webhooks/chargebee/", HTTP_AUTHORIZATION=basic()).status_code == 405
    assert_nothing_happened(woken)


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"id": "ev_1"', b"\xff\xfe{}", b"hello", b'{"id": ' + b"9" * 5_000 + b"}", json.dumps(event()).encode()[:-5]]
)
def test_broken_json_is_400(chargebee: Chargebee, woken: list[str], body: bytes) -> None:
    assert refusal(chargebee.post(body)) == (400, "foreign_shape")
    assert_nothing_happened(woken)


@pytest.mark.parametrize(
    "body",
    [
        [],
        "an event",
        None,
        {"object": "event"},
        {"id": "ev_1"},
        event("") | {"id": " "},
        event() | {"id": "x" * 101},
        event() | {"id": {"$gt": ""}},
        event() | {"id": "ev\x00_1"},
        event() | {"id": "ev_\ud800"},
        event(event_type="Payment Failed"),
        event() | {"object": "customer"},
    ],
)
def test_a_foreign_shape_is_400(chargebee: Chargebee, woken: list[str], body: Any) -> None:
    assert refusal(chargebee.post(json.dumps(body).encode())) == (400, "foreign_shape")
    assert_nothing_happened(woken)


@pytest.mark.parametrize("raw", [b"[" * 40 + b"]" * 40, b'{"a":' * 31 + b"1" + b"}" * 31, b"[" * 400_000])
def test_too_deep_is_400(chargebee: Chargebee, woken: list[str], raw: bytes) -> None:
    assert refusal(chargebee.post(raw)) == (400, "foreign_shape")
    assert_nothing_happened(woken)


def test_the_deepest_that_is_allowed_is_read(chargebee: Chargebee, woken: list[str]) -> None:
    nested: Any = 1
    for _ in range(reception.MAX_DEPTH - 1):
        nested = [nested]
    assert chargebee.post(event() | {"content": nested}).status_code == 200
    assert chargebee.post(event() | {"content": [nested]}).status_code == 400


@pytest.mark.parametrize("name", ["[" * 40, '\\"' + "{[" * 40, "]" * 40 + "[" * 40])
def test_brackets_in_what_a_customer_wrote_are_no_nesting(chargebee: Chargebee, name: str) -> None:
    assert chargebee.post(event() | {"content": {"customer": {"id": "c1", "company": name}}}).status_code == 200
    assert Event.objects.count() == 1


@pytest.mark.parametrize("body", [b'{"a": "' + b'\\"' * 200_000, b'"' * 100_000 + b"[" * 100_000, b'{"a":' * 50 + b"1" + b"}" * 50])
def test_a_body_made_to_be_slow_is_refused(chargebee: Chargebee, body: bytes) -> None:
    with pytest.raises(reception.ForeignShape):
        reception.parse(body)


@pytest.mark.parametrize("declared", ["1000001", "9" * 30, "9" * 5_000])
def test_a_body_that_is_declared_too_large_is_413_and_not_read(chargebee: Chargebee, woken: list[str], declared: str) -> None:
    class Unread(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise AssertionError("it was read")

    response = chargebee.post(b"{}", CONTENT_LENGTH=declared, **{"wsgi.input": Unread()})
    assert refusal(response) == (413, "too_large")
    assert_nothing_happened(woken)


def test_a_body_that_turns_out_too_large_is_413_and_read_no_further(chargebee: Chargebee, woken: list[str]) -> None:
    endless = io.BytesIO(b" " * 3_000_000)
    response = chargebee.post(b"", CONTENT_LENGTH="", **{"wsgi.input_terminated": True, "wsgi.input": endless})
    assert refusal(response) == (413, "too_large")
    assert endless.tell() == reception.MAX_BODY_BYTES + 1
    assert_nothing_happened(woken)


def test_the_largest_that_is_allowed_is_stored(chargebee: Chargebee, woken: list[str]) -> None:
    raw = json.dumps(event()).encode()
    assert chargebee.post(raw + b" " * (reception.MAX_BODY_BYTES - len(raw))).status_code == 200


def test_a_sender_who_goes_away_leaves_nothing(chargebee: Chargebee, woken: list[str]) -> None:
    class Cut(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise ConnectionResetError

    assert refusal(chargebee.post(b"{}", **{"wsgi.input": Cut()})) == (400, "cut_off")
    assert_nothing_happened(woken)


@pytest.mark.parametrize("name", ["customer\x00", "cust\ud800omer", "<script>", "a" * 200])
def test_a_field_with_an_odd_name_is_noted_and_its_name_not_kept(chargebee: Chargebee, woken: list[str], name: str) -> None:
    body = event()
    body["content"] |= {name: {"id": "x"}, "card": 5}
    assert chargebee.post(body).status_code == 200
    row = Event.objects.get()
    assert [one["kind"] for one in row.resources] == ["customer", "invoice", "transaction"]
    assert row.reason == "odd fields: content holds a field whose name is none of Chargebee's, content.card"


@pytest.mark.parametrize("error", [OperationalError("the server went away"), InterfaceError("connection already closed")])
def test_a_database_that_is_away_is_503(chargebee: Chargebee, woken: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    closed: list[bool] = []

    def away(*_: Any, **__: Any) -> bool:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(intake, "store", away)
        patch.setattr(reception, "connections", {"default": SimpleNamespace(connection=None, close=lambda: closed.append(True))})
        response = chargebee.post()
    assert refusal(response) == (503, "database_away")
    assert closed == [True]
    assert_nothing_happened(woken)
    # and when it is back, the same event is new
    assert chargebee.post().json() == {"received": "ev_1", "new": True}


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="a file has no connection that could be lost")
def test_a_kept_connection_that_died_meanwhile_costs_no_event(chargebee: Chargebee, woken: list[str]) -> None:
    # given a connection from an earlier request, which the server has ended since
    connection.ensure_connection()
    dead = connection.connection
    assert dead is not None
    with connection.copy().cursor() as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [dead.info.backend_pid])
        other.connection.close()
    # when an event comes
    response = chargebee.post()
    # then it is stored over a new one
    assert (response.status_code, response.json()) == (200, {"received": "ev_1", "new": True})
    assert Event.objects.get().status == "waiting"
    assert connection.connection is not dead
    assert woken == ["inbox.process"]


def test_the_row_is_one_statement_that_commits_itself(chargebee: Chargebee, woken: list[str]) -> None:
    with CaptureQueriesContext(connection) as asked:
        chargebee.post()
    assert [query["sql"].split(" ", 3)[:3] for query in asked] == [["INSERT", "INTO", "inbox_event"]]


# -- through the door of the web process --------------------------------------------------------------------------------------------------


def through(application: Any, path: str, body: bytes, auth: str) -> tuple[str, dict[str, str], bytes]:
    told: list[Any] = []
    environ = RequestFactory().post(path, body, content_type="application/json", headers={"authorization": auth}).environ
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")  # as a server hands it over; the request above has decoded it
    answer = application(environ, lambda status, headers: told.extend((status, dict(headers))))
    whole = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return told[0], told[1], whole


@pytest.mark.django_db(transaction=True)
def test_the_door_takes_webhooks_past_the_middleware_and_nothing_else(chargebee: Chargebee, woken: list[str], settings: Any) -> None:
    settings.MIDDLEWARE = ["tests.db.inbox.conftest.Refusing"]
    application = with_door(get_wsgi_application())
    raw = json.dumps(event()).encode()
    # a webhook is accepted as ever, and a wrong one refused as ever
    status, _, answer = through(application, "/webhooks/chargebee/", raw, basic())
    assert (status, json.loads(answer)) == ("200 OK", {"received": "ev_1", "new": True})
    assert through(application, "/webhooks/chargebee/", raw, basic(password="guessed"))[0] == "401 Unauthorized"
    assert through(application, "/webhooks/chargebee/guess/", raw, basic())[0] == "404 Not Found"
    assert through(application, "/webhooks/chargebee/", raw, basic(password="guessed"))[1]["WWW-Authenticate"] == reception.REALM
    # and everything else still meets what stands before it
    for path in ("/", "/console/", "/webhooks/sms/", "/webhooks/chargebee", "/webhooks/chargebee/guess", "/webhooks/chargebee/a/b/"):
        assert through(application, path, raw, basic())[0] == "403 Forbidden", path
    assert Event.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_secret_path_is_the_same_through_the_door(chargebee: Chargebee, woken: list[str], settings: Any) -> None:
    settings.CHARGEBEE_WEBHOOK_SECRET_PATH = "géheim"
    application = with_door(get_wsgi_application())
    raw = json.dumps(event()).encode()
    assert through(application, "/webhooks/chargebee/", raw, basic())[0] == "404 Not Found"
    assert through(application, "/webhooks/chargebee/g%C3%A9heim/", raw, basic())[0] == "200 OK"
    assert Event.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_nobody_foresaw_is_a_500_and_in_the_log(
    chargebee: Chargebee, woken: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> bool:
        raise LookupError("something nobody thought of")

    monkeypatch.setattr(intake, "store", broken)
    status, _, answer = through(
        with_door(lambda environ, start_response: []), "/webhooks/chargebee/", json.dumps(event()).encode(), basic()
    )
    assert (status, json.loads(answer)["error"]) == ("500 Internal Server Error", "failed")
    assert [(record.message, record.exc_info is not None) for record in caplog.records] == [("webhook.failed", True)]
    assert_nothing_happened(woken)


# -- what the log says -----------------------------------------------------------------------------------------------------------------------


def told_of(caplog: pytest.LogCaptureFixture) -> list[tuple[str, ...]]:
    lines = [record for record in caplog.records if record.name == "billing_ai.inbox.reception"]
    return [(line.message, line.trace_id, line.event_id, line.event_type, line.outcome) for line in lines]  # type: ignore[attr-defined]


def test_each_webhook_leaves_one_line_with_the_trace_of_its_event(
    chargebee: Chargebee, woken: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    chargebee.post()
    chargebee.post()
    trace = Event.objects.get().trace_id
    assert told_of(caplog) == [
        ("webhook.accepted", trace, "ev_1", "payment_failed", "stored"),
        ("webhook.duplicate", trace, "ev_1", "payment_failed", "stored"),
    ]
    # and another event has a trace of its own
    chargebee.post(event("ev_2"))
    assert Event.objects.get(chargebee_event_id="ev_2").trace_id != trace


def test_a_refused_webhook_leaves_one_line_that_repeats_nothing_of_it(
    chargebee: Chargebee, woken: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    chargebee.post(auth=basic(password="guessed"))
    chargebee.post(b'{"customer": "Zsofia')
    chargebee.post(b"{}", secret="guess")
    assert told_of(caplog) == [
        ("webhook.refused", "-", "", "", "unauthorized"),
        ("webhook.refused", "-", "", "", "foreign_shape"),
        ("webhook.refused", "-", "", "", "not_found"),
    ]
    said = str([vars(record) for record in caplog.records if record.name == "billing_ai.inbox.reception"])
    assert not [part for part in ("guess", "Zsofia", NEW, OLD) if part in said]


# -- many at once, and without a broker ------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_fifty_duplicates_at_once_are_one_row_and_fifty_times_200(chargebee: Chargebee, woken: list[str]) -> None:
    told: list[tuple[int, bool]] = []
    start = threading.Barrier(50)

    def send() -> None:
        start.wait()
        try:
            response = chargebee.__class__().post()
            told.append((response.status_code, response.json()["new"]))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [(200, False)] * 49 + [(200, True)]
    assert Event.objects.count() == 1
    assert woken == ["inbox.process"]


@pytest.fixture
def waker(monkeypatch: pytest.MonkeyPatch) -> waking._Waker:
    """A waker of the test's own, with its own thread."""
    made = waking._Waker()
    monkeypatch.setattr(waking, "_waker", made)
    monkeypatch.setattr(waking, "_PAUSE_AFTER_FAILURE_SECONDS", 0)
    return made


@pytest.mark.django_db(transaction=True)
def test_a_dead_redis_loses_nothing(chargebee: Chargebee, waker: waking._Waker, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a broker's address at which nothing listens
    monkeypatch.setattr("billing_ai.celery.app", Celery(broker="redis://127.0.0.1:1/0", set_as_current=False))
    publish, tried = waker._publish, threading.Semaphore(0)

    def watched(task: str) -> None:
        publish(task)
        tried.release()

    monkeypatch.setattr(waker, "_publish", watched)
    # when two events come, one after the other's wake-up has failed
    for event_id in ("ev_1", "ev_2"):
        assert chargebee.post(event(event_id)).status_code == 200
        assert tried.acquire(timeout=30)
    # then both are there for the next sweep, and the thread that wakes is alive
    assert Event.objects.filter(status="waiting").count() == 2
    assert waker._thread is not None
    assert waker._thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_a_frozen_broker_holds_up_no_answer_and_many_wake_ups_become_one(
    chargebee: Chargebee, waker: waking._Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, entered, sent = threading.Event(), threading.Semaphore(0), []

    def publish(task: str) -> None:
        entered.release()
        assert frozen.wait(30)
        sent.append(task)

    monkeypatch.setattr(waker, "_publish", publish)
    # given a wake-up that hangs
    assert chargebee.post(event("ev_0")).status_code == 200
    assert entered.acquire(timeout=30)
    # then further events are answered all the same
    for number in range(1, 6):
        assert chargebee.post(event(f"ev_{number}")).status_code == 200
    assert Event.objects.count() == 6
    assert sent == []
    # and once it thaws, their wake-ups are one
    frozen.set()
    assert entered.acquire(timeout=30)
    waker.wake("flush")
    assert entered.acquire(timeout=30)
    assert sent[:2] == ["inbox.process", "inbox.process"]


def test_wake_ups_within_a_tenth_of_a_second_are_one_and_none_is_lost(waker: waking._Waker, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    told = threading.Semaphore(0)

    def publish(task: str) -> None:
        sent.append(task)
        told.release()

    monkeypatch.setattr(waker, "_publish", publish)
    # the first goes out at once, and another task's does not wait for it
    waker.wake("inbox.process")
    assert told.acquire(timeout=30)
    waker.wake("agents.tick")
    assert told.acquire(timeout=30)
    # a hundred more right behind it are one
    for _ in range(100):
        waker.wake("inbox.process")
    assert told.acquire(timeout=30)
    assert sent == ["inbox.process", "agents.tick", "inbox.process"]
    assert waker._pending == set()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_is_rolled_back_wakes_nobody(waker: waking._Waker, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import transaction

    monkeypatch.setattr(waker, "wake", lambda task: pytest.fail("woken for nothing"))

    def undone() -> None:
        with transaction.atomic():
            waking.wake("inbox.process")
            raise LookupError

    with pytest.raises(LookupError):
        undone()
