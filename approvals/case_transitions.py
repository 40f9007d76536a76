"""What people do with a case. Each call locks the case, changes it and writes it to the ledger in one transaction, or raises Refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction

from approvals import states
from approvals.companions import order
from approvals.effects import withdraw
from approvals.ledger_notes import note_case
from approvals.models import Case, Contact, Note, Promise, Suppression
from approvals.people import Refused, require_lead, role_of
from approvals.signals import case_changed
from audit import seal
from audit.actor import Actor, person
from billing_ai.kernel import clock
from billing_ai.kernel.money import Money

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DISPUTE_CODES: dict[str, str] = {
    "amount": "The amount is not right",
    "service": "The service was not delivered or did not work",
    "cancelled": "Says it was cancelled before",
    "not_ordered": "Says it was never ordered",
    "fraud": "Says the card was used without consent",
    "other": "Another reason (see the note)",
}
CALLS = {"call": "conversation", "no_answer": "call_attempt"}
"""What a logged call is among the contacts: only one that was answered keeps the next call away for a week."""
CALL_TAG = "call"
LONGEST_PROMISE = timedelta(days=60)


def snooze(case_id: UUID, user: User, until: datetime, note: str = "") -> Case:
    """Take the case out of the queue until a moment."""
    if until <= clock.now():
        raise Refused("in_the_past", "Choose a moment that is still to come.")
    return _change(case_id, user, "case.snoozed", lambda case: _set(case, snoozed_until=until), {"until": until.isoformat()}, note)


def assign(case_id: UUID, user: User, owner: User | None) -> Case:
    """Hand the case to someone, or to nobody."""
    if owner is not None:
        role_of(owner)
    return _change(case_id, user, "case.assigned", lambda case: _set(case, owner=owner), {"owner": owner.pk if owner else None})


def set_tags(case_id: UUID, user: User, tags: Iterable[str]) -> Case:
    """Replace the case's tags, at most ten of 40 characters. They are a colleague's own words, so the ledger gets their number only."""
    cleaned = sorted({tag.strip().lower()[:40] for tag in tags if tag.strip()})[:10]
    return _change(case_id, user, "case.tagged", lambda case: _set(case, tags=cleaned), {"tags": len(cleaned)})


def set_deadline(case_id: UUID, user: User, deadline: datetime | None) -> Case:
    """By when the case has to be looked at."""
    return _change(case_id, user, "case.deadline_set", lambda case: _set(case, deadline_at=deadline))


def escalate(case_id: UUID, user: User, to: str, note: str) -> Case:
    """Hand the case to the leads, or open a ticket at the help desk with the whole case in it."""
    if to not in ("lead", "helpdesk"):
        raise Refused("unknown_target", "Escalate to a lead or to the help desk.")
    if not note.strip():
        raise Refused("note_needed", "Say why, so that the next person need not start again.")

    def change(case: Case) -> None:
        if to == "lead":
            _set(case, escalated_to_lead=True, owner=None)
            return
        _open_ticket(case, user, note)

    return _change(case_id, user, f"case.escalated_to_{to}", change, note=note)


def add_note(case_id: UUID, user: User, text: str, kind: str = "note") -> Case:
    """Write something down. A call also counts as a contact, one with an answer as a conversation; and it is then no longer to be made."""
    if not text.strip():
        raise Refused("note_needed", "There is nothing written.")
    if kind not in ("note", *CALLS):
        raise Refused("unknown_kind", "It is a note, a call, or a call that nobody answered.")

    def change(case: Case) -> None:
        if kind in CALLS:
            Contact.objects.create(chargebee_customer_id=case.chargebee_customer_id, case=case, channel="call", kind=CALLS[kind])
            _set(case, tags=[tag for tag in case.tags if tag != CALL_TAG])

    return _change(case_id, user, f"case.{kind}_written", change, note=text, note_kind=kind)


def plan_call(case_id: UUID, user: User, when: datetime, note: str = "") -> Case:
    """Put a call on the owner's list, the caller's where the case is nobody's: a deadline, and a tag that the log of the call takes off."""
    if when <= clock.now():
        raise Refused("in_the_past", "Choose a moment that is still to come.")

    def change(case: Case) -> None:
        _set(case, deadline_at=when, owner=case.owner or user, tags=sorted({*case.tags[:9], CALL_TAG}))

    return _change(case_id, user, "case.call_planned", change, {"when": when.isoformat()}, note)


def take_promise(case_id: UUID, user: User, amount: Money, due_on: date) -> Promise:
    """Note a promise to pay. Open messages and retries before that day are withdrawn; it is kept or broken by itself."""
    today = clock.utc_date(clock.now())
    if due_on < today or due_on > today + LONGEST_PROMISE:
        raise Refused("promise_date", f"A promise is for a day from today until {today + LONGEST_PROMISE}.")
    taken: list[Promise] = []

    def change(case: Case) -> None:
        if case.status == Case.DISPUTED:
            raise Refused("disputed", "The case is in dispute. Settle the dispute first; a promise would end it unnoticed.")
        if amount.currency != case.currency or not 0 < amount.minor <= case.amount_due_minor:
            raise Refused("promise_amount", f"Promise an amount in {case.currency} of at most what is due.")
        if case.promises.filter(status=Promise.OPEN).exists():
            raise Refused("promise_open", "There is an open promise on this case already. Withdraw it first.")
        taken.append(
            Promise.objects.create(
                case=case,
                amount_minor=amount.minor,
                currency=amount.currency,
                due_on=due_on,
                amount_due_at_start_minor=case.amount_due_minor,
                taken_by=user,
            )
        )
        _set(case, status=Case.PROMISED, broken_promise=False)
        stop_open(case, person(user), "the customer has promised to pay", user=user)

    _change(
        case_id, user, "case.promised", change, {"amount_minor": amount.minor, "currency": amount.currency, "due_on": due_on.isoformat()}
    )
    return taken[0]


