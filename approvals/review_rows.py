"""Every row that the review page of one case rests on, read by one statement."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from approvals.models import Case, Contact, DailyUse, Decision, Execution, KillSwitch, Note, Proposal, Revision
from approvals.policy import case_view, rules
from approvals.timeline import QUIET_STEPS
from audit.models import CustomerKey, Entry
from billing_ai.facts import queries
from billing_ai.facts.models import Customer, Invoice
from billing_ai.kernel import clock
from billing_ai.signals.models import ExternalTicket
from billing_ai.tables.one_statement import fetch

_NOTES = 50
_STEPS = 100
_EVENTS = 30
_TICKETS = 20


def read(case: Case, *, now: datetime, also: Mapping[str, QuerySet[Any, Any]] | None = None) -> dict[str, list[Any]]:
    """The rows by name, those of `also` among them. People are put where they belong: `revision.author`, `decision.by`, `note.author`."""
    found = fetch({**_questions(case, now), **(also or {})})
    people = {user.pk: user for user in found["people"]}
    revisions = {revision.pk: revision for revision in found["revisions"]}
    proposals = {proposal.pk: proposal for proposal in found["proposals"]}
    for revision in found["revisions"]:
        revision.proposal = proposals[revision.proposal_id]
        revision.author = people.get(revision.author_id)
    for decision in found["decisions"]:
        decision.by = people.get(decision.by_id)
    for note in found["notes"]:
        note.author = people[note.author_id]
    for effect in found["effects"]:
        proposals[effect.proposal_id].execution = effect
    for proposal in found["proposals"]:
        proposal.case = case
        if proposal.current_id is not None:
            proposal.current = revisions[proposal.current_id]
    return found


def _questions(case: Case, now: datetime) -> dict[str, QuerySet[Any, Any]]:
    proposals = Proposal.objects.filter(case=case)
    revisions = Revision.objects.filter(proposal__in=proposals.values("pk"))
    decisions = Decision.objects.filter(proposal__in=proposals.values("pk"), kind="approve")
    notes = Note.objects.filter(case=case)
    wrote = Q(pk__in=revisions.values("author")) | Q(pk__in=decisions.values("by")) | Q(pk__in=notes.values("author"))
    of_gate = case_view.questions(case.chargebee_customer_id, case_view.since(now))
    return {
        "proposals": proposals.order_by("created_at"),
        "revisions": revisions.order_by("number"),
        "decisions": decisions.order_by("at"),
        "effects": Execution.objects.filter(proposal__in=proposals.values("pk")),
        "people": User.objects.filter(wrote),
        "notes": notes.order_by("-written_at")[:_NOTES],
        "contacts": Contact.objects.filter(case=case).defer("sealed_text").order_by("-at")[:50],
        "promises": case.promises.order_by("-taken_at")[:20],
        "tickets": _of_customer(
            ExternalTicket.objects.filter(status=ExternalTicket.DONE).defer("sealed_subject").order_by("-opened_at"), case
        )[:_TICKETS],
        "events": _of_customer(Entry.objects.filter(kind="event.routed").only("at", "trace_id", "data").order_by("-id"), case)[:_EVENTS],
        "steps": Entry.objects.filter(case_id=case.pk)
        .exclude(kind__in=QUIET_STEPS)
        .only("at", "kind", "actor_label", "trace_id", "data")
        .order_by("-id")[:_STEPS],
        "key": CustomerKey.objects.filter(pk=case.chargebee_customer_id),
        "invoice": Invoice.objects.filter(pk=case.chargebee_invoice_id),
        "about": Customer.objects.filter(pk=case.chargebee_customer_id),
        **queries.questions(case.chargebee_customer_id),
        "switches": KillSwitch.objects.filter(is_on=True),
        "rules": rules.look(),
        "used": DailyUse.objects.filter(on=clock.utc_date(now)).values_list("agent", "key", "used"),
        **{f"gate_{name}": rows for name, rows in of_gate.items()},
    }


def _of_customer(rows: QuerySet[Any, Any], case: Case) -> QuerySet[Any, Any]:
    """Of the case's customer; none where it is about many customers at once."""
    return rows.filter(chargebee_customer_id=case.chargebee_customer_id) if case.chargebee_customer_id else rows.none()
