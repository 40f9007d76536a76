"""Every event of Chargebee's through our webhook, and then through the queue: the right status each, and nothing crashes or is lost."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.test import Client

from billing_ai.console import parked_work
from billing_ai.facts import models as facts
from billing_ai.inbox import routing
from billing_ai.inbox.models import Event
from billing_ai.integrations.chargebee import circuit
from billing_ai.integrations.chargebee.events import HANDLED
from billing_ai.kernel import clock
from billing_ai.work import claims
from billing_ai.work.models import Leased
from tests import factories
from tests.contracts.conftest import Edge
from tests.contracts.event_fixtures import CONTENT_OF, FORMS, ITEMS, event_of

pytestmark = pytest.mark.django_db
AUTH = "Basic " + base64.b64encode(b"chargebee:secret").decode()


_client = Client(raise_request_exception=True)


@pytest.fixture(autouse=True)
def endpoint(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CHARGEBEE_WEBHOOK_USER, settings.CHARGEBEE_WEBHOOK_PASSWORD = "chargebee", "secret"
    settings.CHARGEBEE_WEBHOOK_SECRET_PATH = ""
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)


def post(body: Any) -> int:
    """The status that our webhook answers with."""
    path = "/webhooks/chargebee/"
    return _client.post(path, json.dumps(body), content_type="application/json", headers={"authorization": AUTH}).status_code


@pytest.mark.parametrize("form", FORMS)
def test_every_type_in_every_form_is_stored_under_its_status(form: str) -> None:
    assert len(set(CONTENT_OF) - set(HANDLED)) >= 200
    assert set(HANDLED) <= set(CONTENT_OF)
    statuses = {event_type: post(event_of(event_type, form)) for event_type in CONTENT_OF}
    assert set(statuses.values()) == {200}
    rows = {row.event_type: row for row in Event.objects.all()}
    assert set(rows) == set(CONTENT_OF)
    assert {name for name, row in rows.items() if row.status == Leased.WAITING} == set(HANDLED)
    assert {row.status for name, row in rows.items() if name not in HANDLED} == {Event.IGNORED}
    assert {row.api_version for row in rows.values()} == {FORMS[form][0]}
    # what a handled event names is found in it, whichever form it came in
    assert {row.chargebee_customer_id for name, row in rows.items() if name in HANDLED} == {"cus_1"}
    assert {"kind": "invoice", "id": "inv_1"} in [{"kind": one["kind"], "id": one["id"]} for one in rows["payment_failed"].resources]


ODD: tuple[Any, ...] = (
    None,
    "",
    "x",
    "x\x00y",
    "\ud800",
    7,
    -1,
    10**30,
    1.5,
    True,
    [],
    [None],
    {},
    {"a": {"b": []}},
    "9" * 400,
    1_770_000_000_000,
)


def changed(event: dict[str, Any], choose: random.Random) -> dict[str, Any]:
    """The event with a field somewhere missing, added, or of another type."""
    event = copy.deepcopy(event)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(event)
    node, key = choose.choice(places)
    if choose.random() < 0.3 and isinstance(node, dict):
        del node[key]
    elif choose.random() < 0.2 and isinstance(node, dict):
        node["a_field_of_next_year"] = choose.choice(ODD)
    else:
        node[key] = choose.choice(ODD)
    return event


def test_whatever_field_is_missing_added_or_odd_it_is_stored_or_refused(endpoint: None) -> None:
    choose = random.Random(7)
    answers: Counter[int] = Counter()
    for number in range(200):
        event_type = choose.choice(sorted(HANDLED))
        event = event_of(event_type, choose.choice(sorted(FORMS)), f"ev_{number}")
        for _ in range(choose.randint(1, 3)):
            event = changed(event, choose)
        before = Event.objects.count()
        status = post(event)
        answers[status] += 1
        assert Event.objects.count() - before == (1 if status == 200 else 0)
    assert set(answers) == {200, 400}
    assert answers[200] > 150


# -- what Chargebee then answers ---------------------------------------------------------------------------------------------------------


def well(request: httpx.Request) -> httpx.Response:
    """The site, with one customer, one subscription, one open invoice and one failed payment."""
    body = {name: dict(resource) for name, resource in ITEMS.items()}
    body["transaction"] |= {"type": "payment", "gateway": "stripe", "error_code": "card_declined", "amount": 4_900, "currency_code": "EUR"}
    return httpx.Response(200, json={"list": [body]} if b"limit=" in request.url.query else body)


def with_every_value(value: Any) -> Callable[[httpx.Request], httpx.Response]:
    """All attributes but the ids are this."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(well(request).content)
        for row in body.get("list", [body]):
            for resource in row.values():
                resource.update({name: value for name in resource if name not in ("id", "customer_id")})
                resource.update(dict.fromkeys(("date", "locale", "currency_code", "billing_address", "created_at", "amount_due"), value))
        return httpx.Response(200, content=json.dumps(body))

    return answer


