"""Our books against what the outside saw. The outside is read over the simulator's own addresses and knows nothing of our tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from agents.models import AgentRun
from approvals.models import Decision, Execution, Proposal
from audit.verify import verify
from billing_ai.facts.models import Invoice
from billing_ai.inbox.models import Event
from billing_ai.integrations.email.adapter import message_id
from billing_ai.kernel import clock
from tests.faults.rig import Rig

ALL = 1_000_000
_TRIED = (200, 400, 402)
"""The bank was asked: it paid, or it declined."""
_ENDED = frozenset({"done", "declined", "failed", "withdrawn"})
_MARKED = ("send_message", "collect_payment", "add_comment")
"""What bears a mark outside by which one effect is told from another. The others set a state: once more changes nothing."""


@dataclass
class Books:
    """How much there was of each, and every breach with its ids. A breach of any kind fails the run."""

    figures: dict[str, int] = field(default_factory=dict)
    breaches: dict[str, list[str]] = field(default_factory=dict)

    def expect_none(self, what: str, found: list[str]) -> None:
        """A line of the table whose figure must be 0."""
        self.breaches[what] = found


@dataclass
class Outside:
    """What was seen: how often each effect happened, by the mark that it bears there."""

    events: dict[str, str] = field(default_factory=dict)
    charges: Counter[str] = field(default_factory=Counter)
    comments: Counter[str] = field(default_factory=Counter)
    mails: Counter[str] = field(default_factory=Counter)
    unmarked: list[str] = field(default_factory=list)
    paid_twice: list[str] = field(default_factory=list)
    invoices: dict[str, tuple[str, int]] = field(default_factory=dict)


def look(rig: Rig, since: int) -> Outside:
    """Everything since a moment in the site's time."""
    seen = Outside()
    for event in _all(rig, "Event", "event", {"occurred_at[after]": str(since)}):
        seen.events[event.id] = str(getattr(event.event_type, "value", event.event_type))
    for call in rig.site.get("/control/calls", channel="api", limit=ALL)["calls"]:
        details = call["details"]
        if call["what"] == "invoice.collect_payment" and call["http_status"] in _TRIED:
            _count(seen, seen.charges, str(details.get("comment", "")).partition("ref ")[2], f"charge of {call['subject']}")
        elif call["what"] == "comment.create" and call["http_status"] == 200:
            _count(seen, seen.comments, str(details.get("notes", "")).partition("[billing-ai ")[2].rstrip("]"), f"comment {details}")
    for mail in rig.site.get("/control/mail", limit=ALL)["mail"]:
        seen.mails[mail["message_id"]] += 1
    paid: Counter[str] = Counter()
    for payment in _all(rig, "Transaction", "transaction", {}):
        if _text(payment.type) == "payment" and _text(payment.status) == "success":
            paid.update(link.invoice_id for link in payment.linked_invoices or [])
    for invoice in _all(rig, "Invoice", "invoice", {}):
        seen.invoices[invoice.id] = (_text(invoice.status), int(invoice.amount_due))
    seen.paid_twice = [invoice_id for invoice_id, times in paid.items() if times > 1]
    return seen


def compare(rig: Rig, seen: Outside) -> Books:
    """Hold our rows against it."""
    books = Books()
    rows = {row.chargebee_event_id: row for row in Event.objects.all()}
    books.figures["events sent by Chargebee"] = len(seen.events)
    books.expect_none("events lost", [event_id for event_id in seen.events if event_id not in rows])
    unfinished = [row for row in rows.values() if row.status not in ("done", "ignored") and not (row.status == "parked" and row.reason)]
    books.expect_none("events not finished", [f"{row.chargebee_event_id} {row.status}: {row.reason}" for row in unfinished])
    books.figures["runs"] = AgentRun.objects.count()
    left = AgentRun.objects.filter(status__in=("waiting", "leased"), not_before__lte=clock.now())
    books.expect_none("runs not finished", [f"{run.agent} {run.subject_id}: {run.reason}" for run in left])

    effects = list(Execution.objects.select_related("proposal__current").all())
    known: dict[str, Execution] = {}
    for held in effects:
        known[held.idempotency_key[:12]] = held
        known[message_id(held.idempotency_key)] = held
    outside = {**seen.charges, **seen.comments, **seen.mails}
    books.figures["charges, comments and mails seen outside"] = sum(outside.values())
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


def _misjudged(effects: list[Execution], outside: dict[str, int]) -> list[str]:
    """Done and not there; there, and said to have failed, to be withdrawn or to be still to come."""
    found = []
    for held in effects:
        mark = message_id(held.idempotency_key) if held.action == "send_message" else held.idempotency_key[:12]
        if held.action not in _MARKED or held.request.get("channel") == "sms":
            continue
        was_seen = mark in outside
        said = held.status in ("done", "declined") if held.action != "collect_payment" or held.settled_by == "answer" else None
        if said is True and not was_seen:
            found.append(f"{held.action} {held.pk} is {held.status}, settled by {held.settled_by}, and was not seen")
        if was_seen and held.status in ("failed", "withdrawn", "waiting"):
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


def _count(seen: Outside, marks: Counter[str], mark: str, what: str) -> None:
    if mark:
        marks[mark] += 1
    else:
        seen.unmarked.append(what)


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
