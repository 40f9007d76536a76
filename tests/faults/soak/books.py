"""Our books against what the outside saw. The outside is read over the simulator's own addresses and knows nothing of our tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agents.models import AgentRun
from approvals.models import Decision, Execution, Proposal
from audit.verify import verify
from billing_ai.facts.models import Invoice
from billing_ai.inbox.models import Event
from billing_ai.integrations.email.adapter import message_id
from billing_ai.integrations.hubspot.client import TASK_KEY_PROPERTY
from billing_ai.integrations.salesforce.client import TASK_KEY_FIELD
from billing_ai.kernel import clock
from tests.faults.rig import Rig

ALL = 1_000_000
_TRIED = frozenset((200, 400, 402))
"""The bank was asked: it paid, or it declined."""
_PAID = frozenset((200,))
_ENDED = frozenset({"done", "declined", "failed", "withdrawn"})
_MARKS: dict[str, Callable[[Execution], str]] = {
    "send_message": lambda held: held.idempotency_key if held.request.get("channel") == "sms" else message_id(held.idempotency_key),
    "collect_payment": lambda held: held.idempotency_key[:12],
    "add_comment": lambda held: held.idempotency_key[:12],
    **dict.fromkeys(("create_ticket", "alert", "crm_task", "call_task"), lambda held: held.idempotency_key),
}
"""What an effect bears outside, by which it is told from another. Actions that are not here set a state: once more changes nothing."""
_TASKS = {"salesforce": ("Task created", TASK_KEY_FIELD), "hubspot": ("tasks created", TASK_KEY_PROPERTY)}


@dataclass
class Books:
    """How much there was of each, and every breach with its ids. A breach of any kind fails the run."""

    figures: dict[str, int] = field(default_factory=dict)
    breaches: dict[str, list[str]] = field(default_factory=dict)
    parked: list[str] = field(default_factory=list)
    """The commonest reasons for which work was left to a person."""

    def expect_none(self, what: str, found: list[str]) -> None:
        """A line of the table whose figure must be 0."""
        self.breaches[what] = found


@dataclass
class Outside:
    """What was seen: how often each effect happened, by the mark that it bears there."""

    events: dict[str, str] = field(default_factory=dict)
    effects: dict[str, Counter[str]] = field(default_factory=dict)
    unmarked: list[str] = field(default_factory=list)
    paid_twice: list[str] = field(default_factory=list)
    invoices: dict[str, tuple[str, int]] = field(default_factory=dict)


def look(rig: Rig, since: int) -> Outside:
    """Everything since a moment in the site's time."""
    seen = Outside()
    for event in _all(rig, "Event", "event", {"occurred_at[after]": str(since)}):
        seen.events[event.id] = str(getattr(event.event_type, "value", event.event_type))
    seen.effects = effects_of(rig)
    for kind, marks in seen.effects.items():
        seen.unmarked += [f"{times} {kind} without a mark" for mark, times in marks.items() if not mark]
    paid: Counter[str] = Counter()
    for payment in _all(rig, "Transaction", "transaction", {}):
        if _text(payment.type) == "payment" and _text(payment.status) == "success":
            paid.update(link.invoice_id for link in payment.linked_invoices or [])
    for invoice in _all(rig, "Invoice", "invoice", {}):
        seen.invoices[invoice.id] = (_text(invoice.status), int(invoice.amount_due))
    seen.paid_twice = [invoice_id for invoice_id, times in paid.items() if times > 1]
    return seen


def effects_of(rig: Rig, charged: frozenset[int] = _TRIED) -> dict[str, Counter[str]]:
    """Kind → mark → how often it happened, as the simulator noted each call. `charged`: which answers of the bank count as a charge."""
    found: dict[str, Counter[str]] = {kind: Counter() for kind in ("charges", "comments", "mails", "texts", "tickets", "tasks")}

    def calls(channel: str, what: str) -> list[dict[str, Any]]:
        return list(rig.site.get("/control/calls", channel=channel, what=what, limit=ALL)["calls"])

    for call in calls("api", "invoice.collect_payment"):
        if call["http_status"] in charged:
            found["charges"][str(call["details"].get("comment", "")).partition("ref ")[2]] += 1
    for call in calls("api", "comment.create"):
        if call["http_status"] == 200:
            found["comments"][str(call["details"].get("notes", "")).partition("[billing-ai ")[2].rstrip("]")] += 1
    found["mails"].update(mail["message_id"] for mail in rig.site.get("/control/mail", limit=ALL)["mail"])
    found["texts"].update(call["details"]["key"] for call in calls("sms", "message received"))
    found["tickets"].update(call["details"]["external_id"] for call in calls("helpdesk", "ticket created"))
    for crm, (what, name) in _TASKS.items():
        found["tasks"].update(call["details"].get(name, "") for call in calls(crm, what))
    return found


def was_seen(rig: Rig, held: Execution) -> bool:
    """Whether the outside has this effect: what a person looks for who has to settle it."""
    mark = _MARKS[held.action](held) if held.action in _MARKS else None
    return any(mark in marks for marks in effects_of(rig, _PAID).values())


