"""What happened around one case, newest first: payments, messages, tickets, promises, Chargebee's events and our own steps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from approvals.actions import ACTIONS
from approvals.models import Case
from approvals.wording.words import category
from audit.models import Entry
from billing_ai.integrations import readers
from billing_ai.integrations.ports import Ticket
from billing_ai.kernel.errors import OutsideError
from billing_ai.signals.models import ExternalTicket

SHOWN = 100
HELPDESK_SECONDS = 2.0
"""How long a page waits for the help desk, beside its other calls; what comes later is on the customer's page."""
_ASKING = ThreadPoolExecutor(max_workers=8, thread_name_prefix="helpdesk")

QUIET_STEPS = ("run.finished",)
"""Entries that only say that the machinery ran: what came of it (a proposal, a block) has a line of its own."""
_PAYMENT_EVENTS = ("payment_succeeded", "payment_failed", "payment_initiated")
"""Told by the payment itself, with its reason."""
_LEDGER_WORDS = {
    "case.opened": "Case opened",
    "proposal.waiting": "Proposed",
    "proposal.blocked": "Blocked by a rule",
    "proposal.approved": "Approved",
    "proposal.approved_first": "Approved by a first person",
    "proposal.edited": "Edited",
    "proposal.rejected": "Rejected",
    "proposal.withdrawn": "Withdrawn",
    "proposal.undone": "Approval taken back",
    "execution.started": "Carried out",
    "execution.done": "Done",
    "execution.declined": "Declined",
    "execution.failed": "Failed",
    "execution.unknown": "Sent, answer lost",
    "execution.withdrawn": "Stopped at the second look",
    "execution.needs_person": "Needs a person",
    "outcome.recovered": "Money came in",
    "case.recovered": "Recovered",
    "case.closed": "Closed",
}


@dataclass(frozen=True, slots=True)
class TimelineItem:
    """One thing that happened: a payment, an attempt, a message, a ticket, a promise, an event, a decision. `href`: where it can be looked at."""

    at: datetime
    kind: str
    title: str
    detail: str = ""
    trace_id: str = ""
    href: str = ""


def ask_helpdesk(customer_id: str = "", *, address: str = "") -> Future[Sequence[Ticket]]:
    """Begin to ask for tickets about a customer, or for those that an address opened, beside what else the page waits for.

    They hold personal data: for whoever may read it.
    """
    return _ASKING.submit(readers.helpdesk().list_for_customer, customer_id, requester_address=address)


def answered(*asked: Future[Sequence[Ticket]]) -> tuple[Sequence[Ticket], str]:
    """The tickets of all these questions, each once; or, where one is not answered, what there is and why it is not all, in words."""
    found: dict[str, Ticket] = {}
    until, why = time.monotonic() + HELPDESK_SECONDS, ""
    for one in asked:
        try:
            found |= {ticket.ticket_id: ticket for ticket in one.result(timeout=max(0.0, until - time.monotonic()))}
        except Late:
            one.cancel()
            why = "The help desk did not answer in time: its tickets are on the customer's page."
        except OutsideError as error:
            why = f"The help desk could not be asked: {error.sentence}"
    return tuple(found.values()), why


def timeline(case: Case, found: Mapping[str, list[Any]], tickets: Sequence[Ticket]) -> tuple[TimelineItem, ...]:
    """Newest first, at most `SHOWN`. `found` are the rows of `review_rows.read`."""
    items = [
        TimelineItem(
            one.happened_at,
            "payment" if one.status == "success" else "failure",
            "Payment went through" if one.status == "success" else f"Payment failed: {category(one.decline_category or 'unknown').lower()}",
            f"{one.gateway} {one.decline_code}".strip(),
        )
        for one in found["payments"]
        if case.chargebee_invoice_id in one.invoice_ids
    ]
    items += [
        TimelineItem(one.at, "message", f"{'To' if one.direction == 'out' else 'From'} the customer by {one.channel}", one.kind)
        for one in found["contacts"]
    ]
    items += [TimelineItem(one.taken_at, "promise", f"Promise to pay by {one.due_on:%d %b}", one.status) for one in found["promises"]]
    items += [_ticket(one) for one in tickets if one.created_at is not None]
    items += [_told_ticket(one) for one in found["tickets"]]
    items += [_event(entry) for entry in found["events"] if entry.data.get("type") not in _PAYMENT_EVENTS]
    items += [_step(entry) for entry in found["steps"]]
    return tuple(sorted(items, key=lambda item: item.at, reverse=True)[:SHOWN])


def _ticket(one: Ticket) -> TimelineItem:
    assert one.created_at is not None
    detail = " · ".join(part for part in (one.subject, one.status, one.priority) if part)
    return TimelineItem(one.created_at, "ticket", f"Ticket {one.ticket_id}", detail, href=one.url)


def _told_ticket(one: ExternalTicket) -> TimelineItem:
    detail = " · ".join(part for part in (one.ticket_status, one.priority, one.tone) if part)
    return TimelineItem(one.opened_at, "ticket", f"Ticket {one.external_id} at {one.client}", detail, one.trace_id)


def _event(entry: Entry) -> TimelineItem:
    return TimelineItem(entry.at, "event", f"Chargebee: {_plain(str(entry.data.get('type', 'event')))}", trace_id=entry.trace_id)


def _step(entry: Entry) -> TimelineItem:
    action = ACTIONS.get(str(entry.data.get("action", "")))
    detail = " · ".join(part for part in (action.label if action else "", str(entry.data.get("reason", "")), entry.actor_label) if part)
    title = _LEDGER_WORDS.get(entry.kind) or _plain(entry.kind).capitalize()
    return TimelineItem(entry.at, "step", title, detail, entry.trace_id)


def _plain(key: str) -> str:
    return key.replace(".", " ").replace("_", " ")