def withdraw_promise(case_id: UUID, user: User) -> Case:
    """The promise no longer stands; the case is open again."""

    def change(case: Case) -> None:
        promise = case.promises.filter(status=Promise.OPEN).first()
        if promise is None:
            raise Refused("no_promise", "There is no open promise.")
        promise.status, promise.settled_at = Promise.WITHDRAWN, clock.now()
        promise.save()
        _set(case, status=Case.OPEN)

    return _change(case_id, user, "case.promise_withdrawn", change)


def dispute(case_id: UUID, user: User, code: str, note: str) -> Case:
    """The customer disputes it: everything stops here, and Chargebee's own dunning is stopped too, until it is settled."""
    if code not in DISPUTE_CODES:
        raise Refused("unknown_code", f"Choose one of: {', '.join(DISPUTE_CODES)}.")

    def change(case: Case) -> None:
        if case.status == Case.DISPUTED:
            raise Refused("already_disputed", "The case is in dispute already.")
        _set(case, status=Case.DISPUTED, disputed_at=clock.now())
        stop_open(case, person(user), f"disputed: {DISPUTE_CODES[code]}", user=user)
        step = f"dispute:{clock.now():%Y%m%d%H%M%S}"
        order(case, "pause_dunning", step, {"days": 60}, person(user), user, "the invoice is disputed", agent="person")

    return _change(case_id, user, "case.disputed", change, {"code": code}, note)


def settle_dispute(case_id: UUID, user: User, note: str) -> Case:
    """The dispute is settled: the case is open again, and so is Chargebee's dunning."""

    def change(case: Case) -> None:
        if case.status != Case.DISPUTED:
            raise Refused("not_disputed", "The case is not in dispute.")
        _set(case, status=Case.OPEN)
        step = f"dispute:{clock.now():%Y%m%d%H%M%S}"
        order(case, "resume_dunning", step, {}, person(user), user, "the dispute is settled", agent="person")

    return _change(case_id, user, "case.dispute_settled", change, note=note)


def already_paid(case_id: UUID, user: User, note: str) -> Case:
    """The customer says it was paid: nothing is sent for three days, in which the payment can be looked for."""

    def change(case: Case) -> None:
        _set(case, snoozed_until=clock.now() + timedelta(days=3))
        stop_open(case, person(user), "the customer says it was paid", user=user)

    return _change(case_id, user, "case.said_to_be_paid", change, note=note)


def wrong_person(case_id: UUID, user: User, note: str) -> Case:
    """The address reaches someone else: nothing more goes to this customer until the record is mended."""
    return _suppress(case_id, user, "wrong_person", note)


def do_not_contact(case_id: UUID, user: User, note: str) -> Case:
    """The customer does not want to be contacted."""
    return _suppress(case_id, user, "do_not_contact", note)


def close(case_id: UUID, user: User, note: str) -> Case:
    """End the case without a recovery. A lead's decision."""
    require_lead(user)
    if not note.strip():
        raise Refused("note_needed", "Say why the case is closed.")

    def change(case: Case) -> None:
        stop_open(case, person(user), "the case was closed", user=user)
        _set(case, status=Case.CLOSED, closed_at=clock.now())

    return _change(case_id, user, "case.closed", change, note=note)


def stop_open(case: Case, actor: Actor, reason: str, *, user: User | None = None) -> int:
    """Withdraw all of a locked case that has not been called yet. Returns how many."""
    stopped = 0
    for proposal in (
        case.proposals.select_for_update(of=("self",)).filter(status__in=states.STOPPABLE).select_related("current").order_by("pk")
    ):
        proposal.case = case
        stopped += withdraw(proposal, actor, reason, user=user)
    return stopped


def _suppress(case_id: UUID, user: User, kind: str, note: str) -> Case:
    def change(case: Case) -> None:
        Suppression.objects.create(chargebee_customer_id=case.chargebee_customer_id, kind=kind, reason="", added_by=user)
        stop_open(case, person(user), kind.replace("_", " "), user=user)

    return _change(case_id, user, f"case.{kind}", change, note=note)


def _open_ticket(case: Case, user: User, note: str) -> None:
    step = f"escalated:{clock.now():%Y%m%d%H%M%S}"
    order(case, "create_ticket", step, {"priority": "high"}, person(user), user, "escalated by a person", agent="person")


def _set(case: Case, **columns: object) -> None:
    for name, value in columns.items():
        setattr(case, name, value)


def _change(
    case_id: UUID,
    user: User,
    kind: str,
    change: Callable[[Case], None],
    data: dict[str, object] | None = None,
    note: str = "",
    note_kind: str = "note",
) -> Case:
    role = role_of(user)
    with transaction.atomic():
        case = states.lock_case(case_id)
        if case.status not in Case.ACTIVE and note_kind == "note" and kind not in ("case.note_written", "case.tagged"):
            raise Refused("case_closed", f"The case is {case.status} and can no longer be changed.")
        if case.words_dropped_at is not None:
            raise Refused("kept_no_longer", "The case was closed so long ago that words about it are kept no longer: write nothing on it.")
        change(case)
        case.updated_at = clock.now()
        case._history_user = user  # type: ignore[attr-defined]  # simple-history reads it from the instance
        case._change_reason = kind  # type: ignore[attr-defined]
        case.save()
        if note.strip():
            sealed = seal.seal(case.chargebee_customer_id, note.strip()[:10_000])
            Note.objects.create(case=case, kind=note_kind, sealed_text=sealed, author=user)
        note_case(kind, case, person(user), {"role": role, **(data or {})})
        case_changed.send(sender=Case, case=case, kind=kind)
        return case
