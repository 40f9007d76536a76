"""Whoever sees personal data in the console is written down, with what and why; what is not written down shows none."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from approvals import case_transitions, transitions
from approvals.contract import Words
from approvals.models import Case
from audit import reads
from audit.models import Entry, PersonalDataRead
from billing_ai.api import clients, tokens
from tests import factories
from tests.db.api.conftest import ACTOR, Caller

NAME, NOTED = "Quatermain", "Quillfeather"
WORDS = Words(
    "email", "de", "warm", "Rechnung {{ invoice.number }}", "Guten Tag {{ customer.first_name }} {{ customer.company }},\n\n{{ links.pay }}"
)


@pytest.fixture
def case(chargebee: Any) -> Case:
    made = factories.case(
        chargebee, first_name=NAME, last_name=NAME, company=f"{NAME} & Co", email=f"z@{NAME.lower()}.example", words=WORDS
    )
    case_transitions.add_note(made.pk, factories.user("lead", "author"), f"{NOTED} is friendly")
    return made


def body(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(content.decode(errors="replace"))


Visit = Callable[[Client, Case], Any]
SHOWING: dict[str, tuple[Visit, str, str]] = {
    "a search by name": (
        lambda c, case: c.post("/console/queue/find/", {"who": NAME}),
        "name in a search",
        "looked for a customer by name or e-mail",
    ),
    "the page of a case": (lambda c, case: c.get(f"/console/case/{case.pk}/"), "name, address and tickets", "review of case {case}"),
    "the preview while editing": (
        lambda c, case: c.post(f"/console/proposal/{case.proposals.get().pk}/check/", {"subject": WORDS.subject, "body": WORDS.body}),
        "name and address",
        "review of case {case}",
    ),
    "in English": (
        lambda c, case: c.post(f"/console/proposal/{case.proposals.get().pk}/english/", headers={"accept": "application/json"}),
        "name and address",
        "review of case {case}",
    ),
    "the page of a customer": (
        lambda c, case: c.get(f"/console/customers/{case.chargebee_customer_id}/"),
        "name, address and tickets",
        "page of the customer",
    ),
}
"""Each page on which a name is seen: what is noted as seen, and why."""


@pytest.mark.parametrize("page", sorted(SHOWING))
def test_each_page_that_shows_a_name_says_who_saw_what_and_why(page: str, case: Case, as_user: Any) -> None:
    visit, what, why = SHOWING[page]
    user = factories.user("specialist")
    answer = visit(as_user(user), case)
    assert answer.status_code == 200, body(answer)
    assert NAME in body(answer)
    [read] = PersonalDataRead.objects.all()
    assert (read.user_id, read.user_label, read.chargebee_customer_id, read.what) == (
        str(user.pk), "specialist", case.chargebee_customer_id, what,
    )  # fmt: skip
    assert reads.reason(read) == why.format(case=case.pk)
    # and the ledger has it too, without a name
    [entry] = Entry.objects.filter(kind="personal_data.read")
    assert (entry.actor_label, entry.data, entry.chargebee_customer_id) == ("specialist", {"what": what}, case.chargebee_customer_id)


def test_notes_that_are_shown_without_a_live_name_are_a_read_too(case: Case, chargebee: Any, as_user: Any) -> None:
    chargebee.away = True
    page = body(as_user(factories.user("specialist")).get(f"/console/case/{case.pk}/"))
    assert NOTED in page
    assert NAME not in page
    [read] = PersonalDataRead.objects.all()
    assert (read.user_label, read.what, reads.reason(read)) == ("specialist", "notes", f"review of case {case.pk}")


def test_who_exports_an_evidence_pack_is_written_down_as_a_reader_of_it(case: Case, as_user: Any) -> None:
    answer = as_user(factories.user("auditor")).post(reverse("admin:audit_entry_evidence", args=[case.pk]))
    assert answer.status_code == 200
    assert body(answer).startswith("PK")
    [read] = PersonalDataRead.objects.all()
    assert (read.user_label, read.chargebee_customer_id, read.what) == (
        "auditor", case.chargebee_customer_id, "words and notes in an evidence pack",
    )  # fmt: skip
    assert reads.reason(read) == f"evidence pack of case {case.pk}"


SILENT: tuple[str, ...] = (
    "/console/", "/console/queue/", "/console/brand/", "/console/prompts/", "/console/parked/", "/console/contact/{customer}/",
    "/console/approvals/case/", "/console/approvals/case/export/", "/console/approvals/proposal/", "/console/approvals/proposal/export/",
    "/console/audit/entry/", "/console/approvals/contact/",
)  # fmt: skip


def test_pages_and_files_that_note_nothing_show_nothing(case: Case, as_user: Any) -> None:
    client = as_user(factories.user("lead"))
    seen = []
    transitions.reject(case.proposals.get().pk, factories.user("specialist", "second"), reason_code="other", note=f"not to {NOTED}")
    proposal = reverse("admin:approvals_proposal_change", args=[case.proposals.get().pk])
    for path in (*SILENT, proposal):
        answer = client.get(path.format(customer=case.chargebee_customer_id))
        assert answer.status_code == 200, path
        text = body(answer)
        seen += [path for word in (NAME, NOTED) if word in text]
    assert seen == []
    assert not PersonalDataRead.objects.exists()


def test_the_api_has_no_names_to_show(case: Case, db: Any) -> None:
    client = clients.make("north", actor=ACTOR, covers_everyone=True)
    _, secret = tokens.make(client, label="t", scopes=[one for one in tokens.SCOPES if one != "act"], lives=timedelta(days=1), actor=ACTOR)
    api = Caller(secret, _)
    for path in (
        "/customers",
        f"/customers/{case.chargebee_customer_id}",
        "/cases",
        f"/cases/{case.pk}",
        "/proposals",
        f"/proposals/{case.proposals.get().pk}",
        "/changes",
    ):
        answer = api.get(path)
        assert answer.status == 200, (path, answer.body)
        assert NAME not in str(answer.body)
        assert NOTED not in str(answer.body)
    # its words are the text with slots in place of names
    assert "{{ customer.first_name }}" in api.get(f"/proposals/{case.proposals.get().pk}").body["words"]["body"]
