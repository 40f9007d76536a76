"""Each vendor behind a port, held to the port's shared cases, and what is its own."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from billing_ai.integrations import readers, registry
from billing_ai.integrations.hubspot.adapter import HubspotCrm
from billing_ai.integrations.ports import BatchReceipt, CustomerScore, LookUp, NewTask, NewTicket, OutgoingSms, SentReceipt
from billing_ai.integrations.salesforce.adapter import SalesforceCrm
from billing_ai.integrations.sms.adapter import TwilioSms
from billing_ai.integrations.zendesk.adapter import ZendeskHelpdesk
from billing_ai.integrations.zendesk.reads import ZendeskReader
from billing_ai.kernel.errors import Retryable, Terminal
from tests.contracts.conftest import Edge
from tests.contracts.port_cases import LookUpCases, SendCases

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
SMS = OutgoingSms("+4915112345678", "Your payment did not go through.")
TICKET = NewTicket("Case inv_1", "Three failures.", "Cus 1", "ada@example.com", "Ada", "high", ("dunning",))
TASK = NewTask("cus_1", "Call", "They said they would pay.", date(2026, 3, 9), is_urgent=True)


# -- SMS -------------------------------------------------------------------------------------------------------------------------


class TestTwilioSend(SendCases):
    reference = "SM1"

    def taken(self) -> httpx.Response:
        return httpx.Response(201, json={"sid": "SM1", "status": "queued"})

    def send(self) -> SentReceipt:
        return TwilioSms().send(SMS, key=self.key)


def a_message(**change: Any) -> dict[str, Any]:
    return {"sid": "SM1", "to": SMS.to_number, "body": SMS.body, "status": "delivered", "date_created": format_datetime(T0)} | change


class TestTwilioLookUp(LookUpCases):
    found_reference = "SM1"

    def look_up(self) -> LookUp:
        return TwilioSms().look_up("k", sms=SMS, sent_after=T0)

    def has_it(self) -> httpx.Response:
        return httpx.Response(200, json={"messages": [a_message(body="another"), a_message()]})

    def has_it_not(self) -> httpx.Response:
        others = [
            a_message(status="failed"),
            a_message(body="another"),
            a_message(to="+4915100000000"),
            a_message(date_created=format_datetime(datetime(2026, 2, 1, tzinfo=UTC))),
        ]
        return httpx.Response(200, json={"messages": others, "next_page_uri": None})


def test_the_form_that_twilio_takes(edge: Edge) -> None:
    edge.answers = [httpx.Response(201, json={"sid": "SM1"})]
    TwilioSms().send(SMS, key="k")
    assert edge.paths == ["POST /2010-04-01/Accounts/AC1/Messages.json"]
    assert parse_qs(edge.requests[0].content.decode()) == {"To": [SMS.to_number], "From": ["+15005550006"], "Body": [SMS.body]}


def test_a_look_up_goes_through_all_pages(edge: Edge) -> None:
    following = "/2010-04-01/Accounts/AC1/Messages.json?PageToken=x"
    edge.answers = [
        httpx.Response(200, json={"messages": [], "next_page_uri": following}),
        httpx.Response(200, json={"messages": [a_message()]}),
    ]
    TwilioSms().look_up("k", sms=SMS, sent_after=T0)
    assert str(edge.requests[1].url) == f"http://sms.test{following}"


@pytest.mark.parametrize(
    ("code", "ours"), [(21610, "sms.opted_out"), (21211, "sms.bad_number"), (21614, "sms.not_mobile"), (20003, "sms.bad_credentials")]
)
def test_twilios_refusals(code: int, ours: str, edge: Edge) -> None:
    edge.answers = [httpx.Response(400, json={"code": code, "message": "m", "status": 400})]
    with pytest.raises(Terminal) as caught:
        TwilioSms().send(SMS, key="k")
    assert caught.value.code == ours


@pytest.mark.parametrize(
    ("sms", "code"),
    [
        (OutgoingSms("0151 123", "x"), "sms.bad_number"),
        (OutgoingSms("+4915112345678\n", "x"), "sms.bad_number"),
        (OutgoingSms("+4915112345678", "x" * 1601), "sms.too_long"),
        (OutgoingSms("+4915112345678", " "), "sms.empty"),
    ],
)
def test_an_sms_that_cannot_be_sent_is_not(sms: OutgoingSms, code: str, edge: Edge) -> None:
    with pytest.raises(Terminal) as caught:
        TwilioSms().send(sms, key="k")
    assert caught.value.code == code
    assert edge.requests == []


# -- help desk -------------------------------------------------------------------------------------------------------------------


class TestZendeskTicket(SendCases):
    reference = "35436"

    def taken(self) -> httpx.Response:
        return httpx.Response(201, json={"ticket": {"id": 35436, "created_at": "2026-03-01T12:00:00Z"}})

    def send(self) -> SentReceipt:
        return ZendeskHelpdesk().create_ticket(TICKET, key=self.key)


class TestZendeskComment(SendCases):
    reference = "771"

    def taken(self) -> httpx.Response:
        return httpx.Response(200, json={"ticket": {"id": 35436}, "audit": {"id": 771}})

    def send(self) -> SentReceipt:
        return ZendeskHelpdesk().add_comment("35436", "Paid in the meantime.", key=self.key)

    @pytest.mark.parametrize("how", ["a web page", "cut off"])
    def test_an_unreadable_answer_leaves_it_open(self, how: str, edge: Edge) -> None:
        super().test_an_unreadable_answer_leaves_it_open(how, edge)


class TestZendeskLookUp(LookUpCases):
    found_reference = "35436"

    def look_up(self) -> LookUp:
        return ZendeskHelpdesk().look_up("k")

    def has_it(self) -> httpx.Response:
        return httpx.Response(200, json={"tickets": [{"id": 1, "external_id": "other"}, {"id": 35436, "external_id": "k"}]})

    def has_it_not(self) -> httpx.Response:
        return httpx.Response(200, json={"tickets": [{"id": 1, "external_id": "other"}]})


class TestZendeskCommentLookUp(LookUpCases):
    found_reference = "771"

    def look_up(self) -> LookUp:
        return ZendeskHelpdesk().look_up_comment("35436", "k")

    def has_it(self) -> httpx.Response:
        audits = [{"id": 770, "metadata": {"custom": {}}}, {"id": 771, "metadata": {"custom": {"billing_key": "k"}}}]
        return httpx.Response(200, json={"audits": audits, "meta": {"has_more": False}})

    def has_it_not(self) -> httpx.Response:
        return httpx.Response(200, json={"audits": [{"id": 770}], "meta": {"has_more": False}})


def test_the_ticket_that_zendesk_takes(edge: Edge) -> None:
    edge.answers = [httpx.Response(201, json={"ticket": {"id": 1}}, headers={"x-idempotency-lookup": "hit"})]
    receipt = ZendeskHelpdesk().create_ticket(TICKET, key="k")
    assert (receipt.replayed, receipt.url) == (True, "http://desk.test/agent/tickets/1")
    assert json.loads(edge.requests[0].content) == {
        "ticket": {
            "subject": "Case inv_1",
            "comment": {"body": "Three failures.", "public": False},
            "external_id": "k",
            "priority": "high",
            "tags": ["billing_customer_cus_1", "dunning"],
            "requester": {"name": "Ada", "email": "ada@example.com"},
        }
    }


@pytest.mark.parametrize("ticket_id", ["1/../2", "1?x=1", "", "１"])
def test_a_ticket_number_cannot_lead_elsewhere(ticket_id: str, edge: Edge) -> None:
    with pytest.raises(Terminal):
        ZendeskHelpdesk().add_comment(ticket_id, "x", key="k")
    assert edge.requests == []


def test_a_customers_tickets_newest_first(edge: Edge) -> None:
    row = {"subject": "s", "status": "open", "priority": "high", "tags": ["a"]}
    edge.answers = [
        httpx.Response(200, json={"results": [{"id": 1, "created_at": "2026-01-01T00:00:00Z", **row}, "odd"]}),
        httpx.Response(200, json={"results": [{"id": 2, "created_at": "2026-02-01T00:00:00Z", **row}, {"id": 1, **row}]}),
    ]
    found = readers.helpdesk().list_for_customer("Cus 1", requester_address="ada@example.com")
    assert [ticket.ticket_id for ticket in found] == ["2", "1"]
    queries = [request.url.params["query"] for request in edge.requests]
    assert queries == ["type:ticket tags:billing_customer_cus_1", "type:ticket requester:ada@example.com"]


@pytest.mark.parametrize("address", ["a@b.example status:open", '"x y"@b.example', "a*@b.example", "no address"])
def test_an_address_cannot_widen_the_search(address: str, edge: Edge) -> None:
    edge.answers = [httpx.Response(200, json={"results": []})]
    assert ZendeskReader().list_for_customer("cus_1", requester_address=address) == ()
    assert len(edge.requests) == 1


# -- CRM -------------------------------------------------------------------------------------------------------------------------


class TestSalesforceTask(SendCases):
    reference = "00T1"
    reads_before = 1

    def prelude(self) -> list[httpx.Response | Exception]:
        return [httpx.Response(200, json={"records": [{"Id": "0011"}]})]

    def taken(self) -> httpx.Response:
        return httpx.Response(201, json={"id": "00T1", "success": True, "created": True})

    def send(self) -> SentReceipt:
        return SalesforceCrm().create_task(TASK, key=self.key)


class TestSalesforceLookUp(LookUpCases):
    found_reference = "00T1"

    def look_up(self) -> LookUp:
        return SalesforceCrm().look_up("k")

    def has_it(self) -> httpx.Response:
        return httpx.Response(200, json={"records": [{"Id": "00T1", "CreatedDate": "2026-03-01T12:00:00.000+0000"}]})

    def has_it_not(self) -> httpx.Response:
        return httpx.Response(200, json={"records": []})


class TestHubspotTask(SendCases):
    reference = "501"
    reads_before = 1

    def prelude(self) -> list[httpx.Response | Exception]:
        return [httpx.Response(200, json={"id": "77"})]

    def taken(self) -> httpx.Response:
        return httpx.Response(201, json={"id": "501"})

    def send(self) -> SentReceipt:
        return HubspotCrm().create_task(TASK, key=self.key)


class TestHubspotLookUp(LookUpCases):
    found_reference = "501"

    def look_up(self) -> LookUp:
        return HubspotCrm().look_up("k")

    def has_it(self) -> httpx.Response:
        return httpx.Response(200, json={"id": "501", "createdAt": "2026-03-01T12:00:00.000Z"})

    def has_it_not(self) -> httpx.Response:
        return httpx.Response(404, json={"status": "error", "category": "OBJECT_NOT_FOUND"})


class ScoreCases(SendCases):
    """A batch of scores: what holds for a task holds for it, but that nothing is read before and the receipt names who was taken."""

    key = "7d1c9e:0"

    def test_it_is_taken(self, edge: Edge) -> None:
        edge.answers = [self.taken()]
        receipt = self.send()
        assert (receipt.accepted, receipt.refused) == (("cus_1",), {})
        assert receipt.accepted_at.tzinfo is not None
        assert edge.requests[-1].headers["idempotency-key"] == self.key
        assert edge.requests[-1].headers["authorization"] == "Bearer token"


class TestSalesforceScores(ScoreCases):
    def taken(self) -> httpx.Response:
        return httpx.Response(200, json=[{"id": "0011", "success": True, "errors": [], "created": False}])

    def send(self) -> BatchReceipt:
        return SalesforceCrm().upsert_scores([CustomerScore("cus_1", {"risk": 7})], key="7d1c9e")


class TestHubspotScores(ScoreCases):
    def taken(self) -> httpx.Response:
        return httpx.Response(200, json={"status": "COMPLETE", "results": [{"id": "77"}]})

    def send(self) -> BatchReceipt:
        return HubspotCrm().upsert_scores([CustomerScore("cus_1", {"risk": 7})], key="7d1c9e")


SCORES = [CustomerScore(f"cus_{n}", {"risk": n, "is_at_risk": True, "note": None}) for n in range(250)]


def test_scores_go_to_salesforce_in_batches_and_refusals_are_named(edge: Edge) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        records = json.loads(request.content)["records"]
        refused = {"success": False, "errors": [{"statusCode": "REQUIRED_FIELD_MISSING"}]}
        return httpx.Response(200, json=[refused if r["Chargebee_Customer_Id__c"] == "cus_7" else {"success": True} for r in records])

    edge.answer = answer
    receipt = SalesforceCrm().upsert_scores(SCORES, key="k")
    assert edge.paths == ["PATCH /services/data/v62.0/composite/sobjects/Account/Chargebee_Customer_Id__c"] * 2
    assert len(receipt.accepted) == 249
    assert receipt.refused == {"cus_7": "Salesforce has no such account, and one cannot be made from a score alone."}


def test_a_quote_in_an_id_cannot_change_the_query(edge: Edge) -> None:
    edge.answers = [httpx.Response(200, json={"records": []})]
    SalesforceCrm().look_up("k' OR Id != '")
    assert edge.requests[0].url.params["q"] == "SELECT Id, CreatedDate FROM Task WHERE Billing_Effect_Key__c = 'k\\' OR Id != \\'' LIMIT 1"


def test_no_account_no_task(edge: Edge) -> None:
    edge.answers = [httpx.Response(200, json={"records": []})]
    with pytest.raises(Terminal) as caught:
        SalesforceCrm().create_task(TASK, key="k")
    assert caught.value.code == "salesforce.no_account"
    assert [request.method for request in edge.requests] == ["GET"]


def test_salesforces_daily_limit_waits_an_hour(edge: Edge) -> None:
    edge.answers = [httpx.Response(403, json=[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "m"}])]
    with pytest.raises(Retryable) as caught:
        SalesforceCrm().upsert_scores(SCORES[:1], key="k")
    assert caught.value.after.total_seconds() == 3600


def test_scores_go_to_hubspot_in_batches_as_text(edge: Edge) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        errors = [{"category": "VALIDATION_ERROR", "context": {"ids": ["cus_7"]}}] if b'"cus_7"' in request.content else []
        return httpx.Response(207 if errors else 200, json={"status": "COMPLETE", "results": [], "errors": errors})

    edge.answer = answer
    receipt = HubspotCrm().upsert_scores(SCORES, key="k")
    assert edge.paths == ["POST /crm/v3/objects/companies/batch/upsert"] * 3
    assert json.loads(edge.requests[0].content)["inputs"][3] == {
        "idProperty": "chargebee_customer_id",
        "id": "cus_3",
        "properties": {"risk": "3", "is_at_risk": "true", "note": ""},
    }
    assert len(receipt.accepted) == 249
    assert receipt.refused == {"cus_7": "HubSpot refuses the record (VALIDATION_ERROR)."}


def test_a_hubspot_conflict_is_the_task_that_is_there_already(edge: Edge) -> None:
    edge.answers = [
        httpx.Response(200, json={"id": "77"}),
        httpx.Response(409, json={"category": "CONFLICT"}),
        httpx.Response(200, json={"id": "501", "createdAt": "2026-03-01T12:00:00Z"}),
    ]
    receipt = HubspotCrm().create_task(TASK, key="k")
    assert (receipt.reference, receipt.replayed) == ("501", True)


# -- which adapter ---------------------------------------------------------------------------------------------------------------


def test_every_adapter_of_the_list_can_be_made() -> None:
    for port, names in registry.ADAPTERS.items():
        for name in names:
            assert type(registry._make(port, name)).__name__ in registry.ADAPTERS[port][name]


def test_both_crms_are_served_when_both_are_set_up(settings: Any) -> None:
    assert set(registry.crms()) == {"salesforce", "hubspot"}
    settings.SALESFORCE_URL = ""
    assert registry.chosen("crm") == "hubspot"


@pytest.mark.parametrize("port", ["sms", "helpdesk", "crm"])
def test_a_port_that_is_not_set_up_says_so(port: str, settings: Any, edge: Edge) -> None:
    settings.SMS_API_URL = settings.ZENDESK_URL = settings.SALESFORCE_URL = settings.HUBSPOT_URL = ""
    with pytest.raises(Terminal) as caught:
        getattr(registry, port)()
    assert caught.value.code == f"{port}.not_set_up"
    assert readers.helpdesk().list_for_customer("cus_1") == ()
    assert edge.requests == []
