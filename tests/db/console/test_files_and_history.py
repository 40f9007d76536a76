"""Files in and out, and the history of a rule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError

from approvals import transitions
from approvals.models import Case, Policy, Promise, Suppression
from approvals.policy import rollout
from audit.models import Entry
from billing_ai.kernel import clock
from billing_ai.tables import exports
from billing_ai.tables.csv_files import BadFile, read_rows, safe_cell
from tests import factories


@pytest.mark.parametrize("text", ["=1+1", "+49 30", "-2+3", "@SUM(A1)", "\t=1", "  =cmd|' /C calc'!A0", "|calc"])
def test_nothing_in_a_file_is_calculated(text: str) -> None:
    assert safe_cell(text).startswith("'")


def test_numbers_stay_numbers() -> None:
    assert (safe_cell(-12), safe_cell(None), safe_cell("INV-1")) == ("-12", "", "INV-1")


def test_a_list_downloads_with_its_filter_and_without_formulas(chargebee: Any, as_user: Any) -> None:
    factories.case(chargebee, customer_id="=cmd|'/C calc'!A0", invoice_id="INV-A")
    factories.case(chargebee, status="closed", invoice_id="INV-B")
    answer = as_user(factories.user("auditor")).get("/console/approvals/case/export/?status=open")
    text = b"".join(answer.streaming_content).decode()
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert text.startswith("\ufeff")
    assert "INV-A" in text
    assert "INV-B" not in text
    assert "'=cmd" in text


def test_who_took_whose_rows_is_in_the_ledger_before_the_first_byte(chargebee: Any, as_user: Any) -> None:
    case = factories.case(chargebee, customer_id="cus_taken", invoice_id="INV-A")
    factories.case(chargebee, customer_id="cus_left", invoice_id="INV-B", status="closed")
    auditor = factories.user("auditor")

    answer = as_user(auditor).get("/console/approvals/case/export/?status=open&o=1")

    [entry] = Entry.objects.filter(kind="table.exported")  # nothing of the answer has been read yet
    assert (entry.actor_id, entry.subject_kind, entry.subject_id) == (str(auditor.pk), "table", "approvals.case")
    assert {name: entry.data[name] for name in ("rows", "filter", "customers", "part", "parts")} == {
        "rows": 1, "filter": {"status": "open"}, "customers": ["cus_taken"], "part": 1, "parts": 1,
    }  # fmt: skip
    assert "chargebee_invoice_id" in entry.data["columns"]
    # A case that came in between is not in the file: the ledger says what was taken.
    factories.case(chargebee, customer_id="cus_later", invoice_id="INV-C")
    taken = b"".join(answer.streaming_content).decode()
    assert [name in taken for name in ("cus_taken", "cus_left", "cus_later")] == [True, False, False]
    assert case.pk.hex in taken.replace("-", "")


def test_rows_of_what_belongs_to_a_case_are_its_customers(chargebee: Any, as_user: Any) -> None:
    case = factories.case(chargebee, customer_id="cus_1")
    Promise.objects.create(case=case, amount_minor=100, currency="EUR", due_on=clock.now().date(), amount_due_at_start_minor=4_900)
    as_user(factories.user("lead")).get("/console/approvals/promise/export/")
    assert Entry.objects.get(kind="table.exported").data["customers"] == ["cus_1"]


def test_what_is_typed_into_a_search_is_kept_only_when_it_is_a_customers_id(chargebee: Any, as_user: Any) -> None:
    factories.case(chargebee, customer_id="cus_1")
    client = as_user(factories.user("lead"))
    for term in ("Ada Lovelace", "cus_1"):
        client.get("/console/approvals/case/export/", {"q": term, "status": "ada@example.com"})
    assert [(entry.data["rows"], entry.data["filter"]) for entry in Entry.objects.filter(kind="table.exported").order_by("id")] == [
        (0, {"q": "withheld", "status": "withheld"}), (1, {"q": "cus_1", "status": "withheld"}),
    ]  # fmt: skip


def test_more_customers_than_an_entry_holds_are_several_entries_of_one_export(chargebee: Any, as_user: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(exports, "_CUSTOMERS_AN_ENTRY", 2)
    for number in range(5):
        factories.case(chargebee, customer_id=f"cus_{number}", invoice_id=f"INV-{number}")
    as_user(factories.user("lead")).get("/console/approvals/case/export/")
    entries = list(Entry.objects.filter(kind="table.exported").order_by("id"))
    assert [entry.data["customers"] for entry in entries] == [["cus_0", "cus_1"], ["cus_2", "cus_3"], ["cus_4"]]
    assert {(entry.data["export"], entry.data["parts"], entry.data["rows"]) for entry in entries} == {(entries[0].data["export"], 3, 5)}


def test_what_cannot_be_written_down_is_not_taken(chargebee: Any, as_user: Any, monkeypatch: Any) -> None:
    factories.case(chargebee)

    def refuse(entries: Any) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(exports.ledger, "append_many", refuse)
    with pytest.raises(OperationalError):
        as_user(factories.user("lead")).get("/console/approvals/case/export/")


def _upload(client: Any, content: bytes) -> Any:
    return client.post("/console/suppressions/import/", {"list": SimpleUploadedFile("list.csv", content)})


def test_a_list_is_taken_whole_or_not_at_all(as_user: Any) -> None:
    client = as_user(factories.user("lead"))
    bad = _upload(client, b"customer_id,channel,until\ncus_1,email,2027-01-01\nada@example.com,,\ncus_2,pigeon,\ncus_3,,soon\n")
    assert bad.status_code == 400
    page = bad.content.decode()
    assert [
        word in page for word in ("Line 3: this is an e-mail address", "Line 4: “pigeon” is no channel", "Line 5: “soon” is no date")
    ] == [True] * 3
    assert not Suppression.objects.exists()

    assert (
        _upload(
            client, "customer_id;channel;kind;until;reason\ncus_1;email;hardship;2027-01-01;Überschuldet\ncus_2;;;;\n".encode()
        ).status_code
        == 302
    )
    assert _upload(client, b"customer_id\ncus_2\ncus_4\n").status_code == 302

    assert sorted(Suppression.objects.values_list("chargebee_customer_id", "channel", "kind")) == [
        ("cus_1", "email", "hardship"), ("cus_2", "", "do_not_contact"), ("cus_4", "", "do_not_contact"),
    ]  # fmt: skip
    assert [entry.data["added"] for entry in Entry.objects.filter(kind="suppression.imported").order_by("pk")] == [2, 1]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b"", b"name,mail\nx,y\n"])
def test_a_file_that_is_no_such_list_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(BadFile):
        read_rows(content, ("customer_id",))


def test_a_case_without_an_invoice_can_be_opened_from_every_table(as_user: Any) -> None:
    case = Case.objects.create(
        kind="churn", agent="churn", chargebee_customer_id="cus_a", currency="EUR", amount_due_minor=0, trace_id="c" * 32
    )
    transitions.make_ready(factories.proposal(case, action="alert", status="approved"), delay=timedelta(1))
    client = as_user(factories.user("auditor"))
    for table in ("case", "proposal", "execution"):
        page = client.get(f"/console/approvals/{table}/").content.decode()
        assert f'href="/console/case/{case.pk}/">no invoice</a>' in page


def test_the_history_of_a_rule_shows_the_words_that_changed(as_user: Any) -> None:
    lead = factories.user("lead", first_name="Lena", last_name="Berg")
    rollout.change_policy("contact.frequency", lead, reason="Customers complained.", params={"messages": 2, "days": 7})
    row = Policy.objects.get(pk="contact.frequency")

    page = as_user(factories.user("auditor")).get(f"/console/approvals/policy/{row.pk}/history/").content.decode()

    assert "Lena Berg" in page
    assert "Customers complained." in page
    assert "<ins>" in page
    assert "<del>" in page
