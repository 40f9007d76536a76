"""What people do with a case: who may, what it changes, and that a refusal changes nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User

from approvals import case_transitions, outcomes, transitions
from approvals.admin import queue_query
from approvals.models import Case, Contact, Decision, Execution, Note, Outcome, Promise, Proposal, Revision, Suppression
from approvals.people import Refused
from approvals.wording.reader import Reader
from audit import seal
from audit.models import Entry
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money
from tests import factories
from tests.db.approvals.conftest import seen

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
Do = Callable[[Case, User], Any]


def today(plus: int = 0) -> Any:
    return clock.utc_date(clock.now()) + plus * DAY


CASE_ACTIONS: dict[str, Do] = {
    "snooze": lambda case, user: case_transitions.snooze(case.pk, user, clock.now() + DAY),
    "assign": lambda case, user: case_transitions.assign(case.pk, user, None),
    "set_tags": lambda case, user: case_transitions.set_tags(case.pk, user, ["vip"]),
    "set_deadline": lambda case, user: case_transitions.set_deadline(case.pk, user, clock.now() + DAY),
    "escalate_to_lead": lambda case, user: case_transitions.escalate(case.pk, user, "lead", "too high for me"),
    "escalate_to_helpdesk": lambda case, user: case_transitions.escalate(case.pk, user, "helpdesk", "the service was down"),
    "add_note": lambda case, user: case_transitions.add_note(case.pk, user, "asked for the invoice again"),
    "log_call": lambda case, user: case_transitions.add_note(case.pk, user, "will pay on Friday", kind="call"),
    "take_promise": lambda case, user: case_transitions.take_promise(case.pk, user, Money(4_900, "EUR"), today(3)),
    "withdraw_promise": lambda case, user: case_transitions.withdraw_promise(case.pk, user),
    "dispute": lambda case, user: case_transitions.dispute(case.pk, user, "amount", "says it is half of that"),
    "settle_dispute": lambda case, user: case_transitions.settle_dispute(case.pk, user, "agreed"),
    "already_paid": lambda case, user: case_transitions.already_paid(case.pk, user, "by transfer"),
    "wrong_person": lambda case, user: case_transitions.wrong_person(case.pk, user, "has left the company"),
    "do_not_contact": lambda case, user: case_transitions.do_not_contact(case.pk, user, "asked for it"),
}
DECISIONS: dict[str, Do] = {
    "approve": lambda case, user: transitions.approve(case.proposals.get().pk, user, **seen(case.proposals.get())),
    "edit": lambda case, user: transitions.edit(
        case.proposals.get().pk,
        user,
        base_revision_id=case.proposals.get().current_id,
        subject="Invoice {{ invoice.number }} is still open",
    ),
    "reject": lambda case, user: transitions.reject(case.proposals.get().pk, user, reason_code="wrong_tone"),
}
LEADS_ONLY: dict[str, Do] = {"close": lambda case, user: case_transitions.close(case.pk, user, "not worth pursuing")}
ALL = CASE_ACTIONS | DECISIONS | LEADS_ONLY


@pytest.fixture
def case(chargebee: factories.FakeChargebee) -> Case:
    return factories.case(chargebee)


def ready_for(name: str, case: Case, lead: User) -> None:
    """Some actions need something to act on."""
    if name == "withdraw_promise":
        case_transitions.take_promise(case.pk, lead, Money(4_900, "EUR"), today(3))
    if name == "settle_dispute":
        case_transitions.dispute(case.pk, lead, "amount", "")


def everything() -> list[Any]:
    """All that a decision could change, history and ledger with it."""
    models = (
        Case,
        Proposal,
        Revision,
        Decision,
        Execution,
        Promise,
        Note,
        Suppression,
        Contact,
        Entry,
        Case.history.model,
        Proposal.history.model,
    )
    return [list(model.objects.order_by("pk").values()) for model in models]


# -- who may -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["specialist", "lead"])
@pytest.mark.parametrize("name", [*CASE_ACTIONS, *DECISIONS])
def test_specialist_and_lead_may_work_on_cases(case: Case, people: dict[str, User], name: str, role: str) -> None:
    ready_for(name, case, people["lead2"])
    before = Entry.objects.filter(case_id=case.pk).count()
    ALL[name](case, people[role])
    mine = Entry.objects.filter(case_id=case.pk).order_by("pk")[before:]
    assert role in {entry.actor_label for entry in mine}


@pytest.mark.parametrize("role", ["auditor", "finance"])
@pytest.mark.parametrize("name", list(ALL))
def test_auditor_and_finance_change_nothing(case: Case, people: dict[str, User], name: str, role: str) -> None:
    ready_for(name, case, people["lead2"])
    before = everything()
    with pytest.raises(Refused) as refused:
        ALL[name](case, people[role])
    assert refused.value.code == "not_allowed"
    assert everything() == before


def test_only_a_lead_closes_a_case(case: Case, people: dict[str, User]) -> None:
    before = everything()
    with pytest.raises(Refused) as refused:
        LEADS_ONLY["close"](case, people["specialist"])
    assert refused.value.code == "needs_lead"
    assert everything() == before
    LEADS_ONLY["close"](case, people["lead"])
    case.refresh_from_db()
    assert (case.status, case.waiting_count) == ("closed", 0)
    assert case.proposals.get().status == "withdrawn"
    with pytest.raises(Refused) as refused:
        case_transitions.close(case.pk, people["lead"], " ")
    assert refused.value.code == "note_needed"


@pytest.mark.parametrize("name", list(ALL))
def test_a_disabled_colleague_changes_nothing(case: Case, people: dict[str, User], name: str) -> None:
    ready_for(name, case, people["lead2"])
    User.objects.filter(pk=people["lead"].pk).update(is_active=False)
    before = everything()
    with pytest.raises(Refused) as refused:
        ALL[name](case, User.objects.get(pk=people["lead"].pk))
    assert refused.value.code == "user_disabled"
    assert everything() == before


@pytest.mark.parametrize("name", [name for name in CASE_ACTIONS if name not in ("add_note", "log_call", "set_tags")])
def test_a_closed_case_stays_as_it_is(case: Case, people: dict[str, User], name: str) -> None:
    case_transitions.close(case.pk, people["lead"], "written off")
    before = everything()
    with pytest.raises(Refused) as refused:
        CASE_ACTIONS[name](case, people["lead"])
    assert refused.value.code == "case_closed"
    assert everything() == before


# -- what a note keeps -----------------------------------------------------------------------------------------------------------------------


def test_a_note_is_kept_sealed_and_not_in_the_ledger(case: Case, people: dict[str, User]) -> None:
    case_transitions.add_note(case.pk, people["specialist"], "Ada asked for the invoice again")
    note = Note.objects.get()
    assert b"Ada" not in bytes(note.sealed_text)
    assert seal.unseal(case.chargebee_customer_id, bytes(note.sealed_text)) == "Ada asked for the invoice again"
    assert "Ada" not in str(Entry.objects.get(kind="case.note_written").data)


def test_a_call_counts_as_a_contact(case: Case, people: dict[str, User]) -> None:
    case_transitions.add_note(case.pk, people["specialist"], "will pay on Friday", kind="call")
    contact = Contact.objects.get()
    assert (contact.channel, contact.kind, contact.chargebee_customer_id) == ("call", "conversation", case.chargebee_customer_id)


# -- snooze ----------------------------------------------------------------------------------------------------------------------------------


def test_a_snoozed_case_is_out_of_the_queue_until_its_time(case: Case, people: dict[str, User]) -> None:
    def queue() -> list[Case]:
        reader = Reader("en_GB", ZoneInfo("UTC"))
        return list(queue_query.matching(queue_query.question({}), people["specialist"], reader))

    assert queue() == [case]
    case_transitions.snooze(case.pk, people["specialist"], clock.now() + timedelta(hours=2))
    assert queue() == []
    assert case.proposals.get().status == "waiting"
    clock.shift(timedelta(hours=2, seconds=1))
    assert queue() == [case]


def test_a_case_cannot_be_snoozed_into_the_past(case: Case, people: dict[str, User]) -> None:
    before = everything()
    with pytest.raises(Refused) as refused:
        case_transitions.snooze(case.pk, people["specialist"], clock.now() - timedelta(seconds=1))
    assert refused.value.code == "in_the_past"
    assert everything() == before


# -- promises --------------------------------------------------------------------------------------------------------------------------------


def came_in(case: Case, minor: int, transaction_id: str = "txn_1") -> None:
    Outcome.objects.create(
        case=case, kind="part_recovered", credited_to="customer", chargebee_transaction_id=transaction_id, recovered_minor=minor, currency="EUR",
        happened_at=clock.now(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("paid", "status", "kept", "is_broken"),
    [(4_000, "kept", 4_000, False), (4_900, "kept", 4_000, False), (1_500, "part_kept", 1_500, False), (0, "broken", 0, True)],
)
def test_a_promise_ends_by_itself_from_what_came_in(
    case: Case, people: dict[str, User], paid: int, status: str, kept: int, is_broken: bool
) -> None:
    promise = case_transitions.take_promise(case.pk, people["specialist"], Money(4_000, "EUR"), today(1))
    case.refresh_from_db()
    assert (case.status, case.proposals.get().status) == ("promised", "withdrawn")
    if paid:
        came_in(case, paid)
    # on its own day nothing is said yet
    clock.shift(DAY)
    assert outcomes.follow_promises() == 0
    # the day after, it is
    clock.shift(2 * DAY)
    assert outcomes.follow_promises() == 1
    promise.refresh_from_db()
    case.refresh_from_db()
    assert (promise.status, promise.kept_minor) == (status, kept)
    assert promise.settled_at is not None
    assert (case.status, case.broken_promise) == ("open", is_broken)
    assert Entry.objects.get(kind=f"promise.{status}").data == {"came_in_minor": paid}
    assert outcomes.follow_promises() == 0


def test_what_came_in_before_the_promise_does_not_keep_it(case: Case, people: dict[str, User]) -> None:
    came_in(case, 4_000)
    clock.shift(timedelta(minutes=1))
    promise = case_transitions.take_promise(case.pk, people["specialist"], Money(900, "EUR"), today(1))
    clock.shift(3 * DAY)
    outcomes.follow_promises()
    promise.refresh_from_db()
    assert promise.status == "broken"


@pytest.mark.parametrize(
    ("amount", "days", "code"),
    [
        (Money(4_901, "EUR"), 3, "promise_amount"),
        (Money(0, "EUR"), 3, "promise_amount"),
        (Money(4_900, "USD"), 3, "promise_amount"),
        (Money(4_900, "EUR"), -1, "promise_date"),
        (Money(4_900, "EUR"), 61, "promise_date"),
    ],
)
def test_a_promise_is_of_something_that_is_due_on_a_day_to_come(
    case: Case, people: dict[str, User], amount: Money, days: int, code: str
) -> None:
    before = everything()
    with pytest.raises(Refused) as refused:
        case_transitions.take_promise(case.pk, people["specialist"], amount, today(days))
    assert refused.value.code == code
    assert everything() == before


def test_there_is_one_open_promise_a_case(case: Case, people: dict[str, User]) -> None:
    case_transitions.take_promise(case.pk, people["specialist"], Money(1_000, "EUR"), today(3))
    before = everything()
    with pytest.raises(Refused) as refused:
        case_transitions.take_promise(case.pk, people["lead"], Money(1_000, "EUR"), today(4))
    assert refused.value.code == "promise_open"
    assert everything() == before
    case_transitions.withdraw_promise(case.pk, people["lead"])
    case.refresh_from_db()
    assert (case.status, case.promises.get().status) == ("open", "withdrawn")


# -- disputes --------------------------------------------------------------------------------------------------------------------------------


def test_a_dispute_stops_everything_and_settling_it_starts_again(case: Case, people: dict[str, User]) -> None:
    message = case.proposals.get()
    transitions.approve(message.pk, people["specialist"], **seen(message))
    case_transitions.dispute(case.pk, people["specialist"], "amount", "says it is half of that")
    # what was approved and not yet sent is taken back, and Chargebee's own dunning is to be held
    case.refresh_from_db()
    message.refresh_from_db()
    assert (case.status, message.status) == ("disputed", "withdrawn")
    assert Execution.objects.get(proposal=message).status == "withdrawn"
    hold = case.proposals.get(action="pause_dunning")
    assert (hold.status, hold.decisions.get().by) == ("approved", people["specialist"])
    with pytest.raises(Refused) as refused:
        case_transitions.dispute(case.pk, people["specialist"], "amount", "")
    assert refused.value.code == "already_disputed"
    # no promise ends it unnoticed
    with pytest.raises(Refused) as refused:
        case_transitions.take_promise(case.pk, people["lead"], Money(1_000, "EUR"), today(3))
    assert refused.value.code == "disputed"
    case_transitions.settle_dispute(case.pk, people["lead"], "agreed on the amount")
    case.refresh_from_db()
    assert case.status == "open"
    assert case.proposals.get(action="resume_dunning").status == "approved"
    with pytest.raises(Refused) as refused:
        case_transitions.settle_dispute(case.pk, people["lead"], "")
    assert refused.value.code == "not_disputed"


# -- not to be contacted -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["do_not_contact", "wrong_person"])
def test_after_it_no_message_to_that_customer_can_be_approved(
    chargebee: factories.FakeChargebee, case: Case, people: dict[str, User], kind: str
) -> None:
    other_invoice = factories.case(chargebee, customer_id=case.chargebee_customer_id)
    other_customer = factories.case(chargebee)
    CASE_ACTIONS[kind](case, people["specialist"])
    assert Suppression.objects.get().kind == kind
    assert case.proposals.get().status == "withdrawn"
    before = everything()
    with pytest.raises(Refused) as refused:
        DECISIONS["approve"](other_invoice, people["lead"])
    assert refused.value.code == "contact.suppressed"
    assert everything() == before
    DECISIONS["approve"](other_customer, people["specialist"])


# -- four eyes ---------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def large(chargebee: factories.FakeChargebee) -> Proposal:
    case = factories.case(chargebee, due_minor=2_000_000, words=None)
    return factories.proposal(case, words=factories.ENGLISH, amount_minor=2_000_000)


def refuses(proposal: Proposal, user: User, code: str) -> None:
    page = seen(proposal)
    before = everything()
    with pytest.raises(Refused) as refused:
        transitions.approve(proposal.pk, user, **page)
    assert refused.value.code == code
    assert everything() == before


def test_a_large_amount_needs_a_second_person_who_is_a_lead(large: Proposal, people: dict[str, User]) -> None:
    first = transitions.approve(large.pk, people["specialist"], **seen(large))
    assert (first.status, first.approvals_needed) == ("waiting_second", 2)
    assert not Execution.objects.exists()
    refuses(large, people["specialist"], "same_person")
    refuses(large, people["specialist2"], "needs_lead")
    refuses(large, people["auditor"], "not_allowed")
    assert not Execution.objects.exists()
    second = transitions.approve(large.pk, people["lead"], **seen(large))
    assert second.status == "approved"
    assert Execution.objects.get().proposal_id == large.pk
    assert list(large.decisions.order_by("pk").values_list("by__username", "role")) == [("specialist", "specialist"), ("lead", "lead")]


def test_a_lead_alone_is_not_two_people(large: Proposal, people: dict[str, User]) -> None:
    assert transitions.approve(large.pk, people["lead"], **seen(large)).status == "waiting_second"
    refuses(large, people["lead"], "same_person")
    assert transitions.approve(large.pk, people["lead2"], **seen(large)).status == "approved"


def test_an_edit_between_the_two_asks_for_both_again(large: Proposal, people: dict[str, User]) -> None:
    transitions.approve(large.pk, people["specialist"], **seen(large))
    large.refresh_from_db()
    transitions.edit(large.pk, people["lead"], base_revision_id=large.current_id or 0, subject="Invoice {{ invoice.number }} is still open")
    large.refresh_from_db()
    assert large.status == "waiting"
    assert transitions.approve(large.pk, people["lead"], **seen(large)).status == "waiting_second"
    assert transitions.approve(large.pk, people["lead2"], **seen(large)).status == "approved"


def test_what_is_over_a_specialists_limit_is_for_a_lead(chargebee: factories.FakeChargebee, people: dict[str, User]) -> None:
    case = factories.case(chargebee, due_minor=700_000, words=None)
    proposal = factories.proposal(case, words=factories.ENGLISH, amount_minor=700_000)
    refuses(proposal, people["specialist"], "over_limit")
    assert transitions.approve(proposal.pk, people["lead"], **seen(proposal)).status == "approved"
