"""Starting runs: one waiting run per agent and subject; news that comes while one waits is folded into it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from agents.models import AgentRun
from agents.registry import AGENTS
from approvals.models import Proposal
from approvals.signals import redraft_wanted
from billing_ai.kernel import clock, ids
from billing_ai.signals.heard import heard
from billing_ai.tables.one_write import Insert, write
from billing_ai.work.models import Lane
from billing_ai.work.wake import wake

_AT_ONCE = 500
GATHER_NEWS_FOR = timedelta(seconds=2)
"""How long a run on what other systems tell waits for more of it: usage comes in batches, and one look at the end is enough."""


def start_for_event(event_type: str, event_id: str, trace_id: str, customer_id: str, invoice_ids: tuple[str, ...]) -> int:
    """A run for each agent that wants this event, on each subject it names. Returns how many were asked for."""
    return _start(rows_for_event(event_type, event_id, trace_id, customer_id, invoice_ids))


def rows_for_event(event_type: str, event_id: str, trace_id: str, customer_id: str, invoice_ids: tuple[str, ...]) -> list[AgentRun]:
    """The runs of `start_for_event`, for a caller that writes them (`beginning`) together with other rows."""
    return [
        AgentRun(
            agent=name,
            subject_kind=subject.kind,
            subject_id=subject.id,
            cause=event_id,
            cause_type=event_type,
            chargebee_customer_id=customer_id,
            trace_id=trace_id,
            lane=Lane.NEWS,
        )
        for name, agent in AGENTS.items()
        if event_type in agent.events
        for subject in agent.subjects(event_type, customer_id, invoice_ids)
    ]


def beginning(rows: Sequence[AgentRun]) -> Insert:
    """The write that starts these runs, and a wake-up once it is committed. Where one waits for the same subject, that one takes the news along."""
    if rows:
        wake("agents.tick")
    return Insert(rows, passes_over=True)


def start_for_news(sender: Any, customer_ids: Iterable[str], kind: str, **_: Any) -> None:
    """Another system told us something of these customers: a run for each agent that wants `heard.<kind>`. News that comes in a burst is
    looked at once, a moment later."""
    event_type = f"heard.{kind}"
    wanting = [(name, agent) for name, agent in AGENTS.items() if event_type in agent.events]
    _start(
        [
            AgentRun(
                agent=name,
                subject_kind=subject.kind,
                subject_id=subject.id,
                cause=f"{event_type}:{ids.new_id()}",
                cause_type=event_type,
                chargebee_customer_id=customer_id,
                lane=Lane.BATCH,
                not_before=clock.now() + GATHER_NEWS_FOR,
            )
            for customer_id in sorted(customer_ids)
            for name, agent in wanting
            for subject in agent.subjects(event_type, customer_id, ())
        ]
    )


def start_due(now: Any) -> int:
    """Runs for what is due by the calendar."""
    rows = [
        AgentRun(
            agent=name,
            subject_kind=subject.kind,
            subject_id=subject.id,
            cause=cause,
            cause_type="schedule",
            chargebee_customer_id=customer_id,
            trace_id=ids.new_trace_id(),
            lane=Lane.BATCH,
        )
        for name, agent in AGENTS.items()
        for subject, customer_id, cause in agent.due(now)
    ]
    return _start(rows)


def start_redraft(sender: type[Proposal], proposal: Proposal, instruction: str, **_: Any) -> None:
    """A person has rejected a draft and said what should be different."""
    _start(
        [
            AgentRun(
                agent=proposal.agent,
                subject_kind="invoice" if proposal.chargebee_invoice_id else "customer",
                subject_id=proposal.chargebee_invoice_id or proposal.chargebee_customer_id,
                cause=f"redraft:{proposal.pk}",
                cause_type="redraft",
                instruction=instruction,
                chargebee_customer_id=proposal.chargebee_customer_id,
                trace_id=proposal.trace_id,
                lane=Lane.PERSON,
            )
        ]
        if proposal.agent in AGENTS
        else []
    )


def erase(customer_id: str) -> None:
    """Blank what a person asked for about this customer, and why one let a run go on: it may name them. Called when the customer is erased."""
    runs = AgentRun.objects.filter(chargebee_customer_id=customer_id)
    runs.exclude(instruction="").update(instruction="erased")
    runs.exclude(reason="").update(reason="erased")


def drop_instructions(customer_ids: Collection[str], before: datetime) -> None:
    """Blank what a person asked for about these customers in runs that ended before that time. Called when words are kept no longer."""
    ended = AgentRun.objects.filter(chargebee_customer_id__in=customer_ids, created_at__lt=before, finished_at__lt=before)
    ended.exclude(instruction="").update(instruction="kept no longer")


def _start(rows: list[AgentRun]) -> int:
    # No savepoint inside the caller's transaction: nothing here is caught.
    with transaction.atomic(savepoint=False):
        for start in range(0, len(rows), _AT_ONCE):
            write(beginning(rows[start : start + _AT_ONCE]))
    return len(rows)


heard.connect(start_for_news, dispatch_uid="agents.news")
redraft_wanted.connect(start_redraft, dispatch_uid="agents.redraft")