def without(name: str) -> Callable[[httpx.Request], httpx.Response]:
    """No resource has that attribute."""

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(well(request).content)
        for row in body.get("list", [body]):
            for resource in row.values():
                resource.pop(name, None)
        return httpx.Response(200, json=body)

    return answer


def _cut(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=well(request).content[:-9])


DIFFERENT = ("payment_failed", "dunning_updated", "card_expiry_reminder", "customer_deleted")
"""Events that name different resources: with an invoice and a customer, only the one, only the other, and the end of them."""
ANSWERS: dict[str, tuple[Callable[[httpx.Request], httpx.Response], set[str]]] = {
    "well": (well, {"done"}),
    **{f"every value is {value!r:.20}": (with_every_value(value), {"done", "parked"}) for value in ODD},
    **{
        f"no {name}": (without(name), {"done", "parked"})
        for name in ("customer_id", "status", "currency_code", "linked_invoices", "line_items")
    },
    "no id": (without("id"), {"parked"}),
    "a web page": (lambda request: httpx.Response(200, html="<html>sorry</html>"), {"parked"}),
    "cut off": (_cut, {"parked"}),
    "a list": (lambda request: httpx.Response(200, json=[]), {"parked"}),
    "nothing": (lambda request: httpx.Response(200), {"parked"}),
    "not there": (lambda request: httpx.Response(404, json={"message": "m", "api_error_code": "resource_not_found"}), {"done"}),
    "refused": (lambda request: httpx.Response(400, json={"message": "m", "api_error_code": "param_wrong_value"}), {"parked"}),
}


@pytest.mark.django_db(transaction=True)  # as the worker does it: what the database refuses ends nothing else
@pytest.mark.parametrize("what", ANSWERS)
def test_whatever_chargebee_then_answers_no_event_is_lost(what: str, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an event of each type that is handled, and a site that answers like this, for as long as anybody asks
    edge.answer, expected = ANSWERS[what]
    monkeypatch.setattr(circuit, "check", lambda look: None)
    monkeypatch.setattr("billing_ai.work.claims.backoff", lambda attempt: timedelta())
    for event_type in DIFFERENT:
        assert post(event_of(event_type, "items")) == 200
    # when the queue is worked off until nothing waits any more
    for _ in range(20):
        Event.objects.filter(status=Leased.WAITING).update(not_before=clock.now())
        if not routing.process_due(limit=100):
            break
    claims.park_exhausted(Event)
    # then each ended, and where it could not be understood there is a reason that a person can read
    rows = list(Event.objects.all())
    assert len(rows) == len(DIFFERENT)
    assert {row.status for row in rows} <= expected
    assert [row.event_type for row in rows if row.status == "parked" and len(row.reason) < 15] == []
    if what == "well":
        assert facts.Invoice.objects.get().amount_due_minor == 4_900


def test_a_parked_event_that_is_replayed_is_understood_once_chargebee_is(edge: Edge) -> None:
    edge.answer = without("id")
    post(event_of("payment_failed", "items"))
    for _ in range(10):
        Event.objects.update(not_before=clock.now())
        routing.process_due()
    claims.park_exhausted(Event)
    row = Event.objects.get()
    assert row.status == "parked"
    assert facts.Invoice.objects.count() == 0
    # when Chargebee answers as it should, and a person replays it
    edge.answer = well
    parked_work.decide("event", str(row.pk), factories.user("specialist"), "replay", "Chargebee is well again.")
    routing.process_due()
    row.refresh_from_db()
    assert row.status == "done"
    assert facts.Invoice.objects.get().pk == "inv_1"
