"""Customers, cases, proposals and the change feed, as they are answered."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.churn.announcing import BandChange, bands_changed
from agents.churn.models import ChurnScore
from approvals import transitions
from approvals.models import Outcome
from audit.seal import erase_customer
from billing_ai.api import changes
from billing_ai.api.models import Change
from billing_ai.facts.models import Customer, Invoice
from billing_ai.facts.queries import facts_hash
from billing_ai.kernel import clock
from billing_ai.signals.models import CrmLink
from tests import factories
from tests.db.api.conftest import ACTOR, Caller, MakeToken, case_of, customer, waiting_proposal


def score(customer_id: str, **columns: Any) -> ChurnScore:
    """A score with little known of the customer."""
    values = {"p30": 0.08, "p60": 0.15, "p90": 0.22, "health": 61.5, "health_billing": 48.0, "health_support": 70.0, "health_product": None,
              "band": "high", "segment": "growth", "model_version": "scorecard-1", "scored_at": clock.now()}  # fmt: skip
    row: ChurnScore = ChurnScore.objects.create(chargebee_customer_id=customer_id, **(values | columns))
    return row


# -- customers -------------------------------------------------------------------------------------------------------------------


def test_a_customer_with_everything(api: Caller) -> None:
    # given a scored customer who is in the CRM and has two open cases, the larger one without a next step
    small = case_of("cus_1", stake=10, next_action="Write a friendly mail")
    large = factories.case(customer_id="cus_1", stake=900, next_action="", words=None, due_minor=90_000)
    customer("cus_1", tier="growth", country="DE")
    score("cus_1", trend="rising", p90_before=0.12)
    CrmLink.objects.create(client="north", system="salesforce", crm_id="001A", chargebee_customer_id="cus_1", owner="005B", tier="gold")
    CrmLink.objects.create(client="south", system="salesforce", crm_id="009Z", chargebee_customer_id="cus_1", owner="theirs")
    # when it is asked for by either id
    answer = api.get("/customers/cus_1")
    # then
    assert answer.status == 200
    said = answer.body
    assert (said["id"], said["country"], said["tier"], said["business_entity_id"]) == ("cus_1", "DE", "growth", "be_north")
    assert [(link["crm_id"], link["owner"], link["tier"]) for link in said["crm"]] == [("001A", "005B", "gold")]
    assert [one["id"] for one in said["open_cases"]] == [str(large.pk), str(small.pk)]
    assert said["next_action"] == "Write a friendly mail"
    figures = ("churn_30_days", "churn_60_days", "churn_90_days", "churn_90_days_a_month_ago", "health", "health_product", "band", "trend")
    assert [said["score"][name] for name in figures] == [0.08, 0.15, 0.22, 0.12, 61.5, None, "high", "rising"]
    assert "scorecard" in said["score"]["origin"]
    assert "failed_payments_90d" in said["score"]["unknown"] or said["score"]["unknown"]
    assert api.get("/crm/salesforce/001A/customer").body == said
    assert api.get("/crm/chargebee/cus_1/customer").body == said
    assert api.get("/crm/salesforce/009Z/customer").status == 404


def test_who_was_never_scored_has_no_score(api: Caller) -> None:
    customer("cus_1")
    said = api.get("/customers/cus_1").body
    assert (said["score"], said["open_cases"], said["next_action"], said["crm"]) == (None, [], None, [])


def test_no_name_and_no_address_is_answered(api: Caller, token: MakeToken) -> None:
    chargebee = factories.FakeChargebee()
    case = case_of("cus_1", chargebee=chargebee, first_name="Ada", last_name="Lovelace", email="ada@example.com")
    for path in ("/customers/cus_1", f"/cases/{case.pk}", f"/proposals/{waiting_proposal(case).pk}", "/changes"):
        text = api.get(path).response.content.decode()
        assert not [word for word in ("Ada", "Lovelace", "ada@example.com", "+447700900123") if word in text], path


def test_a_deleted_customer_is_not_there(api: Caller) -> None:
    customer("cus_1", is_deleted=True)
    assert api.get("/customers/cus_1").status == 404
    assert api.get("/customers").body["items"] == []


@pytest.mark.parametrize("path", ["/customers/" + "x" * 500, "/customers/%00", "/customers/%F0%9F%98%80", "/crm/salesforce/%00/customer"])
def test_odd_ids_are_simply_not_there(path: str, api: Caller) -> None:
    assert api.get(path).code == "not_found"


# -- pages -----------------------------------------------------------------------------------------------------------------------


def all_of(api: Caller, path: str, limit: int) -> list[list[str]]:
    """The ids of each page."""
    pages, cursor = [], ""
    while True:
        said = api.get(f"{path}?limit={limit}" + (f"&cursor={cursor}" if cursor else "")).body
        pages.append([one["id"] for one in said["items"]])
        if said["next_cursor"] is None:
            return pages
        cursor = said["next_cursor"]


def test_pages_hold_each_row_once(api: Caller) -> None:
    cases = [case_of(f"cus_{number}") for number in range(5)]
    assert all_of(api, "/customers", 2) == [["cus_0", "cus_1"], ["cus_2", "cus_3"], ["cus_4"]]
    assert list(chain(*all_of(api, "/cases", 2))) == [str(case.pk) for case in cases]
    assert list(chain(*all_of(api, "/proposals", 3))) == [str(waiting_proposal(case).pk) for case in cases]


def test_a_row_that_comes_while_pages_are_read_shifts_nothing(api: Caller) -> None:
    first = [case_of(f"cus_{number}") for number in range(3)]
    said = api.get("/cases?limit=2").body
    case_of("cus_a")
    rest = api.get(f"/cases?limit=2&cursor={said['next_cursor']}").body
    assert [one["id"] for one in said["items"]] == [str(case.pk) for case in first[:2]]
    assert [one["customer_id"] for one in rest["items"]] == ["cus_2", "cus_a"]


@pytest.mark.parametrize("path", ["/customers", "/cases", "/proposals"])
def test_a_page_takes_the_same_number_of_queries_however_long_it_is(path: str, api: Caller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as caught:
            assert api.get(path).status == 200
        return len(caught)

    case_of("cus_0")
    score("cus_0")
    api.get(path)
    few = queries()
    for number in range(1, 6):
        case_of(f"cus_{number}")
        score(f"cus_{number}")
    assert queries() == few


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"), ("limit=201", "limit"), ("limit=x", "limit"), ("limit=-1", "limit"), ("limit=", "limit"), ("limit=%D9%A1", "limit"),
        ("cursor=", "cursor"), ("cursor=%D9%A1", "cursor"),
        ("status=nonsense", "status"), ("status=", "status"), ("nonsense=1", "nonsense"), ("limit=1&limit=2", "limit"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(query: str, field: str, api: Caller) -> None:
    answer = api.get(f"/cases?{query}")
    assert (answer.status, answer.code) == (400, "bad_parameter")
    assert [name for name, _ in answer.fields] == [field]


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJ4Il0", "WyJ4IiwieSJd", "WyIyMDI2LTExLTI0IiwieCJd", "gICA"])
@pytest.mark.parametrize("path", ["/cases", "/proposals"])
def test_a_cursor_that_was_never_given(path: str, cursor: str, api: Caller) -> None:
    answer = api.get(f"{path}?cursor={cursor}")
    assert (answer.status, answer.code, answer.fields) == (404, "no_such_page", [("cursor", "unknown")])


def test_filters(api: Caller) -> None:
    first, second = case_of("cus_1"), case_of("cus_2", status="recovered")
    assert [one["id"] for one in api.get("/cases?status=recovered").body["items"]] == [str(second.pk)]
    assert [one["id"] for one in api.get("/cases?customer_id=cus_1").body["items"]] == [str(first.pk)]
    assert [one["case_id"] for one in api.get(f"/proposals?case_id={second.pk}").body["items"]] == [str(second.pk)]
    assert api.get("/proposals?status=done").body["items"] == []
    assert api.get("/proposals?case_id=nonsense").body["items"] == []
    assert api.get("/cases?customer_id=%00").body["items"] == []


# -- unchanged since -------------------------------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_sent_again(api: Caller) -> None:
    case_of("cus_1")
    first = api.get("/customers/cus_1")
    mark = first.header("ETag")
    again = api.get("/customers/cus_1", If_None_Match=mark)
    assert (again.status, again.response.content, again.header("ETag")) == (304, b"", mark)
    assert api.get("/customers/cus_1", If_None_Match=f'"other", W/{mark}').status == 304
    Customer.objects.filter(pk="cus_1").update(tier="enterprise")
    changed = api.get("/customers/cus_1", If_None_Match=mark)
    assert (changed.status, changed.body["tier"]) == (200, "enterprise")
    assert changed.header("ETag") != mark
    assert changed.header("Cache-Control") == "private, no-cache"


# -- cases and proposals ---------------------------------------------------------------------------------------------------------


def test_a_case_with_its_promises_and_outcomes(api: Caller) -> None:
    case = case_of("cus_1", due_minor=4900)
    Outcome.objects.create(
        case=case, kind="recovered", credited_to="retry", recovered_minor=4900, currency="EUR", happened_at=clock.now(),
        chargebee_transaction_id="txn_1",
    )  # fmt: skip
    said = api.get(f"/cases/{case.pk}").body
    assert (said["customer_id"], said["invoice_id"], said["amount_due_minor"], said["likelihood"]) == (
        "cus_1", case.chargebee_invoice_id, 4900, 0.54,
    )  # fmt: skip
    assert [(one["kind"], one["credited_to"], one["recovered_minor"]) for one in said["outcomes"]] == [("recovered", "retry", 4900)]
    assert [one["code"] for one in said["reasons"]] == ["late_payer", "tenure", "amount"]
    assert said["proposal_ids"] == [str(waiting_proposal(case).pk)]
    assert api.get("/cases").body["items"] == [said]


def test_a_proposal_carries_what_an_approval_needs(api: Caller) -> None:
    case = case_of("cus_1")
    said = api.get(f"/proposals/{waiting_proposal(case).pk}").body
    assert said["facts_hash"] == facts_hash(case.chargebee_invoice_id, "cus_1")
    assert said["content_hash"] == waiting_proposal(case).current.content_hash  # type: ignore[union-attr]
    Invoice.objects.filter(pk=case.chargebee_invoice_id).update(amount_due_minor=1)
    assert api.get(f"/proposals/{said['id']}").body["facts_hash"] == facts_hash(case.chargebee_invoice_id, "cus_1") != said["facts_hash"]


def test_the_facts_of_a_case_without_an_invoice_are_the_customers(api: Caller) -> None:
    case = case_of("cus_1")
    about = factories.proposal(case, action="crm_task", step="task:1", payload={"subject": "x"})
    type(about).objects.filter(pk=about.pk).update(chargebee_invoice_id="")
    said = {one["action"]: one["facts_hash"] for one in api.get("/proposals").body["items"]}
    assert said == {"send_message": facts_hash(case.chargebee_invoice_id, "cus_1"), "crm_task": facts_hash("", "cus_1")}


def test_words_need_a_scope_of_their_own(token: MakeToken) -> None:
    proposal = waiting_proposal(case_of("cus_1"))
    assert token("cases:read").get(f"/proposals/{proposal.pk}").body["words"] is None
    words = token("cases:read", "words:read").get(f"/proposals/{proposal.pk}").body["words"]
    assert (words["channel"], words["language"]) == ("email", "en")
    assert "{{ customer.first_name }}" in words["body"]
    erase_customer("cus_1", ACTOR, "customer_request")
    assert token("cases:read", "words:read").get(f"/proposals/{proposal.pk}").body["words"] is None


def test_a_decision_names_who_and_as_what(api: Caller, people: Any) -> None:
    case = case_of("cus_1")
    proposal = waiting_proposal(case)
    transitions.reject(proposal.pk, people["lead"], reason_code="wrong_tone", note="no")
    said = api.get(f"/proposals/{proposal.pk}").body
    assert said["status"] == "rejected"
    assert [(one["kind"], one["by"], one["role"], one["reason_code"]) for one in said["decisions"]] == [
        ("reject", "lead", "lead", "wrong_tone")
    ]


# -- changes ---------------------------------------------------------------------------------------------------------------------


def test_changes_since_a_cursor(api: Caller, people: Any) -> None:
    # given what was read until now
    case = case_of("cus_1")
    start = api.get("/changes").body
    assert start["has_more"] is False
    # when a proposal is rejected
    transitions.reject(waiting_proposal(case).pk, people["lead"], reason_code="wrong_tone")
    said = api.get(f"/changes?cursor={start['next_cursor']}").body
    # then the feed tells of it once, and then of nothing
    assert [(one["kind"], one["data"]["status"]) for one in said["items"]] == [("proposal.changed", "rejected")]
    assert said["items"][0]["data"]["proposal_id"] == str(waiting_proposal(case).pk)
    assert api.get(f"/changes?cursor={said['next_cursor']}").body == {"items": [], "next_cursor": said["next_cursor"], "has_more": False}


def test_the_feed_page_by_page(api: Caller) -> None:
    case = case_of("cus_1")
    for _ in range(5):
        changes.record(changes.CASE, "cus_1", ("case", str(case.pk)), changes.case_payload(case))
    whole = [one["id"] for one in api.get("/changes?limit=200").body["items"]]
    pages, cursor, more = [], "0", True
    while more:
        said = api.get(f"/changes?limit=2&cursor={cursor}").body
        pages += [one["id"] for one in said["items"]]
        cursor, more = said["next_cursor"], said["has_more"]
    assert pages == whole
    assert len(set(whole)) == len(whole) >= 5


def test_positions_are_given_in_order_and_once(api: Caller) -> None:
    for number in range(3):
        changes.record(changes.CASE, "cus_1", ("case", str(number)), {})
    first = changes.number()
    assert changes.number() == []
    later = changes.record(changes.CASE, "cus_1", ("case", "9"), {})
    changes.number_all()
    later.refresh_from_db()
    assert [row.position for row in first] == [1, 2, 3]
    assert later.position == 4


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 19, "%D9%A1"])
def test_a_bad_cursor_of_the_feed(cursor: str, api: Caller) -> None:
    assert api.get(f"/changes?cursor={cursor}").fields == [("cursor", "invalid")]


def test_a_band_that_changed_is_told_and_a_first_one_is_not(api: Caller) -> None:
    customer("cus_1")
    customer("cus_2")
    moment = clock.now()
    bands_changed.send(
        sender=ChurnScore,
        changes=[BandChange("cus_1", "medium", "high", moment, 0.22345, 61.5), BandChange("cus_2", "", "high", moment, 0.4, None)],
    )
    said = api.get("/changes").body["items"]
    assert [one["kind"] for one in said] == ["score.band_changed"]
    assert said[0]["data"] == {
        "customer_id": "cus_1", "band_before": "medium", "band": "high", "churn_90_days": 0.2235, "health": 61.5,
        "scored_at": moment.isoformat().replace("+00:00", "Z"),
    }  # fmt: skip


def test_a_case_that_opens_and_settles_is_told(api: Caller, people: Any) -> None:
    from approvals import case_transitions

    case = case_of("cus_1")
    case_transitions.close(case.pk, people["lead"], "not worth it")
    kinds = [(one["kind"], one["data"]["status"]) for one in api.get("/changes").body["items"] if one["kind"].startswith("case.")]
    assert kinds[-1] == ("case.settled", "closed")
    assert Change.objects.filter(kind="case.settled").count() == 1
