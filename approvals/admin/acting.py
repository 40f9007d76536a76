"""What the buttons do: read the form, call the one transition, answer in words. No rule is decided here.

Each answers the page's own script in JSON, and a browser without scripts with a redirect and a message. What was refused changes nothing and is
noted in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_POST

from approvals import case_transitions, transitions
from approvals.admin.form_values import read_amount, read_day, read_moment, read_text
from approvals.admin.pages import ConsoleRequest, console_page, wants_json
from approvals.admin.queue_query import next_case, question
from approvals.ledger_notes import note_case
from approvals.models import Case, Execution, Proposal
from approvals.people import Refused
from approvals.wording import words
from approvals.wording.reader import Reader, reader_of
from audit.actor import person
from billing_ai.kernel import clock
from billing_ai.kernel.errors import OutsideError

Order = Callable[[Case, User, QueryDict, Reader], str]


def _snooze(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    until = read_moment(form, "until", reader)
    case_transitions.snooze(case.pk, user, until, read_text(form, "note"))
    return f"Sleeps until {reader.moment(until)}."


def _escalate(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    to = read_text(form, "to")
    case_transitions.escalate(case.pk, user, to, read_text(form, "note"))
    return "Handed to the leads." if to == "lead" else "A help-desk ticket with the whole case is on its way."


def _assign(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    chosen = read_text(form, "owner")
    owner = User.objects.filter(pk=int(chosen), is_active=True).first() if chosen.isdigit() else None
    if chosen and owner is None:
        raise Refused("no_such_user", "Choose a colleague from the list.")
    case_transitions.assign(case.pk, user, owner)
    return f"{owner.get_full_name() or owner.get_username()} looks after it now." if owner else "The case is nobody's now."


def _note(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    kind = read_text(form, "kind") or "note"
    case_transitions.add_note(case.pk, user, read_text(form, "text"), kind)
    return "Written down." if kind == "note" else "The call is logged."


def _call_task(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    when = read_moment(form, "until", reader)
    case_transitions.plan_call(case.pk, user, when, read_text(form, "note"))
    return f"On the list: call by {reader.moment(when)}."


def _promise(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    amount, due_on = read_amount(form, "amount", case.currency), read_day(form, "due_on", reader)
    case_transitions.take_promise(case.pk, user, amount, due_on)
    return f"Promise noted: {reader.money(amount)} by {reader.day(due_on)}. Whether it is kept follows by itself."


def _withdraw_promise(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    case_transitions.withdraw_promise(case.pk, user)
    return "The promise no longer stands."


def _dispute(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    case_transitions.dispute(case.pk, user, read_text(form, "code"), read_text(form, "note"))
    return "In dispute: everything is stopped here, and dunning in Chargebee is being paused."


def _settle_dispute(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    case_transitions.settle_dispute(case.pk, user, read_text(form, "note"))
    return "The dispute is settled; the case is open again."


def _tags(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    case_transitions.set_tags(case.pk, user, read_text(form, "tags").split(","))
    return "Tags set."


def _deadline(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
    if not read_text(form, "until") and not read_text(form, "days"):
        case_transitions.set_deadline(case.pk, user, None)
        return "No deadline any more."
    until = read_moment(form, "until", reader)
    case_transitions.set_deadline(case.pk, user, until)
    return f"To be looked at by {reader.moment(until)}."


def _with_note(call: Callable[[UUID, User, str], Case], said: str) -> Order:
    def order(case: Case, user: User, form: QueryDict, reader: Reader) -> str:
        call(case.pk, user, read_text(form, "note"))
        return said

    return order


@dataclass(frozen=True, slots=True)
class Act:
    """One order on a case. `leaves` says that the case has no more business on the screen afterwards."""

    order: Order
    leaves: bool = False


ACTS: dict[str, Act] = {
    "snooze": Act(_snooze, leaves=True),
    "escalate": Act(_escalate, leaves=True),
    "assign": Act(_assign),
    "note": Act(_note),
    "call_task": Act(_call_task),
    "promise": Act(_promise, leaves=True),
    "withdraw_promise": Act(_withdraw_promise),
    "dispute": Act(_dispute, leaves=True),
    "settle_dispute": Act(_settle_dispute),
    "already_paid": Act(
        _with_note(case_transitions.already_paid, "Nothing goes out for three days while the payment is looked for."), leaves=True
    ),
    "wrong_person": Act(_with_note(case_transitions.wrong_person, "Nothing more goes to this address."), leaves=True),
    "do_not_contact": Act(_with_note(case_transitions.do_not_contact, "This customer is not contacted any more."), leaves=True),
    "close": Act(_with_note(case_transitions.close, "The case is closed."), leaves=True),
    "tags": Act(_tags),
    "deadline": Act(_deadline),
}


@console_page
@require_POST
def act(request: ConsoleRequest, case_id: UUID, what: str) -> HttpResponse:
    """An order on a case: `what` is a key of ACTS."""
    reader, case = reader_of(request), _case(case_id)
    if case is None or what not in ACTS:
        return _refused(request, case, what, Refused("no_such_case", "This case or this order does not exist."))
    try:
        said = ACTS[what].order(case, request.user, request.POST, reader)
    except (Refused, OutsideError) as error:
        return _refused(request, case, what, error)
    return _done(request, case, said, onward=ACTS[what].leaves)


@console_page
@require_POST
def approve(request: ConsoleRequest, case_id: UUID) -> HttpResponse:
    """Approve the ticked proposals of a case, each bound to the revision and the facts that the page showed."""
    case = _case(case_id)
    chosen = list(dict.fromkeys(request.POST.getlist("proposal")))
    if case is None or not chosen:
        return _refused(request, case, "approve", Refused("nothing_chosen", "Nothing is ticked: choose what to approve."))
    approved: list[Proposal] = []
    refused: Refused | OutsideError | None = None
    for text in chosen:
        pk = _uuid(text)
        try:
            if pk is None or not Proposal.objects.filter(pk=pk, case=case).exists():
                raise Refused("no_such_proposal", "This proposal does not belong to the case.")
            approved.append(
                transitions.approve(
                    pk,
                    request.user,
                    content_hash=read_text(request.POST, f"content_hash:{text}"),
                    facts_hash=read_text(request.POST, f"facts_hash:{text}"),
                    note=read_text(request.POST, "note"),
                )
            )
        except (Refused, OutsideError) as error:
            refused = error
            break
    times = dict(Execution.objects.filter(proposal__in=approved).values_list("proposal_id", "not_before"))
    said = _approved_words(approved, times, reader_of(request)) if approved else ""
    if refused is not None:
        return _refused(request, case, "approve", refused, besides=said)
    return _done(request, case, said, onward="next" in request.POST, undo=_undo(times))


def _undo(times: Mapping[UUID, datetime]) -> dict[str, Any]:
    """What of it can be taken back, and for how many seconds all of it can: the page counts them down. `times`: when each proposal goes out."""
    if not times:
        return {}
    seconds = max(0, round((min(times.values()) - clock.now()).total_seconds()))
    return {"undo": [str(pk) for pk in times], "undo_seconds": seconds}


def _approved_words(approved: list[Proposal], times: Mapping[UUID, datetime], reader: Reader) -> str:
    """Those that go out at the same time in one breath, soonest first: `Message, comment in Chargebee: in 5 minutes.`"""
    said: dict[str, list[str]] = {}
    for one in sorted(approved, key=lambda one: (one.pk not in times, times.get(one.pk, clock.now()))):
        when = "waits for a second person" if one.status == "waiting_second" else _when(times.get(one.pk), reader)
        said.setdefault(when, []).append(words.action(one.action))
    return " ".join(["Approved.", *(f"{', '.join(titles)}: {when}." for when, titles in said.items())])


def _when(at: datetime | None, reader: Reader) -> str:
    """`goes out in 20 seconds`, `goes out on 30 Nov, 11:05`."""
    left = at - clock.now() if at is not None else timedelta(0)
    if left > timedelta(hours=1):
        return f"goes out on {reader.moment(at)}"
    if timedelta(seconds=1) < left < timedelta(minutes=1):
        return f"goes out in {round(left.total_seconds())} seconds"
    return f"goes out {reader.ago(at) or 'now'}"


@console_page
@require_POST
def reject(request: ConsoleRequest, case_id: UUID) -> HttpResponse:
    """Say no to the ticked proposals, with a reason; an instruction has the agent draft again."""
    case = _case(case_id)
    chosen = list(dict.fromkeys(pk for text in request.POST.getlist("proposal") if (pk := _uuid(text))))
    form, instruction = request.POST, read_text(request.POST, "instruction")
    try:
        if case is None or not chosen or Proposal.objects.filter(pk__in=chosen, case=case).count() != len(chosen):
            raise Refused("nothing_chosen", "Nothing is ticked: choose what to reject.")
        with transaction.atomic():  # all of it or nothing: half a plan rejected is worse than none
            for number, pk in enumerate(chosen):
                # One instruction makes one new run, however many drafts are turned down with it.
                asked = instruction if number == 0 else ""
                transitions.reject(
                    pk, request.user, reason_code=read_text(form, "reason_code"), note=read_text(form, "note"), instruction=asked
                )
    except (Refused, OutsideError) as error:
        return _refused(request, case, "reject", error)
    return _done(request, case, "Rejected; a new draft is being written." if instruction else "Rejected.", onward=not instruction)


@console_page
@require_POST
def undo(request: ConsoleRequest) -> HttpResponse:
    """Take approvals back while nothing has gone out. Of several, those that still can be: one that has gone out holds back no other."""
    undone: list[Proposal] = []
    late: list[tuple[str, Refused]] = []
    case: Case | None = None
    for text in request.POST.getlist("proposal"):
        pk = _uuid(text)
        found = Proposal.objects.select_related("case").filter(pk=pk).first() if pk else None
        try:
            if found is None:
                raise Refused("no_such_proposal", "This proposal does not exist.")
            case = found.case
            undone.append(transitions.undo(found.pk, request.user))
        except Refused as error:
            late.append((words.action(found.action) if found else "", error))
    if not undone:
        return _refused(request, case, "undo", late[0][1] if late else Refused("nothing_chosen", "There is nothing to undo."))
    said = "Taken back: it waits for a decision again."
    if late:
        for _, refused in late:
            _note_refused(request, case, "undo", refused)
        taken = ", ".join(words.action(one.action) for one in undone)
        said = " ".join([f"Taken back: {taken}.", *(f"{title}: {refused.sentence}" for title, refused in late)])
    return _done(request, case, said, stay_on=case)


@console_page
@require_POST
def edit(request: ConsoleRequest, proposal_id: UUID) -> HttpResponse:
    """Keep an edited text as a new revision on top of the one that was read."""
    proposal = Proposal.objects.select_related("case").filter(pk=proposal_id).first()
    base = read_text(request.POST, "base_revision")
    try:
        if proposal is None or not base.isdigit():
            raise Refused("no_such_proposal", "This proposal does not exist.")
        body = request.POST.get("body", "").replace("\r\n", "\n")
        revision = transitions.edit(
            proposal.pk, request.user, base_revision_id=int(base), subject=request.POST.get("subject", ""), body=body
        )
    except (Refused, OutsideError) as error:
        return _refused(request, proposal.case if proposal else None, "edit", error)
    blocking = [finding for finding in revision.findings if finding.get("severity") == "block"]
    said = "Your text is kept" + (
        ", but it may not be sent like this: see what is marked." if blocking else ". It needs an approval of its own."
    )
    return _done(request, proposal.case, said)


@console_page
@require_POST
def settle(request: ConsoleRequest, proposal_id: UUID) -> HttpResponse:
    """Say what became of a call whose answer was lost."""
    proposal = Proposal.objects.select_related("case").filter(pk=proposal_id).first()
    try:
        if proposal is None:
            raise Refused("no_such_proposal", "This proposal does not exist.")
        if read_text(request.POST, "happened") not in ("yes", "no"):
            raise Refused("no_answer", "Say whether it happened.")
        transitions.settle_unknown(
            proposal.pk, request.user, happened=read_text(request.POST, "happened") == "yes", note=read_text(request.POST, "note")
        )
    except (Refused, OutsideError) as error:
        return _refused(request, proposal.case if proposal else None, "settle", error)
    return _done(request, proposal.case, "Settled.")


# -- answering -------------------------------------------------------------------------------------------------------------------


def _case(case_id: UUID) -> Case | None:
    return Case.objects.filter(pk=case_id).first()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def case_address(case_id: UUID, asked: str) -> str:
    """The page of a case, with the question of the queue that it was opened from."""
    return reverse("console:case", args=[case_id]) + (f"?{asked}" if asked else "")


def _onward(request: ConsoleRequest, case: Case) -> str:
    """Where the work goes on: the next case of the same question, else the queue."""
    given = QueryDict(read_text(request.POST, "question"))
    asked = question(given)
    found = next_case(asked, request.user, reader_of(request), case)
    return case_address(found, asked.address()) if found else reverse("console:queue") + (f"?{asked.address()}" if asked.address() else "")


def _done(
    request: ConsoleRequest,
    case: Case | None,
    said: str,
    *,
    onward: bool = False,
    undo: dict[str, Any] | None = None,
    stay_on: Case | None = None,
) -> HttpResponse:
    here = stay_on or case
    asked = question(QueryDict(read_text(request.POST, "question"))).address()
    to = reverse("console:queue") if here is None else _onward(request, here) if onward else case_address(here.pk, asked)
    if wants_json(request):
        return JsonResponse({"ok": True, "said": said, "to": to, **(undo or {})})
    messages.success(request, said)
    return HttpResponseRedirect(to)


def _note_refused(request: ConsoleRequest, case: Case | None, what: str, error: Refused | OutsideError) -> None:
    if case is not None:
        with transaction.atomic():
            note_case("console.refused", case, person(request.user), {"order": what, "code": error.code})


_STALE = frozenset({"stale_revision", "stale_facts", "already_decided", "expired", "too_late", "same_person", "case_closed"})


def _refused(request: ConsoleRequest, case: Case | None, what: str, error: Refused | OutsideError, *, besides: str = "") -> HttpResponse:
    """Say why, keep the page, and note that it was tried."""
    _note_refused(request, case, what, error)
    said = f"{besides} {error.sentence}".strip()
    seen: dict[str, Any] = {
        "refused": error.code,
        **{key: read_text(request.POST, key) for key in ("seen_due", "seen_revision") if key in request.POST},
    }
    asked = question(QueryDict(read_text(request.POST, "question"))).address()
    to = reverse("console:queue") if case is None else case_address(case.pk, "&".join(part for part in (asked, urlencode(seen)) if part))
    status = 403 if error.code in ("not_allowed", "user_disabled") else 409
    if wants_json(request):
        return JsonResponse({"ok": False, "said": said, "code": error.code, "to": to, "look_again": error.code in _STALE}, status=status)
    messages.error(request, said)
    return HttpResponseRedirect(to)
