"""The pack of a worked case tells the whole of it; after the customer is erased, it says so in each place."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User

from approvals import case_transitions, evidence, transitions
from approvals.models import Case, Execution, ExecutionAttempt, Outcome
from approvals.revisions import read_words
from audit import export, recipe, seal
from audit.actor import person, system
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money
from tests import factories
from tests.db.approvals.conftest import seen

ADDRESS = "ada@example.com"


@pytest.fixture
def worked(chargebee: factories.FakeChargebee, people: dict[str, User], settings: Any, tmp_path: Path) -> Case:
    """Drafted, edited, approved, called with a lost answer, settled, and a part of the money came in."""
    settings.AUDIT_CHECKPOINTS = [(tmp_path / "heads.jsonl").as_uri()]
    case = factories.case(chargebee)
    message = case.proposals.get()
    old = read_words(message.current)
    assert old is not None
    transitions.edit(
        message.pk,
        people["specialist"],
        base_revision_id=message.current.pk,
        body=old.body.replace("Kind regards", "Best regards"),
    )
    transitions.approve(message.pk, people["specialist2"], **seen(message), note="Spoke with Ada Lovelace")
    held = Execution.objects.get(proposal=message)
    now = clock.now()
    held.status, held.first_sent_at, held.settled_by, held.finished_at = "done", now, "look-up", now
    held.request = {"channel": "email", "text_sha256": "f" * 64}
    held.sealed_request = seal.seal(case.chargebee_customer_id, json.dumps({"to": ADDRESS, "text": "Hello Ada"}))
    held.result = {"reference": "<message-1@billing>", "raw": ADDRESS}
    held.save()
    ExecutionAttempt.objects.create(
        execution=held, number=1, outcome="unknown", code="mail.answer_lost", sentence="No answer.", response={"echo": ADDRESS}
    )
    Outcome.objects.create(
        case=case, proposal=message, kind="part_recovered", credited_to="email", chargebee_transaction_id="txn_1", recovered_minor=1_900,
        currency="EUR", happened_at=now, chargebee_event_id="ev_1", attempt_number=2,
    )  # fmt: skip
    case_transitions.take_promise(case.pk, people["lead"], Money(3_000, "EUR"), clock.utc_date(now))
    return case


def pack_of(case: Case, user: User) -> zipfile.ZipFile:
    into = io.BytesIO()
    export.case_pack(case.pk, person(user), into)
    return zipfile.ZipFile(into)


def section(pack: zipfile.ZipFile, case: Case) -> dict[str, Any]:
    return dict(json.loads(pack.read(f"cases/{case.pk}.json"))["approvals"])


def everything(pack: zipfile.ZipFile) -> str:
    return "\n".join(pack.read(name).decode(errors="replace") for name in pack.namelist() if name != "check.py")


def test_the_pack_of_a_worked_case_tells_all_of_it(worked: Case, people: dict[str, User]) -> None:
    pack = pack_of(worked, people["auditor"])
    assert list(recipe.check(pack)) == []
    told = section(pack, worked)
    assert (told["case"]["status"], told["case"]["amount_due"]) == ("promised", {"minor": 4_900, "currency": "EUR"})
    [proposal] = told["proposals"]
    draft, edited = proposal["revisions"]
    assert (draft["number"], draft["by"], draft["words"]["subject"]) == (1, "the agent", factories.ENGLISH.subject)
    assert (edited["number"], edited["by"]) == (2, "specialist")
    assert edited["changes"] == {
        "subject": [],
        "body": [{"removed": "Kind", "added": "Best"}],
    }
    assert [finding["rule"] for finding in edited["findings"]] == [one["rule"] for one in worked.proposals.get().current.findings]
    edit, approval = proposal["decisions"]
    assert (edit["kind"], edit["by"], edit["revision"]) == ("edit", "specialist", 2)
    assert (approval["kind"], approval["by"], approval["role"], approval["revision"]) == ("approve", "specialist2", "specialist", 2)
    assert approval["content_hash_seen"] == edited["content_hash"]
    assert len(approval["facts_hash_seen"]) == 64
    assert approval["note"] == "Spoke with Ada Lovelace"
    execution = proposal["execution"]
    assert (execution["status"], execution["settled_by"], execution["sealed_part"]) == ("done", "look-up", "kept sealed")
    assert execution["request"] == {"channel": "email", "text_sha256": "f" * 64}
    assert execution["result"] == {"reference": "<message-1@billing>", "raw": "withheld"}
    [attempt] = execution["attempts"]
    assert (attempt["outcome"], attempt["code"], attempt["response"]) == ("unknown", "mail.answer_lost", {"echo": "withheld"})
    [outcome] = told["outcomes"]
    assert (outcome["recovered"]["minor"], outcome["credited_to"], outcome["proposal"]) == (1_900, "email", proposal["id"])
    [promise] = told["promises"]
    assert (promise["amount"]["minor"], promise["taken_by"], promise["status"]) == (3_000, "lead", "open")
    # and the page for people shows it, while the address is nowhere
    assert "Best regards" in pack.read(f"cases/{worked.pk}.html").decode()
    assert ADDRESS not in everything(pack)


def test_after_erasing_the_customer_the_pack_says_erased(worked: Case, people: dict[str, User]) -> None:
    seal.erase_customer(worked.chargebee_customer_id, system("test"), "customer_request")
    pack = pack_of(worked, people["auditor"])
    assert list(recipe.check(pack)) == []
    [proposal] = section(pack, worked)["proposals"]
    assert [revision["words"] for revision in proposal["revisions"]] == ["erased", "erased"]
    assert all("changes" not in revision for revision in proposal["revisions"])
    assert [decision["note"] for decision in proposal["decisions"]] == ["", "erased"]
    assert proposal["execution"]["sealed_part"] == "erased"
    # what is left is who decided what, and the hashes
    assert proposal["decisions"][1]["by"] == "specialist2"
    assert len(proposal["revisions"][0]["content_hash"]) == 64
    text = everything(pack)
    for words in ("Lovelace", "Best regards", "did not go through", ADDRESS):
        assert words not in text


def test_each_decision_tells_every_check_that_stood_when_it_was_made(worked: Case, people: dict[str, User]) -> None:
    # given that the proposal was looked at again after the approval, with another answer
    message = worked.proposals.get()
    stood = message.verdict["checks"]
    allowed = [check["rule"] for check in stood if check["outcome"] == "allow"]
    assert len(allowed) > 3
    message.verdict = {"checks": [{"rule": "stop.all", "outcome": "deny", "sentence": "Everything is stopped.", "data": {}}]}
    message.save()
    # when the pack is made
    pack = pack_of(worked, people["auditor"])
    # then the approval has all that stood then, the proposal what was found last
    [proposal] = section(pack, worked)["proposals"]
    edit, approval = proposal["decisions"]
    assert approval["checks"] == [{"rule": one["rule"], "outcome": one["outcome"], "sentence": one["sentence"]} for one in stood]
    assert edit["checks"] == "not kept"  # an edit decides nothing
    assert proposal["checks"] == [{"rule": "stop.all", "outcome": "deny", "sentence": "Everything is stopped."}]
    page = pack.read(f"cases/{worked.pk}.html").decode()
    assert all(f"allow · {rule}: " in page for rule in allowed)


def test_a_rejection_tells_the_checks_too(chargebee: factories.FakeChargebee, people: dict[str, User]) -> None:
    case = factories.case(chargebee)
    message = case.proposals.get()
    verdict = {
        "checks": [{"rule": "contact.quiet_hours", "outcome": "allow", "sentence": "It is 10:00 there.", "not_before": None, "data": {}}]
    }
    case.proposals.update(verdict=verdict)
    transitions.reject(message.pk, people["lead"], reason_code="other", note="no")
    [told] = evidence.tell(case.pk)["proposals"][0]["decisions"]
    assert (told["kind"], told["checks"]) == (
        "reject",
        [{"rule": "contact.quiet_hours", "outcome": "allow", "sentence": "It is 10:00 there."}],
    )


def test_a_case_that_this_floor_does_not_know_is_told_as_nothing() -> None:
    assert evidence.tell(uuid4()) == {}


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("Pay soon", "Pay soon", []),
        ("", "Hello", [{"removed": "", "added": "Hello"}]),
        (
            "Pay {{ invoice.amount_due }} now",
            "Pay {{ invoice.number }} now",
            [{"removed": "{{ invoice.amount_due }}", "added": "{{ invoice.number }}"}],
        ),
        ("a {b c", "a b c", [{"removed": "{", "added": ""}]),
    ],
)
def test_differences_are_by_word_and_a_slot_is_one(before: str, after: str, changes: list[dict[str, str]]) -> None:
    assert evidence.differences(before, after) == changes
