"""Words of cases that were closed long ago are dropped, and only those; decisions, hashes and the chain stay."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import AgentRun
from approvals import case_transitions, retention, tasks, transitions
from approvals.models import Case, Contact, Decision, Execution, ExecutionAttempt, Note, Revision
from approvals.people import Refused
from approvals.revisions import read_words
from audit import export, recipe, seal
from audit.actor import person
from audit.models import Entry
from audit.verify import verify
from billing_ai.kernel import clock
from billing_ai.signals.models import ExternalTicket, ReplyNote
from tests import factories
from tests.db.approvals.conftest import seen

NAMED = "Quillfeather"
DAYS = 30


@pytest.fixture(autouse=True)
def kept_for_thirty_days(settings: Any, tmp_path: Path) -> None:
    settings.RETENTION_DAYS, settings.AUDIT_CHECKPOINTS = DAYS, [(tmp_path / "heads.jsonl").as_uri()]


def worked(chargebee: factories.FakeChargebee, people: dict[str, User]) -> Case:
    """An open case in which colleagues and other systems wrote, and a message went out."""
    case = factories.case(chargebee)
    customer_id = case.chargebee_customer_id
    message = case.proposals.get()
    transitions.approve(message.pk, people["specialist"], **seen(message), note=f"{NAMED} rang")
    held = Execution.objects.get(proposal=message)
    held.status, held.reason, held.finished_at = "done", f"{NAMED} has it", clock.now()
    held.sealed_request = seal.seal(customer_id, json.dumps({"text": NAMED}))
    held.save()
    ExecutionAttempt.objects.create(execution=held, number=1, outcome="done", sentence=f"Sent to {NAMED}")
    case_transitions.add_note(case.pk, people["lead"], f"{NAMED} was friendly", "note")
    case_transitions.set_tags(case.pk, people["lead"], [NAMED])
    case.refresh_from_db()
    return case


def closed(case: Case, people: dict[str, User], ago: timedelta) -> Case:
    case_transitions.close(case.pk, people["lead"], "given up")
    Case.objects.filter(pk=case.pk).update(closed_at=clock.now() - ago)
    case.refresh_from_db()
    return case


def words_of(case: Case) -> str:
    revision = case.proposals.get().current
    said = read_words(revision)
    return said.subject if said else ""


def is_kept(case: Case) -> bool:
    case.refresh_from_db()
    try:
        readable = words_of(case) == factories.ENGLISH.subject
    except seal.KeptNoLonger:
        readable = False
    assert readable == (case.words_dropped_at is None)
    return readable


def entries() -> list[Entry]:
    return list(Entry.objects.filter(kind="retention.words_dropped").order_by("pk"))


def test_every_word_of_an_old_case_goes_and_what_was_decided_stays(chargebee: factories.FakeChargebee, people: dict[str, User]) -> None:
    # given an old case with words in every place
    case = closed(worked(chargebee, people), people, timedelta(days=DAYS, seconds=1))
    customer_id = case.chargebee_customer_id
    hashes = list(Revision.objects.filter(proposal__case=case).values_list("content_hash", flat=True))
    assert NAMED in str(list(Decision.objects.values_list("note")) + list(Execution.objects.values_list("reason")))
    # when housekeeping looks
    assert retention.drop_old_words() == 1
    # then no word is left
    case.refresh_from_db()
    held = Execution.objects.get(proposal__case=case)
    assert [bytes(one) for one in Revision.objects.filter(proposal__case=case).values_list("sealed_words", flat=True)] == [b""]
    assert held.sealed_request is not None
    assert bytes(held.sealed_request) == b""
    assert {bytes(one) for one in Note.objects.filter(case=case).values_list("sealed_text", flat=True)} == {b""}
    assert (held.reason, held.attempts.get().sentence, case.tags) == ("kept no longer", "kept no longer", [])
    assert [one.note for one in Decision.objects.filter(proposal__case=case).order_by("at", "pk")][:1] == ["kept no longer"]
    told = [list(Case.history.filter(id=case.pk).values()), list(held.proposal.history.values()), list(Decision.objects.values())]
    assert NAMED not in str(told)
    # and who decided what, the hashes, and the customer's key are as they were
    assert list(Revision.objects.filter(proposal__case=case).values_list("content_hash", flat=True)) == hashes
    assert Decision.objects.get(proposal__case=case, kind="approve").by == people["specialist"]
    assert not seal.is_erased(customer_id)
    assert seal.unseal(customer_id, seal.seal(customer_id, "the next invoice")) == "the next invoice"
    # and the ledger says so once, and is whole
    [entry] = entries()
    assert (entry.actor_label, entry.data["days"], entry.data["case_ids"]) == ("retention", DAYS, [str(case.pk)])
    assert NAMED not in str(list(Entry.objects.values()))
    report = verify()
    assert report.is_whole, report.findings


def test_the_boundary_open_cases_and_unfinished_effects_are_left_alone(
    chargebee: factories.FakeChargebee, people: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)
    today, older = (closed(worked(chargebee, people), people, ago) for ago in (timedelta(days=DAYS), timedelta(days=DAYS, microseconds=1)))
    unsettled = closed(worked(chargebee, people), people, timedelta(days=400))
    Execution.objects.filter(proposal__case=unsettled).update(status=Execution.UNKNOWN)
    still_open = worked(chargebee, people)
    Case.objects.filter(pk=still_open.pk).update(opened_at=now - timedelta(days=900), closed_at=now - timedelta(days=800))
    assert retention.drop_old_words() == 1
    assert [is_kept(case) for case in (today, older, unsettled, still_open)] == [True, False, True, True]
    # and once the effect is settled, its turn comes
    Execution.objects.filter(proposal__case=unsettled).update(status=Execution.DONE)
    assert retention.drop_old_words() == 1
    assert [is_kept(case) for case in (today, unsettled, still_open)] == [True, False, True]


def test_batches_are_bounded_noted_once_each_and_a_second_run_does_nothing(
    chargebee: factories.FakeChargebee, people: dict[str, User]
) -> None:
    cases = [closed(factories.case(chargebee), people, timedelta(days=DAYS + 1 + number)) for number in range(7)]
    assert retention.drop_old_words(batch=1) == 5  # five batches a sweep
    assert [is_kept(case) for case in cases] == [True, True, False, False, False, False, False]  # the oldest first
    assert retention.drop_old_words(batch=5) == 2
    assert [len(entry.data["case_ids"]) for entry in entries()] == [1, 1, 1, 1, 1, 2]
    assert retention.drop_old_words(batch=5) == 0
    assert len(entries()) == 6
    assert verify().is_whole


@pytest.mark.parametrize("days", [0, 0.0])
def test_without_a_setting_everything_is_kept(
    chargebee: factories.FakeChargebee, people: dict[str, User], settings: Any, days: float
) -> None:
    settings.RETENTION_DAYS = days
    case = closed(worked(chargebee, people), people, timedelta(days=4_000))
    assert retention.drop_old_words() == 0
    assert is_kept(case)
    assert entries() == []


def test_the_sweep_does_it_the_page_and_the_pack_say_so_and_nothing_can_be_added(
    chargebee: factories.FakeChargebee, people: dict[str, User]
) -> None:
    case = closed(worked(chargebee, people), people, timedelta(days=DAYS + 1))
    tasks.housekeeping()
    assert not is_kept(case)
    # the review page
    reader = Client()
    reader.force_login(people["lead"])
    page = reader.get(reverse("console:case", args=[case.pk])).content.decode()
    assert "What was written in this case is kept no longer" in page
    assert "(kept no longer)" in page
    assert NAMED not in page
    # the evidence pack
    into = io.BytesIO()
    export.case_pack(case.pk, person(people["auditor"]), into)
    pack = zipfile.ZipFile(into)
    assert list(recipe.check(pack)) == []
    told = json.loads(pack.read(f"cases/{case.pk}.json"))["approvals"]
    [proposal] = told["proposals"]
    assert [one["words"] for one in proposal["revisions"]] == ["kept no longer"]
    assert proposal["decisions"][0]["note"] == proposal["execution"]["reason"] == proposal["execution"]["sealed_part"] == "kept no longer"
    assert told["case"]["words_dropped_at"] is not None
    assert "kept no longer" in pack.read(f"cases/{case.pk}.html").decode()
    # and nobody writes a new word that no sweep would ever find
    with pytest.raises(Refused) as refused:
        case_transitions.add_note(case.pk, people["lead"], "one more thing", "note")
    assert refused.value.code == "kept_no_longer"
    assert {bytes(one) for one in Note.objects.filter(case=case).values_list("sealed_text", flat=True)} == {b""}


def test_what_other_systems_told_goes_when_it_is_as_old(chargebee: factories.FakeChargebee, people: dict[str, User]) -> None:
    case = closed(factories.case(chargebee), people, timedelta(days=DAYS + 1))
    customer_id, now = case.chargebee_customer_id, clock.now()
    words = seal.seal(customer_id, NAMED)
    common = {"client": "crm", "chargebee_customer_id": customer_id, "status": "done", "sealed_for": customer_id}
    for name, case_id, days in (("of the case", case.pk, 1), ("old", None, DAYS + 1), ("recent", None, DAYS - 1)):
        written_at = now - timedelta(days=days)
        ReplyNote.objects.create(**common, external_id=name, kind="reply", case_id=case_id, written_at=written_at, sealed_text=words)
    for name, status, days in (("old", "solved", DAYS + 1), ("open", "open", DAYS + 1), ("recent", "solved", DAYS - 1)):
        at = now - timedelta(days=days)
        ExternalTicket.objects.create(**common, external_id=name, ticket_status=status, opened_at=at, changed_at=at, sealed_subject=words)
    for name, days in (("old", DAYS + 1), ("recent", 1)):
        at = now - timedelta(days=days)
        AgentRun.objects.create(
            agent="dunning", subject_kind="invoice", subject_id=name, cause=name, instruction=f"Write to {NAMED}",
            chargebee_customer_id=customer_id, status="done", created_at=at, finished_at=at,
        )  # fmt: skip
    assert retention.drop_old_words() == 1
    assert set(ReplyNote.objects.exclude(sealed_text=None).values_list("external_id", flat=True)) == {"recent"}
    assert set(ExternalTicket.objects.exclude(sealed_subject=None).values_list("external_id", flat=True)) == {"open", "recent"}
    assert dict(AgentRun.objects.filter(cause__in=["old", "recent"]).values_list("cause", "instruction")) == {
        "old": "kept no longer",
        "recent": f"Write to {NAMED}",
    }


def test_what_was_told_without_any_case_goes_when_it_is_as_old(people: dict[str, User]) -> None:
    # given replies, tickets and a text message of customers who never had a case, of one whose case is open, and of records that nobody knew
    now = clock.now()
    still_open = factories.case(customer_id="cus_open")
    older, newer = timedelta(days=DAYS, microseconds=1), timedelta(days=DAYS) - timedelta(minutes=1)
    for customer_id, status, sealed_for in (
        ("cus_1", "done", "cus_1"),
        ("cus_open", "done", "cus_open"),
        ("", "parked", "waiting:1"),
        ("", "dropped", "waiting:1"),
        ("", "waiting", "waiting:1"),
    ):
        words = seal.seal(sealed_for, NAMED)
        for age, name in ((older, "old"), (newer, "recent")):
            common = {
                "client": "crm", "chargebee_customer_id": customer_id, "status": status, "sealed_for": sealed_for,
                "external_id": f"{name} {customer_id or status}",
            }  # fmt: skip
            ReplyNote.objects.create(**common, kind="reply", written_at=now - age, sealed_text=words)
            at = {"opened_at": now - age, "changed_at": now - age}
            ExternalTicket.objects.create(**common, **at, ticket_status="closed", sealed_subject=words)
    ReplyNote.objects.create(
        client="crm", external_id="old of an open case", chargebee_customer_id="cus_open", status="done", kind="reply", case_id=still_open.pk,
        written_at=now - older, sealed_text=seal.seal("cus_open", NAMED), sealed_for="cus_open",
    )  # fmt: skip
    at = {"opened_at": now - older, "changed_at": now - older}
    ExternalTicket.objects.create(
        client="crm", external_id="old and open", chargebee_customer_id="cus_1", status="done", ticket_status="open", sealed_for="cus_1",
        sealed_subject=seal.seal("cus_1", NAMED), **at,
    )  # fmt: skip
    for age in (older, newer):
        Contact.objects.create(
            chargebee_customer_id="cus_1", channel="sms", direction="in", kind="reply", at=now - age, sealed_text=seal.seal("cus_1", NAMED)
        )
    # when housekeeping looks, with nothing else to drop
    assert retention.drop_old_words() == 0
    # then what is old enough and about no open case is gone
    recent = {"recent cus_1", "recent cus_open", "recent parked", "recent dropped", "recent waiting", "old waiting"}
    assert set(ReplyNote.objects.exclude(sealed_text=None).values_list("external_id", flat=True)) == recent | {"old of an open case"}
    assert set(ExternalTicket.objects.exclude(sealed_subject=None).values_list("external_id", flat=True)) == recent | {"old and open"}
    oldest = Contact.objects.earliest("at").sealed_text
    assert oldest is not None
    assert bytes(oldest) == seal.DROPPED
    assert seal.unseal("cus_1", Contact.objects.latest("at").sealed_text or b"") == NAMED
    # and the ledger says how much, once
    [entry] = Entry.objects.filter(kind="retention.heard_dropped")
    assert {name: entry.data[name] for name in ("days", "replies", "tickets", "contacts")} == {
        "days": DAYS,
        "replies": 4,
        "tickets": 4,
        "contacts": 1,
    }
    assert retention.drop_old_words() == 0
    assert Entry.objects.filter(kind="retention.heard_dropped").count() == 1


def test_without_a_setting_what_was_told_is_kept(settings: Any) -> None:
    settings.RETENTION_DAYS = 0
    long_ago = clock.now() - timedelta(days=4_000)
    ReplyNote.objects.create(
        client="crm", external_id="r", chargebee_customer_id="cus_1", status="done", kind="reply", written_at=long_ago,
        sealed_text=seal.seal("cus_1", NAMED), sealed_for="cus_1",
    )  # fmt: skip
    assert retention.drop_old_words() == 0
    assert ReplyNote.objects.exclude(sealed_text=None).count() == 1
