"""A text message from a customer: STOP opts out at once, START opts in again, HELP is answered through the door out."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from approvals import companions
from approvals.models import Case, Execution, Suppression
from approvals.policy import consent
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
        customers = _customers_at(mark)
        if asked_for == "help":
            for customer_id in customers:
                _answer_help(customer_id, message_id)
            return Taken(asked_for, len(customers))
        granted = asked_for == "opt_in"
        now = clock.now()
        for customer_id in customers:
            consent.record(customer_id, "sms", granted=granted, source="reply", at=now, trace_id=trace_id)
        _close_number(mark, granted, trace_id)
        return Taken(asked_for, len(customers))


def _customers_at(mark: str) -> list[str]:
    """The customers whom we have texted at this number."""
    texted = Execution.objects.filter(action__in=("send_message", "answer_help"), request__to_mark=mark)
    return sorted(set(texted.values_list("proposal__chargebee_customer_id", flat=True)))


def _close_number(mark: str, granted: bool, trace_id: str) -> None:
    rows = Suppression.objects.select_for_update(of=("self",)).filter(address_hash=mark, channel="sms", kind=consent.NUMBER_OPTED_OUT)
    row = rows.first()
    if granted:
        if row is None or not row.is_active:
            return
        row.is_active, row.reason = False, "opted in again by a reply"
    elif row is not None and row.is_active:
        return
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


def _answer_help(customer_id: str, message_id: str) -> None:
    """Order the help text for the case that we last wrote about; the same message orders it once."""
    case = Case.objects.filter(chargebee_customer_id=customer_id).order_by("-opened_at").first()
    if case is not None:
        reason = "the customer asked for help"
        companions.order(case, "answer_help", f"help:{message_id}"[:60], {"channel": "sms"}, ACTOR, None, reason, agent="person")
