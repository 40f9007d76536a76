"""Every action, from its second look to the look-up of a lost answer, sends Chargebee only what the SDK's own types allow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest

from approvals import crm_pushes
from approvals.actions import ACTIONS
from approvals.actions.contract import Action, Done, Look, Request
from approvals.contract import Words
from approvals.models import Execution, Proposal
from audit import seal
from billing_ai.integrations.chargebee import client
from billing_ai.kernel import clock
from tests import factories
from tests.contracts.conftest import Edge
from tests.contracts.sdk_shapes import check, sent_parameters
from tests.contracts.watching import Watched

pytestmark = pytest.mark.django_db
KEY = "5" * 64
READ, WRITE = (httpx.BasicAuth(key, "")._auth_header for key in ("key-that-reads", "key-that-writes"))

LOOK = {"invoice.retrieve"}
LOAD = {"customer.retrieve", "invoice.list", "payment_source.retrieve"}


@dataclass(frozen=True)
class Prepared:
    """What an action is tried with, and the operations of Chargebee that each of its steps may use: exactly these, no more."""

    look: set[str]
    act: set[str]
    look_up: set[str]
    freeze: set[str] = field(default_factory=set)
    payload: Callable[[], dict[str, Any]] = dict
    words: Words | None = None
    amount_minor: int = 0


PREPARED: dict[str, Prepared] = {
    "send_message": Prepared(
        look=LOOK | LOAD,
        freeze={"hosted_page.collect_now", "hosted_page.update_payment_method"},
        act=set(),
        look_up=set(),
        words=factories.ENGLISH,
    ),
    "collect_payment": Prepared(
        look=LOOK, act={"invoice.collect_payment"}, look_up={"transaction.payments_for_invoice", "event.list"}, amount_minor=4_900
    ),
    "add_comment": Prepared(look=LOOK, act={"comment.create"}, look_up={"comment.list"}, payload=lambda: {"notes": "n" * 1200}),
    "pause_dunning": Prepared(look=LOOK, act={"invoice.pause_dunning"}, look_up={"invoice.retrieve"}, payload=lambda: {"days": 7}),
    "resume_dunning": Prepared(look=LOOK, act={"invoice.resume_dunning"}, look_up={"invoice.retrieve"}),
    "create_ticket": Prepared(look=LOOK | LOAD, act=set(), look_up=set()),
    "pause_subscription": Prepared(
        look=LOOK | {"subscription.retrieve"},
        act={"subscription.pause"},
        look_up={"subscription.retrieve"},
        payload=lambda: {"subscription_id": "sub_1", "days": 30},
    ),
    "alert": Prepared(look={"customer.retrieve"}, act=set(), look_up=set(), payload=lambda: {"subject": "Uses less", "priority": "high"}),
    "answer_help": Prepared(look={"customer.retrieve"}, act=set(), look_up=set()),
    "confirm_opt_out": Prepared(look={"customer.retrieve"}, act=set(), look_up=set()),
    # What goes to a CRM sends nothing to Chargebee.
    "call_task": Prepared(look=LOOK, act=set(), look_up=set(), payload=lambda: {"subject": "Call them", "due_in_days": 1}),
    "crm_task": Prepared(look=LOOK, act=set(), look_up=set(), payload=lambda: {"subject": "Look at them", "due_in_days": 3}),
    "crm_push": Prepared(look=set(), act=set(), look_up=set(), payload=lambda: _staged()),
}
"""Each action has a line here; one that is added without it fails the test below."""


def _staged() -> dict[str, Any]:
    """Rows of three customers for the CRMs."""
    payload = crm_pushes.stage([(f"cus_{number}", {"churn_band": "high"}) for number in range(3)], as_of=clock.now())
    assert payload is not None
    return payload


def test_no_action_is_left_out() -> None:
    assert set(PREPARED) == set(ACTIONS)


class Outside:
    """Chargebee with one customer and one open invoice, and a help desk, a provider of text messages and two CRMs beside it."""

    def __init__(self, proposal: Proposal) -> None:
        self.proposal = proposal

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != "chargebee.test":
            return httpx.Response(200 if request.method == "GET" else 201, json=_beside(request))
        now = clock.to_seconds(clock.now())
        body: dict[str, Any] = {
            "customer": {
                "id": self.proposal.chargebee_customer_id,
                "first_name": "Ada",
                "email": "ada@example.com",
                "phone": "+447700900123",
                "locale": "en-GB",
                "primary_payment_source_id": "pm_1",
                "billing_address": {"country": "GB"},
            },
            "invoice": {
                "id": self.proposal.chargebee_invoice_id,
                "customer_id": self.proposal.chargebee_customer_id,
                "status": "not_paid",
                "dunning_status": "in_progress",
                "currency_code": "EUR",
                "total": 4_900,
                "amount_due": 4_900,
                "date": now - 86_400 * 3,
                "due_date": now - 86_400 * 3,
            },
            "subscription": {"id": "sub_1", "customer_id": self.proposal.chargebee_customer_id, "status": "active"},
            "transaction": {"id": "txn_1", "type": "payment", "status": "success", "date": now, "amount": 4_900, "currency_code": "EUR"},
            "event": {
                "id": "ev_1",
                "object": "event",
                "api_version": "v2",
                "event_type": "payment_succeeded",
                "occurred_at": now,
                "source": "api",
                "content": {"transaction": {"id": "txn_1"}},
            },
            "payment_source": {"id": "pm_1", "type": "card", "status": "valid"},
            "comment": {"id": "com_1", "notes": f"n [billing-ai {KEY[:12]}]"},
            "hosted_page": {"id": "hp_1", "url": "https://pages.test/1"},
        }
        is_list = request.method == "GET" and b"limit=" in request.url.query
        return httpx.Response(200, json={"list": [body]} if is_list else body)


def _beside(request: httpx.Request) -> Any:
    """What the vendors beside Chargebee say."""
    if request.url.host == "desk.test":
        return {"ticket": {"id": 7, "url": "http://desk.test/7"}, "tickets": []}
    if request.url.host == "sms.test":
        return {"sid": "SM1", "status": "queued", "messages": []}
    if request.url.host == "hubspot.test":
        return {"results": [], "id": "1", "properties": {}}
    if "/composite/" in request.url.path:
        return [{"id": "001", "success": True, "errors": []} for _ in json.loads(request.content)["records"]]
    return {"records": [{"Id": "001"}], "id": "00T", "created": True}


@dataclass
class Step:
    """What one step of an action sent to Chargebee."""

    operations: set[str]
    requests: list[httpx.Request]
    wrong: list[str]


class Walker:
    """Takes an action through its steps, and sees what each sends."""

    def __init__(self, edge: Edge, watched: Watched) -> None:
        self.edge, self.watched = edge, watched

    def step(self, call: Callable[[], Any]) -> tuple[Any, Step]:
        self.edge.requests.clear()
        self.watched.operations.clear()
        found = call()
        requests = [request for request in self.edge.requests if request.url.host == "chargebee.test"]
        assert len(requests) == len(self.watched.operations)
        pairs = list(zip(self.watched.operations, requests, strict=True))
        wrong = [fault for (resource, name), request in pairs for fault in check(resource, name, sent_parameters(request))]
        return found, Step({f"{resource}.{name}" for resource, name in self.watched.operations}, requests, wrong)


@pytest.fixture
def walker(edge: Edge) -> Any:
    with Watched.over(client.site("key-that-reads"), client.site("key-that-writes")) as watched:
        yield Walker(edge, watched)


def _proposal(key: str, prepared: Prepared) -> Proposal:
    case = factories.case(words=None)
    return factories.proposal(
        case, action=key, status="approved", words=prepared.words, payload=prepared.payload(), amount_minor=prepared.amount_minor
    )


def _execution(proposal: Proposal, request: Request) -> Execution:
    made = Execution(
        proposal=proposal,
        action=proposal.action,
        business_key=KEY,
        idempotency_key=KEY,
        trace_id=proposal.trace_id,
        request=dict(request.values),
        first_sent_at=clock.now(),
    )
    if request.sealed is not None:
        made.sealed_request = seal.seal(proposal.chargebee_customer_id, "{}")
    made.save()
    return made


@pytest.mark.parametrize("key", PREPARED)
def test_each_step_of_an_action_is_legal(key: str, walker: Walker) -> None:
    # given an action that was approved, and a site on which nothing has changed since
    action: Action = ACTIONS[key]
    prepared = PREPARED[key]
    proposal = _proposal(key, prepared)
    assert proposal.current is not None
    revision = proposal.current
    walker.edge.answer = Outside(proposal)
    # when it takes its second look
    look, looked = walker.step(lambda: action.look_again(proposal, revision))
    assert isinstance(look, Look)
    # and is frozen, carried out and, as if the answer had been lost, looked up
    request, froze = walker.step(lambda: action.freeze(proposal, revision, look, KEY))
    done, acted = walker.step(lambda: action.act(request, key=KEY))
    execution = _execution(proposal, request)
    _, sought = walker.step(lambda: action.look_up(execution, request, since=clock.now() - timedelta(minutes=2)))
    # then each step used its operations and no others, every parameter of them is one of the SDK's own
    assert (looked.operations, froze.operations, acted.operations, sought.operations) == (
        prepared.look,
        prepared.freeze,
        prepared.act,
        prepared.look_up,
    )
    assert [*looked.wrong, *froze.wrong, *acted.wrong, *sought.wrong] == []
    assert isinstance(done, Done)
    assert done.reference
    # and what looks uses the key that cannot write, what writes the other one, once, under the effect's key
    assert {sent.headers["authorization"] for sent in (*looked.requests, *sought.requests)} <= {READ}
    assert {sent.headers["authorization"] for sent in (*froze.requests, *acted.requests)} <= {WRITE}
    assert [sent.headers["chargebee-idempotency-key"] for sent in acted.requests] == [KEY] * len(prepared.act)


def test_the_walk_would_see_a_parameter_that_does_not_exist(walker: Walker, monkeypatch: pytest.MonkeyPatch) -> None:
    from billing_ai.integrations.chargebee.writes import dunning

    monkeypatch.setattr(dunning, "comment_of", lambda comment: {"remark": "x"})
    prepared = PREPARED["resume_dunning"]
    proposal = _proposal("resume_dunning", prepared)
    walker.edge.answer = Outside(proposal)
    action = ACTIONS["resume_dunning"]
    _, acted = walker.step(lambda: action.act(Request({"invoice_id": proposal.chargebee_invoice_id}), key=KEY))
    assert acted.wrong == ["remark is unknown"]
