"""Two tenants with tokens of their own, customers of each, and callers that speak as an integration does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client

from approvals.models import Case, Proposal
from approvals.policy import rules as rules_in_force
from approvals.policy.defaults import install_defaults
from audit.actor import system
from billing_ai.api import clients, tokens
from billing_ai.api.models import ApiClient, ApiToken
from billing_ai.facts.models import Customer
from billing_ai.kernel import clock
from tests import factories

ACTOR = system("test")
BASE = "/api/v1"


@dataclass
class Answer:
    """What came back, and what it says."""

    response: Any

    @property
    def status(self) -> int:
        return int(self.response.status_code)

    @property
    def body(self) -> Any:
        return json.loads(self.response.content) if self.response.content else None

    def header(self, name: str) -> str:
        return str(self.response.headers.get(name, ""))

    @property
    def code(self) -> str:
        """The stable code of a problem."""
        assert self.header("Content-Type") == "application/problem+json"
        assert self.body["status"] == self.status
        return str(self.body["code"])

    @property
    def fields(self) -> list[tuple[str, str]]:
        """(field, code) of each error that a problem names."""
        return [(error["field"], error["code"]) for error in self.body["errors"]]


@dataclass
class Caller:
    """One token at work."""

    secret: str
    token: ApiToken
    headers: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Answer:
        sent = {
            "Authorization": f"Bearer {self.secret}",
            **self.headers,
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        return Answer(Client(raise_request_exception=False).generic(method, BASE + path, content, "application/json", headers=sent))

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Answer:
        return self.call("PUT", path, body, **headers)


MakeToken = Callable[..., Caller]


@pytest.fixture(autouse=True)
def _rules(db: Any, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    cache.clear()
    rules_in_force.forget()
    install_defaults()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # A wake-up would need a broker; the tests call what it would have woken.
    monkeypatch.setattr("billing_ai.work.wake._waker.wake", lambda task: None)
    yield
    clock.shift(timedelta())


@pytest.fixture
def people(db: Any) -> dict[str, User]:
    return {role: factories.user(role) for role in factories.ROLES}


@pytest.fixture
def north(db: Any) -> ApiClient:
    """A tenant that reaches the customers of one business entity."""
    return clients.make("north", business_entity_ids=["be_north"], actor=ACTOR)


@pytest.fixture
def south(db: Any) -> ApiClient:
    """Another tenant, with customers of its own."""
    return clients.make("south", business_entity_ids=["be_south"], actor=ACTOR)


@pytest.fixture
def token(north: ApiClient, people: dict[str, User]) -> MakeToken:
    """`token("customers:read")`, `token(client=south)`: a caller with these scopes; without any named, with all of them."""

    def make(*scopes: str, client: ApiClient | None = None, **more: Any) -> Caller:
        wanted = scopes or tuple(tokens.SCOPES)
        more.setdefault("may_act_as", [people["specialist"], people["lead"], people["auditor"]] if "act" in wanted else [])
        lives = more.pop("lives", timedelta(days=30))
        made, secret = tokens.make(client or north, label="t", scopes=wanted, lives=lives, actor=ACTOR, **more)
        return Caller(secret, made)

    return make


@pytest.fixture
def api(token: MakeToken) -> Caller:
    """North, with every scope."""
    return token()


@pytest.fixture
def one_connection(db: Any) -> Iterator[None]:
    """A request that ends must not end the test's own connection with it: Django's test client sees to that, a bare WSGI call does not."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def customer(customer_id: str, entity: str = "be_north", **columns: Any) -> Customer:
    """A customer of one business entity."""
    row: Customer = Customer.objects.update_or_create(
        pk=customer_id, defaults={"business_entity_id": entity, "country": "GB", "fetched_at": clock.now(), **columns}
    )[0]
    return row


def case_of(customer_id: str, entity: str = "be_north", **columns: Any) -> Case:
    """A case of such a customer, with a message that waits for a person."""
    made = factories.case(customer_id=customer_id, **columns)
    customer(customer_id, entity)
    return made


def waiting_proposal(case: Case) -> Proposal:
    """The message that waits. Its facts are those that hold now."""
    return case.proposals.get()
