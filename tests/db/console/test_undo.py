"""Taking an approval back: all of what was approved waits for the same while, and one part that has gone out holds back no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

from approvals.models import Case, Execution, Proposal
from audit.models import Entry
from tests import factories
from tests.db.console import orders


def _approve(client: Any, case: Case) -> Any:
    form: dict[str, Any] = {"proposal": []}
    for one in case.proposals.filter(status="waiting").order_by("action"):
        shown = orders.hashes_of(one)
        form["proposal"].append(shown.pop("proposal"))
        form |= shown
    return client.post(f"/console/case/{case.pk}/approve/", form, headers={"Accept": "application/json"})


def _undo(client: Any, *proposals: Proposal) -> Any:
    return client.post("/console/undo/", {"proposal": [str(one.pk) for one in proposals]}, headers={"Accept": "application/json"})


def _with_a_comment(chargebee: Any) -> tuple[Case, Proposal, Proposal]:
    case = factories.case(chargebee)
    comment = factories.proposal(case, action="add_comment", step="note", payload={"notes": "A card is asked for."})
    return case, case.proposals.get(action="send_message"), comment


def test_all_that_a_person_approves_waits_so_that_it_can_be_undone(chargebee: Any, as_user: Any, settings: Any) -> None:
    settings.SEND_DELAY_SECONDS = 300
    with time_machine.travel(datetime(2026, 3, 3, 11, tzinfo=UTC), tick=False):
        case, message, comment = _with_a_comment(chargebee)
        answer = _approve(as_user(factories.user("specialist")), case).json()

    goes = dict(Execution.objects.values_list("proposal__action", "not_before"))
    assert goes == dict.fromkeys(("send_message", "add_comment"), datetime(2026, 3, 3, 11, 5, tzinfo=UTC))
    assert (answer["said"], answer["undo_seconds"]) == ("Approved. Comment in Chargebee, Message: goes out in 5 minutes.", 300)
    assert set(answer["undo"]) == {str(message.pk), str(comment.pk)}


def test_what_goes_out_on_another_day_is_said_with_its_day(chargebee: Any, as_user: Any, settings: Any) -> None:
    settings.SEND_DELAY_SECONDS = 20
    with time_machine.travel(datetime(2026, 3, 3, 11, tzinfo=UTC), tick=False):
        case = factories.case(chargebee, retry_in_days=2)
        answer = _approve(as_user(factories.user("specialist")), case).json()
    assert answer["said"] == "Approved. Message: goes out in 20 seconds. Payment retry: goes out on 5 Mar, 11:00."


def test_what_has_gone_out_holds_back_nothing_else(chargebee: Any, as_user: Any) -> None:
    case, message, comment = _with_a_comment(chargebee)
    client = as_user(factories.user("specialist"))
    _approve(client, case)
    Proposal.objects.filter(pk=comment.pk).update(status="done")

    answer = _undo(client, comment, message)

    assert answer.status_code == 200
    assert answer.json()["said"] == "Taken back: Message. Comment in Chargebee: It is too late to undo: it has gone out."
    assert dict(Proposal.objects.values_list("action", "status")) == {"send_message": "waiting", "add_comment": "done"}
    assert Entry.objects.get(kind="console.refused").data["code"] == "too_late"


def test_nothing_is_taken_back_once_all_is_out_or_at_a_worker(chargebee: Any, as_user: Any) -> None:
    case, message, comment = _with_a_comment(chargebee)
    client = as_user(factories.user("specialist"))
    _approve(client, case)
    Execution.objects.update(status="leased", lease_until=datetime.now(UTC) + timedelta(minutes=1))

    answer = _undo(client, message, comment)

    assert (answer.status_code, answer.json()["said"]) == (409, "It is too late to undo: it is going out just now.")
    assert set(Proposal.objects.values_list("status", flat=True)) == {"approved"}
