"""A text message from a customer: STOP opts out at once and is confirmed once, START opts in again, HELP is answered. All through the door out."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction

from approvals import companions, states
from approvals.actions.answer_help import CONFIRM_STOP, HELP
from approvals.models import Case, Execution, Suppression
from approvals.policy import consent
from approvals.policy.subject import ORDERED_BY_PERSON
from audit import ledger
from audit.actor import acting, system
from billing_ai.kernel import clock, ids

ACTOR = system("reply")


@dataclass(frozen=True, slots=True)
class Taken:
    """What the message asked for (opt_out, opt_in, help or nothing of these) and how many customers it was about."""

    asked_for: str
    customers: int


def take_text(number: str, body: str, message_id: str) -> Taken:
    """Act on one message. Safe to repeat. The number itself is not kept: only its keyed mark, as when we wrote to it.

    An opt-out closes the number for every customer who has it, also one to whom nothing was ever sent.
    """
    asked_for = consent.asks_for(body)
    mark = consent.address_mark("sms", number)
    if not mark or not asked_for:
        return Taken(asked_for, 0)
    trace_id = ids.new_trace_id()
    with acting(ACTOR, trace_id), transaction.atomic():
        # Locked in one order, so that of two messages at once the second sees what the first has done.
        cases = [states.lock_case(pk) for pk in _newest_cases(_customers_at(mark))]
        if asked_for == "help":
            _answer(cases, HELP.key, message_id, mark)
            return Taken(asked_for, len(cases))
        granted = asked_for == "opt_in"
        now = clock.now()
        for case in cases:
            consent.record(case.chargebee_customer_id, "sms", granted=granted, source="reply", at=now, trace_id=trace_id)
        if _close_number(mark, granted, trace_id) and not granted:
            _answer(cases, CONFIRM_STOP.key, message_id, mark)
        return Taken(asked_for, len(cases))


def _customers_at(mark: str) -> list[str]:
    """The customers whom we have texted at this number."""
    texted = Execution.objects.filter(to_mark=mark)
    return sorted(set(texted.values_list("proposal__chargebee_customer_id", flat=True)))


def _newest_cases(customer_ids: list[str]) -> list[UUID]:
    """The newest case of each customer, in the order in which they are locked."""
    newest = Case.objects.filter(chargebee_customer_id__in=customer_ids).order_by("chargebee_customer_id", "-opened_at", "-pk")
    found: dict[str, UUID] = {}
    for customer_id, pk in newest.values_list("chargebee_customer_id", "pk"):
        found.setdefault(customer_id, pk)
    return sorted(found.values())


def _close_number(mark: str, granted: bool, trace_id: str) -> bool:
    """Close the number, or open it again. False when it was so already."""
    rows = Suppression.objects.select_for_update(of=("self",)).filter(address_hash=mark, channel="sms", kind=consent.NUMBER_OPTED_OUT)
    row = rows.first()
    if granted:
        if row is None or not row.is_active:
            return False
        row.is_active, row.reason = False, "opted in again by a reply"
    elif row is not None and row.is_active:
        return False
    else:
        row = row or Suppression(address_hash=mark, channel="sms", kind=consent.NUMBER_OPTED_OUT)
        row.is_active, row.reason, row.added_at = True, "opted out by a reply", clock.now()
    row.save()
    ledger.append(
        "suppression.lifted" if granted else "suppression.added",
        actor=ACTOR,
        trace_id=trace_id,
        subject=("address", mark[:12]),
        data={"kind": row.kind, "channel": "sms"},
    )
    return True


def _answer(cases: list[Case], action: str, message_id: str, mark: str) -> None:
    """Order one answer, about the case that we last wrote about, however many customers share the number; the same message orders it once."""
    if not cases or settings.SMS_KEYWORDS == "provider":
        return
    case = max(cases, key=lambda one: (one.opened_at, str(one.pk)))
    reason = "the customer asked for help" if action == HELP.key else "the customer opted out"
    payload: dict[str, object] = {"channel": "sms", "mark": mark}
    companions.order(case, action, f"reply:{message_id}"[:60], payload, ACTOR, None, reason, agent=ORDERED_BY_PERSON)
