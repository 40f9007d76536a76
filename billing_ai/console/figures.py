"""The figures of the page “Today”. What takes all cases to add up is kept in a row that a sweep renews; the rest is small and asked each time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from time import perf_counter
from typing import Any

from django.db.models import Case as When
from django.db.models import CharField, Count, Q, QuerySet, Sum, Value
from django.db.models import When as Then

from agents.churn.models import WatchFinding
from agents.models import AgentRun, ModelSpend
from approvals.admin.queue_query import AGEING, COUNT_STOPS_AT, capped_counts
from approvals.models import Case, DailyUse, Execution, Figures, KillSwitch, Limit, Outcome, Phase, Proposal
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.tables.one_statement import fetch
from billing_ai.work.models import Leased, Tick

RENEWED_EVERY = timedelta(seconds=20)
_TOO_OLD = timedelta(minutes=1)
"""No sweep has renewed them: then the page adds up by itself, as it has to where no worker runs."""
_WORTH_KEEPING = 200
"""Figures are kept this many times as long as they took to add up, a minute at most: a page then spends at most half a percent of the time on them."""
_ASKED_FOR = timedelta(days=1)
RUNS_SHOWN = 5_000
"""The newest runs that the table of agents is made from."""
ALERTS_SHOWN = 20
NO_DATE = "none"

Money = dict[str, int]
"""Minor units by currency."""


@dataclass(slots=True)
class Group:
    """What came in for one reason, one attempt or one kind of step."""

    count: int = 0
    money: Money = field(default_factory=dict)

    def add(self, count: int, currency: str, minor: int) -> None:
        """Take more in."""
        self.count += count
        self.money[currency] = self.money.get(currency, 0) + minor


@dataclass(frozen=True, slots=True)
class Known:
    """What all readers see alike."""

    taken_at: datetime
    at_risk: Money
    ageing: dict[str, Money]
    """By the keys of `AGEING`, and `none` for cases without a due date."""
    open_cases: int
    recovered: Money
    recovered_count: int
    by_reason: dict[str, Group]
    by_attempt: dict[str, Group]
    by_step: dict[str, Group]
    runs: list[dict[str, Any]]
    counts: dict[str, int]
    oldest_event: datetime | None
    newest_event: datetime | None


@dataclass(frozen=True, slots=True)
class Small:
    """Short tables, read as they are now, in one statement."""

    ticks: list[Tick]
    phases: list[Phase]
    limits: list[Limit]
    used: dict[tuple[str, str], int]
    """How much of a daily limit is used up today, by agent and key; of money the currency that has come furthest, since each has the whole limit."""
    spend: list[tuple[Any, str, int, int, int]]
    switches: list[KillSwitch]
    alerts: list[str]
    """What the watch over churn scores found last, in words: probabilities that do not come true, customers who no longer look as they did."""


def parked_queries() -> dict[str, Any]:
    """What waits for a person to replay, settle or drop it."""
    return {
        "event": Event.objects.filter(status=Leased.PARKED),
        "run": AgentRun.objects.filter(status=Leased.PARKED),
        "execution": Execution.objects.filter(status__in=(Leased.PARKED, Execution.PERSON, Execution.UNKNOWN)),
    }


def known(month_start: datetime) -> Known:
    """The figures of the reader whose month began at `month_start`: at most a minute old, and of few cases seconds."""
    now = clock.now()
    row = Figures.objects.filter(pk=month_start).first()
    if row is None or abs(now - row.taken_at) > _kept_for(row):
        return _read(_renewed(month_start, asked_at=now))
    if now - row.asked_at > timedelta(hours=1):
        Figures.objects.filter(pk=month_start).update(asked_at=now)
    return _read(row)


def renew() -> int:
    """Renew every row that somebody looked at lately, and forget the others. Returns how many."""
    Figures.objects.filter(asked_at__lt=clock.now() - _ASKED_FOR).delete()
    rows = list(Figures.objects.values_list("month_start", flat=True))
    for month_start in rows:
        _renewed(month_start)
    return len(rows)


def small() -> Small:
    """What changes rarely and is short."""
    now = clock.now()
    found = fetch(
        {
            "ticks": Tick.objects.order_by("schedule"),
            "phases": Phase.objects.order_by("agent", "rank"),
            "limits": Limit.objects.order_by("agent", "key"),
            "used": DailyUse.objects.filter(on=clock.utc_date(now)).values_list("agent", "key", "used"),
            "spend": ModelSpend.objects.filter(day__gt=now.date() - timedelta(days=14))
            .values_list("day", "agent", "spent_micro_usd", "calls", "unknown_cost_calls")
            .order_by("day", "agent"),
            "switches": KillSwitch.objects.all(),
            "alerts": WatchFinding.objects.filter(is_alert=True).order_by("kind", "name").values_list("words", flat=True)[:ALERTS_SHOWN],
            "people": KillSwitch.objects.filter(is_on=True).values_list("scope", "changed_by__first_name", "changed_by__last_name", "changed_by__username"),
        }
    )  # fmt: skip
    names = {scope: f"{first} {last}".strip() or username or "" for scope, first, last, username in found["people"]}
    for switch in found["switches"]:
        switch.turned_by = names.get(switch.scope, "")
    used: dict[tuple[str, str], int] = defaultdict(int)
    for agent, key, amount in found["used"]:
        limit = (agent, str(key).partition(".")[0])
        used[limit] = max(used[limit], amount)
    return Small(found["ticks"], found["phases"], found["limits"], dict(used), found["spend"], found["switches"], found["alerts"])


def _kept_for(row: Figures) -> timedelta:
    took: Any = row.figures.get("took_seconds", _TOO_OLD.total_seconds())
    return min(_TOO_OLD, timedelta(seconds=took * _WORTH_KEEPING))


def _renewed(month_start: datetime, **columns: Any) -> Figures:
    began = perf_counter()
    added = _added_up(month_start)
    row, _ = Figures.objects.update_or_create(
        pk=month_start,
        defaults={"figures": {**added, "took_seconds": round(perf_counter() - began, 4)}, "taken_at": clock.now(), **columns},
    )
    return row


def _read(row: Figures) -> Known:
    told: dict[str, Any] = row.figures

    def groups(name: str) -> dict[str, Group]:
        return {key: Group(one["count"], one["money"]) for key, one in told[name].items()}

    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(told[name]) if told[name] else None

    return Known(
        taken_at=row.taken_at,
        by_reason=groups("by_reason"),
        by_attempt=groups("by_attempt"),
        by_step=groups("by_step"),
        oldest_event=moment("oldest_event"),
        newest_event=moment("newest_event"),
        **{key: told[key] for key in ("at_risk", "ageing", "open_cases", "recovered", "recovered_count", "runs", "counts")},
    )


# -- adding up ---------------------------------------------------------------------------------------------------------------------


def _added_up(month_start: datetime) -> dict[str, Any]:
    now = clock.now()
    waiting: dict[str, QuerySet[Any]] = {
        "events_waiting": Event.objects.filter(status__in=(Leased.WAITING, Leased.LEASED)),
        "runs_waiting": AgentRun.objects.filter(status__in=(Leased.WAITING, Leased.LEASED)),
        "executions_waiting": Execution.objects.filter(status__in=(Leased.WAITING, Leased.LEASED), not_before__lte=now),
        "observed": Proposal.objects.filter(status="observed"),
    }
    oldest = Event.objects.filter(status=Leased.WAITING, not_before__lte=now).order_by("lane", "not_before").values_list("received_at", flat=True).first()  # fmt: skip
    newest = Event.objects.order_by("-id").values_list("received_at", flat=True).first()
    return {
        **_at_risk(clock.utc_date(now)),
        **_recovered(month_start),
        "runs": _runs(now),
        "counts": capped_counts({**parked_queries(), **waiting}, cap=COUNT_STOPS_AT),
        "oldest_event": oldest.isoformat() if oldest else "",
        "newest_event": newest.isoformat() if newest else "",
    }


def _at_risk(today: date) -> dict[str, Any]:
    """What is due on all open cases about an invoice, in all and by how long it has been due."""
    buckets = []
    for key, (_, first, last) in AGEING.items():
        where = Q(due_on__lte=today - timedelta(days=first)) if first is not None else Q(due_on__isnull=False)
        buckets.append(Then(where & (Q(due_on__gt=today - timedelta(days=last + 1)) if last is not None else Q()), then=Value(key)))
    age = When(*buckets, default=Value(NO_DATE), output_field=CharField())
    rows = Case.objects.filter(status__in=Case.ACTIVE).exclude(chargebee_invoice_id="").values("currency").annotate(age=age, due=Sum("amount_due_minor"), cases=Count("pk")).order_by()  # fmt: skip
    at_risk: Money = defaultdict(int)
    ageing: dict[str, Money] = defaultdict(dict)
    open_cases = 0
    for row in rows:
        at_risk[row["currency"]] += row["due"]
        ageing[row["age"]][row["currency"]] = row["due"]
        open_cases += row["cases"]
    return {"at_risk": dict(at_risk), "ageing": dict(ageing), "open_cases": open_cases}


def _recovered(month_start: datetime) -> dict[str, Any]:
    tables: dict[str, dict[str, Group]] = {"by_reason": {}, "by_attempt": {}, "by_step": {}}
    recovered, count = Group(), 0
    rows = (
        Outcome.objects.filter(happened_at__gte=month_start, kind__in=("recovered", "part_recovered"))
        .values("currency", "case__category", "attempt_number", "credited_to")
        .annotate(money=Sum("recovered_minor"), count=Count("pk"))
        .order_by()
    )
    for row in rows:
        count += row["count"]
        recovered.add(row["count"], row["currency"], row["money"])
        for name, key in (("by_reason", row["case__category"]), ("by_attempt", row["attempt_number"]), ("by_step", row["credited_to"])):
            tables[name].setdefault(str(key), Group()).add(row["count"], row["currency"], row["money"])
    as_rows = {name: {key: {"count": one.count, "money": one.money} for key, one in table.items()} for name, table in tables.items()}
    return {"recovered": recovered.money, "recovered_count": count, **as_rows}


def _runs(now: datetime) -> list[dict[str, Any]]:
    newest = AgentRun.objects.filter(created_at__gte=now - timedelta(days=7)).order_by("-created_at").values("pk")[:RUNS_SHOWN]
    rows = (
        AgentRun.objects.filter(pk__in=newest)
        .values("agent")
        .annotate(
            total=Count("pk"),
            done=Count("pk", filter=Q(status="done")),
            skipped=Count("pk", filter=Q(status="skipped")),
            parked=Count("pk", filter=Q(status="parked")),
            waiting=Count("pk", filter=Q(status__in=("waiting", "leased"))),
            by_template=Count("pk", filter=Q(words_from="template")),
        )
        .order_by("agent")
    )
    return [dict(row) for row in rows]
