"""Each operation with its scope and without it; nothing of another tenant through any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from approvals.models import Case, Consent, Decision, Promise, Proposal
from audit.models import Entry
from billing_ai.api import changes, tokens, webhooks
from billing_ai.api.models import ApiClient, WebhookDelivery, WebhookEndpoint
from billing_ai.api.urls import urlpatterns
from billing_ai.kernel import clock
from billing_ai.signals.models import CrmLink, ExternalTicket, ReplyNote, UsageEvent
from tests.db.api.conftest import ACTOR, Caller, MakeToken, case_of, waiting_proposal

HOOK = "https://crm.example.com/hook"


@dataclass
class World:
    """What one tenant has."""

    case: Case
    proposal: Proposal
    endpoint: WebhookEndpoint
    link: CrmLink

    @property
    def delivery_id(self) -> Any:
        return WebhookDelivery.objects.filter(endpoint=self.endpoint).values_list("pk", flat=True).first() or uuid4()

    @property
    def customer_id(self) -> str:
        return self.case.chargebee_customer_id


def made(client: ApiClient, customer_id: str, entity: str) -> World:
    case = case_of(customer_id, entity)
    endpoint, _ = webhooks.make_endpoint(client, HOOK, [changes.OPENED, changes.CASE, changes.PROPOSAL], ACTOR)
    link = CrmLink.objects.create(client=client.name, system="salesforce", crm_id=f"001{customer_id}", chargebee_customer_id=customer_id)
    changes.record(changes.CASE, customer_id, ("case", str(case.pk)), changes.case_payload(case))
    changes.number_all()
    return World(case, waiting_proposal(case), endpoint, link)


@pytest.fixture
def mine(north: ApiClient) -> World:
    return made(north, "cus_north", "be_north")


@pytest.fixture
def theirs(south: ApiClient, mine: World) -> World:
    return made(south, "cus_south", "be_south")


def _event(world: World) -> dict[str, Any]:
    return {"id": "e1", "customer": {"id": world.customer_id}, "name": "login", "occurred_at": clock.now().isoformat()}


def _text(world: World, **more: Any) -> dict[str, Any]:
    return {"id": "n1", "customer": {"id": world.customer_id}, "text": "Hello", "written_at": clock.now().isoformat(), **more}


def _ticket(world: World) -> dict[str, Any]:
    at = clock.now().isoformat()
    return {"id": "t1", "customer": {"id": world.customer_id}, "status": "open", "opened_at": at, "changed_at": at}


def _seen(world: World) -> dict[str, str]:
    from billing_ai.facts.queries import facts_hash

    assert world.proposal.current is not None
    facts = facts_hash(world.proposal.chargebee_invoice_id, world.proposal.chargebee_customer_id)
    return {"content_hash": world.proposal.current.content_hash, "facts_hash": facts}


def _soon() -> str:
    return (clock.now() + timedelta(days=3)).isoformat()


ACTS = {"Acting-User": "specialist", "Idempotency-Key": "k-1"}
Ask = Callable[[Caller, World], Any]
# name of the address: (scope, method, call, status when it goes well)
OPERATIONS: dict[tuple[str, str], tuple[str, Ask, int]] = {
    ("GET", "api-me"): ("", lambda api, w: api.get("/me"), 200),
    ("GET", "api-customers"): ("customers:read", lambda api, w: api.get("/customers"), 200),
    ("GET", "api-customer"): ("customers:read", lambda api, w: api.get(f"/customers/{w.customer_id}"), 200),
    ("GET", "api-customer-by-crm"): ("customers:read", lambda api, w: api.get(f"/crm/salesforce/{w.link.crm_id}/customer"), 200),
    ("GET", "api-crm-link"): ("customers:read", lambda api, w: api.get(f"/customers/{w.customer_id}/crm-links/salesforce"), 200),
    ("PUT", "api-crm-link"): (
        "crm:write", lambda api, w: api.put(f"/customers/{w.customer_id}/crm-links/hubspot", {"crm_id": "77", "owner": "o1"}), 200,
    ),
    ("POST", "api-crm-links"): (
        "crm:write", lambda api, w: api.post("/crm-links", {"links": [{"customer_id": w.customer_id, "system": "hubspot", "crm_id": "78"}]}), 200,
    ),
    ("POST", "api-consent"): (
        "consent:write", lambda api, w: api.post(f"/customers/{w.customer_id}/consent", {"channel": "email", "granted": False}), 200,
    ),
    ("GET", "api-cases"): ("cases:read", lambda api, w: api.get("/cases"), 200),
    ("GET", "api-case"): ("cases:read", lambda api, w: api.get(f"/cases/{w.case.pk}"), 200),
    ("GET", "api-proposals"): ("cases:read", lambda api, w: api.get("/proposals"), 200),
    ("GET", "api-proposal"): ("cases:read", lambda api, w: api.get(f"/proposals/{w.proposal.pk}"), 200),
    ("POST", "api-snooze"): ("act", lambda api, w: api.post(f"/cases/{w.case.pk}/snooze", {"until": _soon()}, **ACTS), 200),
    ("POST", "api-promises"): (
        "act",
        lambda api, w: api.post(f"/cases/{w.case.pk}/promises", {"amount_minor": 4900, "currency": "EUR", "due_on": _soon()[:10]}, **ACTS),
        200,
    ),
    ("POST", "api-approve"): ("act", lambda api, w: api.post(f"/proposals/{w.proposal.pk}/approve", _seen(w), **ACTS), 200),
    ("POST", "api-reject"): ("act", lambda api, w: api.post(f"/proposals/{w.proposal.pk}/reject", {"reason_code": "wrong_tone"}, **ACTS), 200),
    ("GET", "api-changes"): ("changes:read", lambda api, w: api.get("/changes"), 200),
    ("POST", "api-usage-events"): ("usage:write", lambda api, w: api.post("/usage-events", {"events": [_event(w)]}), 200),
    ("POST", "api-tickets"): ("tickets:write", lambda api, w: api.post("/tickets", {"tickets": [_ticket(w)]}), 200),
    ("POST", "api-notes"): ("notes:write", lambda api, w: api.post("/notes", {"notes": [_text(w)]}), 200),
    ("POST", "api-replies"): ("notes:write", lambda api, w: api.post("/replies", {"replies": [_text(w, channel="email")]}), 200),
    ("GET", "api-endpoints"): ("webhooks:manage", lambda api, w: api.get("/webhook-endpoints"), 200),
    ("POST", "api-endpoints"): (
        "webhooks:manage", lambda api, w: api.post("/webhook-endpoints", {"url": HOOK + "2", "kinds": ["case.opened"]}), 201,
    ),
    ("GET", "api-endpoint"): ("webhooks:manage", lambda api, w: api.get(f"/webhook-endpoints/{w.endpoint.pk}"), 200),
    ("DELETE", "api-endpoint"): ("webhooks:manage", lambda api, w: api.call("DELETE", f"/webhook-endpoints/{w.endpoint.pk}"), 204),
    ("POST", "api-rotate-secret"): ("webhooks:manage", lambda api, w: api.post(f"/webhook-endpoints/{w.endpoint.pk}/rotate-secret"), 201),
    ("POST", "api-ping"): ("webhooks:manage", lambda api, w: api.post(f"/webhook-endpoints/{w.endpoint.pk}/ping"), 202),
    ("GET", "api-deliveries"): ("webhooks:manage", lambda api, w: api.get(f"/webhook-endpoints/{w.endpoint.pk}/deliveries"), 200),
    ("POST", "api-replay"): (
        "webhooks:manage",
        lambda api, w: api.post(f"/webhook-endpoints/{w.endpoint.pk}/replay", {"since": (clock.now() - timedelta(days=1)).isoformat()}),
        202,
    ),
    ("POST", "api-replay-one"): (
        "webhooks:manage", lambda api, w: api.post(f"/webhook-endpoints/{w.endpoint.pk}/deliveries/{w.delivery_id}/replay"), 202,
    ),
}  # fmt: skip
NAMES = [f"{method} {name}" for method, name in OPERATIONS]


def everything() -> dict[str, Any]:
    """All that a call could have changed, as it stands."""
    return {
        "cases": list(Case.objects.order_by("pk").values_list("status", "snoozed_until")),
        "proposals": list(Proposal.objects.order_by("pk").values_list("status", flat=True)),
        "endpoints": list(WebhookEndpoint.objects.order_by("pk").values_list("is_active", "sealed_secret")),
        "deliveries": list(WebhookDelivery.objects.order_by("pk").values_list("pk", "status", "replays")),
        "rows": {
            room.__name__: room._default_manager.count() for room in (Decision, Promise, Consent, CrmLink, UsageEvent, ExternalTicket, ReplyNote)
        },
        "ledger": Entry.objects.count(),
    }  # fmt: skip


def test_every_operation_is_in_this_list() -> None:
    offered = set()
    for pattern in urlpatterns:
        view = getattr(pattern.callback, "cls", None)
        if view is not None:
            offered |= {(method.upper(), pattern.name) for method in ("get", "post", "put", "patch", "delete") if hasattr(view, method)}
    assert offered == set(OPERATIONS)


@pytest.mark.parametrize("name", NAMES)
def test_with_its_scope_alone_it_is_done(name: str, mine: World, token: MakeToken) -> None:
    method, address = name.split()
    scope, ask, status = OPERATIONS[method, address]
    answer = ask(token(scope or "usage:write"), mine)
    assert answer.status == status, answer.body


@pytest.mark.parametrize("name", [name for name in NAMES if name != "GET api-me"])
def test_with_every_other_scope_it_is_refused_and_nothing_happens(name: str, mine: World, token: MakeToken) -> None:
    method, address = name.split()
    scope, ask, _ = OPERATIONS[method, address]
    caller = token(*(other for other in tokens.SCOPES if other != scope))
    before = everything()
    answer = ask(caller, mine)
    assert (answer.status, answer.code) == (403, "scope_missing")
    assert scope in answer.body["detail"]
    assert everything() == before


OF_ONE = [
    name
    for name in NAMES
    if name.split()[1]
    in ("api-customer", "api-customer-by-crm", "api-crm-link", "api-consent", "api-case", "api-proposal", "api-snooze", "api-promises", "api-approve",
        "api-reject", "api-endpoint", "api-rotate-secret", "api-ping", "api-deliveries", "api-replay", "api-replay-one")
]  # fmt: skip


@pytest.mark.parametrize("name", OF_ONE)
def test_what_is_another_tenants_does_not_exist(name: str, theirs: World, api: Caller) -> None:
    method, address = name.split()
    before = everything()
    answer = OPERATIONS[method, address][1](api, theirs)
    assert (answer.status, answer.code) == (404, "not_found")
    # What may be told in the ledger is that it was refused; nothing else has changed.
    after = everything()
    assert {**after, "ledger": 0} == {**before, "ledger": 0}


@pytest.mark.parametrize("name", OF_ONE)
def test_the_same_answer_for_what_never_existed(name: str, theirs: World, api: Caller) -> None:
    method, address = name.split()
    real = OPERATIONS[method, address][1](api, theirs)
    ghost = World(Case(chargebee_customer_id="cus_ghost"), theirs.proposal, WebhookEndpoint(pk=uuid4()), CrmLink(crm_id="nobody"))
    ghost.case.pk, ghost.proposal.pk = uuid4(), uuid4()
    made_up = OPERATIONS[method, address][1](api, ghost)
    different = {"instance", "trace_id"}
    assert made_up.status == 404
    assert {name: made_up.body[name] for name in made_up.body if name not in different} == {
        name: real.body[name] for name in real.body if name not in different
    }


def test_lists_hold_the_own_tenants_rows_only(mine: World, theirs: World, token: MakeToken, north: ApiClient, south: ApiClient) -> None:
    for client, own in ((north, mine), (south, theirs)):
        caller = token(client=client)
        assert [one["id"] for one in caller.get("/customers").body["items"]] == [own.customer_id]
        assert [one["id"] for one in caller.get("/cases").body["items"]] == [str(own.case.pk)]
        assert [one["id"] for one in caller.get("/proposals").body["items"]] == [str(own.proposal.pk)]
        assert [one["id"] for one in caller.get("/webhook-endpoints").body["items"]] == [str(own.endpoint.pk)]
        assert {one["data"]["customer_id"] for one in caller.get("/changes").body["items"]} == {own.customer_id}


@pytest.mark.parametrize("path", ["/cases?customer_id=cus_south", "/proposals?case_id={case}"])
def test_a_filter_does_not_widen_the_reach(path: str, mine: World, theirs: World, api: Caller) -> None:
    assert api.get(path.format(case=theirs.case.pk)).body["items"] == []


def test_a_cursor_of_another_tenant_does_not_widen_the_reach(
    mine: World, theirs: World, token: MakeToken, south: ApiClient, api: Caller
) -> None:
    made(south, "cus_south2", "be_south")
    for path in ("/customers", "/cases", "/proposals"):
        cursor = token(client=south).get(f"{path}?limit=1").body["next_cursor"]
        assert cursor
        held = [one.get("customer_id", one["id"]) for one in api.get(f"{path}?cursor={cursor}").body["items"]]
        assert [customer for customer in held if customer != "cus_north"] == []


def test_a_customer_of_another_tenant_cannot_be_reached_by_a_crm_id_of_ones_own(mine: World, theirs: World, api: Caller) -> None:
    # given a link that says that a customer of South is a record of North's
    answer = api.post("/crm-links", {"links": [{"customer_id": "cus_south", "system": "salesforce", "crm_id": "stolen"}]})
    # then it is refused as if there were no such customer
    assert (answer.status, answer.body["items"][0]["errors"][0]["code"]) == (207, "unknown_customer")
    assert not CrmLink.objects.filter(crm_id="stolen").exists()
    # and even a link that stands in the table opens nothing out of reach
    CrmLink.objects.create(client="north", system="other", crm_id="old", chargebee_customer_id="cus_south")
    assert api.get("/crm/other/old/customer").status == 404
    said = api.post("/usage-events", {"events": [{**_event(mine), "customer": {"system": "other", "id": "old"}}]})
    assert said.body["items"][0]["status"] == "waiting"
    assert list(UsageEvent.objects.values_list("chargebee_customer_id", flat=True)) == [""]


def test_a_note_cannot_be_hung_on_another_tenants_case(mine: World, theirs: World, api: Caller) -> None:
    answer = api.post("/notes", {"notes": [_text(mine, case_id=str(theirs.case.pk))]})
    assert answer.body["items"][0]["errors"] == [
        {"field": "notes.0.case_id", "code": "unknown_case", "message": "There is no such case that this token reaches."}
    ]
    assert not ReplyNote.objects.exists()


def test_the_same_key_and_the_same_event_ids_are_each_tenants_own(mine: World, theirs: World, token: MakeToken, south: ApiClient) -> None:
    first = token().post("/usage-events", {"events": [_event(mine)]}, Idempotency_Key="same")
    second = token(client=south).post("/usage-events", {"events": [_event(theirs)]}, Idempotency_Key="same")
    assert (first.body["stored"], second.body["stored"]) == (1, 1)
    assert second.header("Idempotent-Replayed") == ""
    assert sorted(UsageEvent.objects.values_list("client", "external_id", "chargebee_customer_id")) == [
        ("north", "e1", "cus_north"),
        ("south", "e1", "cus_south"),
    ]


def test_a_client_of_everyone_reaches_everyone(mine: World, theirs: World, token: MakeToken) -> None:
    from billing_ai.api import clients

    whole = clients.make("whole", covers_everyone=True, actor=ACTOR)
    caller = token(client=whole)
    assert [one["id"] for one in caller.get("/customers").body["items"]] == ["cus_north", "cus_south"]
    assert len(caller.get("/cases").body["items"]) == 2


def test_a_client_that_reaches_nobody_sees_nothing(mine: World, token: MakeToken) -> None:
    nobody = ApiClient.objects.create(name="nobody")
    caller = token(client=nobody)
    assert caller.get("/customers").body["items"] == []
    assert caller.get("/cases").body["items"] == []
    assert caller.get("/changes").body["items"] == []
    assert caller.get(f"/customers/{mine.customer_id}").status == 404


@pytest.mark.parametrize("path", ["/nothing", "/customers/", "/proposals/not-a-uuid", "/../admin", "/"])
def test_an_address_that_does_not_exist_is_a_problem_too(path: str, api: Caller) -> None:
    answer = api.get(path)
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_a_method_that_is_not_offered(method: str, mine: World, api: Caller) -> None:
    answer = api.call(method, "/customers")
    assert (answer.status, answer.code) == (405, "no_such_method")
    assert answer.header("Allow")
