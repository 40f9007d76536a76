"""The figures of the page “Today”, asked of the database at most every twenty seconds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Max, Q, Sum

from agents.models import AgentRun, ModelSpend
from approvals.admin.queue_query import COUNT_STOPS_AT, capped_counts
from approvals.models import Case, Execution, Limit, Outcome, Phase, Proposal
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.work.models import Leased, Tick

_KEPT_SECONDS = 20
_KEY = "console:figures"
RUNS_SHOWN = 5_000
"""The newest runs that the table of agents is made from."""


@dataclass(slots=True)
class Figures:
    """What all readers see alike. Money is {currency: minor units}."""

    taken_at: datetime
    at_risk: dict[str, int] = field(default_factory=dict)
    open_cases: int = 0
    recovered: dict[str, int] = field(default_factory=dict)
    recovered_count: int = 0
    by_reason: dict[Any, dict[str, Any]] = field(default_factory=dict)
    by_attempt: dict[Any, dict[str, Any]] = field(default_factory=dict)
    by_step: dict[Any, dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    spend: list[tuple[Any, str, int, int, int]] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    oldest_event: datetime | None = None
    newest_event: datetime | None = None


def parked_queries() -> dict[str, Any]:
    """What waits for a person to replay, settle or drop it."""
    return {
        "event": Event.objects.filter(status=Leased.PARKED),
        "run": AgentRun.objects.filter(status=Leased.PARKED),
        "execution": Execution.objects.filter(status__in=(Leased.PARKED, Execution.PERSON, Execution.UNKNOWN)),
    }


def figures(month_start: datetime) -> Figures:
    """The present figures; `month_start` is the first instant of the reader's month."""
    key = f"{_KEY}:{month_start.isoformat()}"
    found = cache.get(key)
    if not isinstance(found, Figures):
        found = _ask(month_start)
        cache.set(key, found, _KEPT_SECONDS)
    return found


def _ask(month_start: datetime) -> Figures:
    now = clock.now()
    made = Figures(now)
    for row in (
        Case.objects.filter(status__in=Case.ACTIVE).values("currency").annotate(due=Sum("amount_due_minor"), cases=Count("pk")).order_by()
    ):
        made.at_risk[row["currency"]] = row["due"]
        made.open_cases += row["cases"]
    _recovered(made, month_start)
    newest = AgentRun.objects.filter(created_at__gte=now - timedelta(days=7)).order_by("-created_at").values("pk")[:RUNS_SHOWN]
    made.runs = [
        dict(row)
        for row in AgentRun.objects.filter(pk__in=newest)
        .values("agent")
        .annotate(
            total=Count("pk"),
            done=Count("pk", filter=Q(status="done")),
            skipped=Count("pk", filter=Q(status="skipped")),
            parked=Count("pk", filter=Q(status="parked")),
            waiting=Count("pk", filter=Q(status__in=("waiting", "leased"))),
            by_template=Count("pk", filter=Q(words_from="template")),
            newest=Max("created_at"),
        )
        .order_by("agent")
    ]
    made.spend = list(
        ModelSpend.objects.filter(day__gt=now.date() - timedelta(days=14))
        .values_list("day", "agent", "spent_micro_usd", "calls", "unknown_cost_calls")
        .order_by("day", "agent")
    )
    made.ticks = list(Tick.objects.order_by("schedule"))
    made.phases = list(Phase.objects.order_by("agent", "rank"))
    made.limits = list(Limit.objects.order_by("agent", "key"))
    waiting = {
        "events_waiting": Event.objects.filter(status__in=(Leased.WAITING, Leased.LEASED)),
        "runs_waiting": AgentRun.objects.filter(status__in=(Leased.WAITING, Leased.LEASED)),
        "executions_waiting": Execution.objects.filter(status__in=(Leased.WAITING, Leased.LEASED), not_before__lte=now),
        "observed": Proposal.objects.filter(status="observed"),
    }
    made.counts = capped_counts({**parked_queries(), **waiting}, cap=COUNT_STOPS_AT)
    oldest = (
        Event.objects.filter(status=Leased.WAITING, not_before__lte=now)
        .order_by("lane", "not_before")
        .values_list("received_at", flat=True)
    )
    made.oldest_event = oldest.first()
    made.newest_event = Event.objects.order_by("-id").values_list("received_at", flat=True).first()
    return made


def _recovered(made: Figures, month_start: datetime) -> None:
    def group() -> dict[str, Any]:
        return {"count": 0, "money": defaultdict(int)}

    rows = (
        Outcome.objects.filter(happened_at__gte=month_start, kind__in=("recovered", "part_recovered"))
        .values("currency", "case__category", "attempt_number", "credited_to")
        .annotate(money=Sum("recovered_minor"), count=Count("pk"))
        .order_by()
    )
    for row in rows:
        made.recovered[row["currency"]] = made.recovered.get(row["currency"], 0) + row["money"]
        made.recovered_count += row["count"]
        for table, key in (
            (made.by_reason, row["case__category"]),
            (made.by_attempt, row["attempt_number"]),
            (made.by_step, row["credited_to"]),
        ):
            place = table.setdefault(key, group())
            place["count"] += row["count"]
            place["money"][row["currency"]] += row["money"]
    for table in (made.by_reason, made.by_attempt, made.by_step):
        for place in table.values():
            place["money"] = dict(place["money"])