def compare(rig: Rig, seen: Outside) -> Books:
    """Hold our rows against it."""
    books = Books()
    rows = {row.chargebee_event_id: row for row in Event.objects.all()}
    books.figures["events sent by Chargebee"] = len(seen.events)
    books.expect_none("events lost", [event_id for event_id in seen.events if event_id not in rows])
    unfinished = [row for row in rows.values() if row.status not in ("done", "ignored") and not (row.status == "parked" and row.reason)]
    books.expect_none("events not finished", [f"{row.chargebee_event_id} {row.status}: {row.reason}" for row in unfinished])
    books.figures["runs"] = AgentRun.objects.count()
    for rows_of in (Event, AgentRun):
        parked = rows_of.objects.filter(status="parked")
        books.figures[f"parked for a person: {rows_of._meta.verbose_name_plural}"] = parked.count()
        books.parked += [f"{times:>8}  {reason[:110]}" for reason, times in Counter(parked.values_list("reason", flat=True)).most_common(5)]
    left = AgentRun.objects.filter(status__in=("waiting", "leased"), not_before__lte=clock.now())
    books.expect_none("runs not finished", [f"{run.agent} {run.subject_id}: {run.reason}" for run in left])

    effects = list(Execution.objects.select_related("proposal__current").all())
    known = {_MARKS[held.action](held): held for held in effects if held.action in _MARKS}
    outside: Counter[str] = Counter()
    for kind, marks in seen.effects.items():
        books.figures[f"{kind} seen outside"] = marks.total()
        outside += Counter({mark: times for mark, times in marks.items() if mark})
    books.figures["approvals"] = Decision.objects.filter(kind="approve").count()
    books.figures["effects decided by a look-up"] = sum(held.settled_by == "look-up" for held in effects)
    books.figures["effects decided by a person"] = sum(held.settled_by.startswith("person") for held in effects)
    books.expect_none("effects twice", [f"{mark}: {times} times" for mark, times in outside.items() if times > 1] + seen.paid_twice)
    strangers = [mark for mark in outside if mark not in known] + seen.unmarked
    books.expect_none("effects without approval", strangers + [mark for mark in outside if mark in known and not _approved(known[mark])])
    books.expect_none("effects that our books call otherwise", [*_misjudged(effects, outside)])
    books.expect_none("approvals without effect or reason", [*_unanswered(effects)])
    books.expect_none("beliefs about invoices that are wrong", _wrong_beliefs(seen))
    report = verify()
    books.figures["entries in the ledger"] = report.entries
    books.expect_none("faults of the chain", [finding.sentence for finding in report.findings])
    return books


def _approved(held: Execution) -> bool:
    revision = held.proposal.current
    if revision is None:
        return False
    given = held.proposal.decisions.filter(kind="approve", content_hash=revision.content_hash)
    by_policy = given.filter(by__isnull=True).exists()
    return by_policy or given.values("by").distinct().count() >= held.proposal.approvals_needed


def _misjudged(effects: list[Execution], outside: Counter[str]) -> list[str]:
    """Done and not there; there, and said to have failed, to be withdrawn or to be still to come."""
    found = []
    for held in effects:
        if held.action not in _MARKS:
            continue
        is_there = _MARKS[held.action](held) in outside
        said = held.status in ("done", "declined") if held.action != "collect_payment" or held.settled_by == "answer" else None
        if said is True and not is_there:
            found.append(f"{held.action} {held.pk} is {held.status}, settled by {held.settled_by}, and was not seen")
        if is_there and held.status in ("failed", "withdrawn", "waiting"):
            found.append(f"{held.action} {held.pk} is {held.status} ({held.reason}), and was seen")
    return found


def _unanswered(effects: list[Execution]) -> list[str]:
    found = []
    for held in effects:
        has_reason = bool(held.reason) or held.status in ("done", "declined")
        is_later = held.status == "waiting" and held.not_before > clock.now()
        waits_for_person = held.status in ("unknown", "person", "parked") and bool(held.reason)
        if not ((held.status in _ENDED and has_reason) or is_later or waits_for_person):
            found.append(f"{held.action} {held.pk} is {held.status}, due {held.not_before:%d %b %H:%M}, {held.reason or 'no reason'}")
    for proposal in Proposal.objects.filter(status__in=("approved", "executing"), execution__isnull=True):
        found.append(f"{proposal.action} {proposal.pk} is {proposal.status} and has no effect")
    return found


def _wrong_beliefs(seen: Outside) -> list[str]:
    """Invoices of open cases: what we hold against what the site says."""
    found = []
    for invoice in Invoice.objects.filter(pk__in=Proposal.objects.values("chargebee_invoice_id")):
        there = seen.invoices.get(invoice.pk)
        if there is not None and there != (invoice.status, invoice.amount_due_minor):
            found.append(f"{invoice.pk}: we believe {invoice.status} {invoice.amount_due_minor}, it is {there[0]} {there[1]}")
    return found


def _all(rig: Rig, resource: str, name: str, filters: dict[str, str]) -> list[Any]:
    found: list[Any] = []
    offset: str | None = None
    while True:
        page = getattr(rig.site.client(), resource).list({"limit": 100, **filters, **({"offset": offset} if offset else {})})
        found += [getattr(entry, name) for entry in page.list]
        offset = page.next_offset
        if not offset:
            return found


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))
