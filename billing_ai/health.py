"""Is it alive, is it ready, how far behind is it: for load balancers, for whoever starts it, and for Prometheus.

The figures are asked of the database at each scrape, so that they are the same whichever web process answers. The alert rules that use
them are in docs/reliability.md.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.models import AgentRun
from approvals import ways_out
from approvals.models import Execution, KillSwitch, Proposal
from audit.checkpoints import places
from audit.models import Checkpoint
from billing_ai.health_rates import rates_and_latencies
from billing_ai.inbox.models import Event
from billing_ai.kernel import clock
from billing_ai.work.models import Lane, Leased, Tick

COUNT_STOPS_AT = 10_000
"""A count says at most this: the millionth row must not make a scrape slow, and nobody acts differently on it."""


@require_safe
def alive(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers."""
    return JsonResponse({"alive": True})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when database, migrations and broker are there; 503 with what is not. Events are accepted without the broker all the same."""
    parts = {"database": _database(), "broker": _broker()}
    is_ready = all(state == "ok" for state in parts.values())
    return JsonResponse({"ready": is_ready, **parts}, status=200 if is_ready else 503)


def _database() -> str:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, ImproperlyConfigured) as error:
        return f"away: {type(error).__name__}"
    return "ok" if not pending else f"{len(pending)} migrations are missing: run manage.py migrate"


def _broker() -> str:
    if not settings.REDIS_URL:
        return "ok"
    import redis

    try:
        client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
        try:
            client.ping()
        finally:
            client.close()
    except redis.RedisError as error:
        return f"away: {type(error).__name__}"
    return "ok"


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The figures in Prometheus' text format; 401 or 403 for whoever may not see them, 503 without a database."""
    if not _may_scrape(request):
        refused = HttpResponse(status=401 if settings.METRICS_TOKEN else 403)
        if settings.METRICS_TOKEN:
            refused["WWW-Authenticate"] = "Bearer"
        return refused
    registry = CollectorRegistry(auto_describe=False)
    try:
        registry.register(_Figures())
        text = generate_latest(registry)
    except (DatabaseError, InterfaceError):
        return HttpResponse(status=503)
    return HttpResponse(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_scrape(request: HttpRequest) -> bool:
    """With a token set, only its bearer. Without one, only this machine, and not what a proxy on it passes on."""
    if settings.METRICS_TOKEN:
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


_Waiting = type[Event] | type[AgentRun] | type[Execution]
_QUEUES: dict[str, _Waiting] = {"events": Event, "runs": AgentRun, "executions": Execution}
_SINCE: dict[str, str] = {"events": "received_at", "runs": "created_at", "executions": "not_before"}
_STATUSES: dict[str, tuple[str, ...]] = {
    "events": (Leased.WAITING, Leased.LEASED, Leased.PARKED),
    "runs": (Leased.WAITING, Leased.LEASED, Leased.PARKED),
    "executions": (Leased.WAITING, Leased.LEASED, Leased.PARKED, Execution.EXECUTING, Execution.UNKNOWN, Execution.PERSON),
}


class _Figures(Collector):
    """What Prometheus reads. Nothing here names a customer, an invoice or an amount."""

    def collect(self) -> Iterator[Metric]:
        """Ask once; called by the registry at the scrape."""
        now = clock.now()
        oldest = GaugeMetricFamily(
            "billing_oldest_seconds", "Age of the oldest due, unsettled or parked item; 0 when there is none", labels=["queue", "state"]
        )
        items = GaugeMetricFamily("billing_items", f"Items by status, counted up to {COUNT_STOPS_AT}", labels=["queue", "status"])
        for queue, model in _QUEUES.items():
            oldest.add_metric([queue, "waiting"], _age(now, _oldest_due(model, now)))
            parked = model._default_manager.filter(status=Leased.PARKED).order_by(_SINCE[queue]).values_list(_SINCE[queue], flat=True)
            oldest.add_metric([queue, "parked"], _age(now, parked.first()))
            for status in _STATUSES[queue]:
                items.add_metric([queue, status], _count(model._default_manager.filter(status=status)))
        for state in (Execution.UNKNOWN, Execution.PERSON):
            unsettled = Execution.objects.filter(status=state).order_by("first_sent_at").values_list("first_sent_at", flat=True)
            oldest.add_metric(["executions", state], _age(now, unsettled.first()))
        undecided = Proposal.objects.filter(status__in=("waiting", "waiting_second"))
        oldest.add_metric(
            ["proposals", "waiting"], _age(now, undecided.order_by("created_at").values_list("created_at", flat=True).first())
        )
        items.add_metric(["proposals", "waiting"], _count(undecided))
        yield oldest
        yield items
        started = GaugeMetricFamily("billing_tick_started_seconds", "Time since a sweep last started", labels=["schedule"])
        finished = GaugeMetricFamily("billing_tick_finished_seconds", "Time since a sweep last ended", labels=["schedule"])
        ticks = list(Tick.objects.order_by("schedule"))
        for tick in ticks:
            if tick.started_at is not None:
                started.add_metric([tick.schedule], _age(now, tick.started_at))
            if tick.finished_at is not None:
                finished.add_metric([tick.schedule], _age(now, tick.finished_at))
        yield started
        yield finished
        overdue = GaugeMetricFamily(
            "billing_tick_overdue_seconds", "Time since a sweep should have started again; 0 in time", labels=["schedule"]
        )
        problems = GaugeMetricFamily("billing_tick_problems", "What a sweep's last run found that must not be", labels=["schedule"])
        for tick in ticks:
            overdue.add_metric([tick.schedule], tick.overdue(now).total_seconds())
            problems.add_metric([tick.schedule], float(tick.problems))
        yield overdue
        yield problems
        behind = GaugeMetricFamily("billing_audit_place_behind", "Checkpoints that a place outside does not hold yet", labels=["place"])
        failing = GaugeMetricFamily(
            "billing_audit_place_failing_seconds", "Time since a place outside could last be written to; 0 while it can", labels=["place"]
        )
        newest = Checkpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0
        for place in places():
            behind.add_metric([place.name], max(0, newest - place.last_number))
            failing.add_metric([place.name], _age(now, place.failing_since))
        yield behind
        yield failing
        outage = GaugeMetricFamily(
            "billing_outage_seconds", "Time since a system that we call could last be asked; 0 while it can", labels=["system"]
        )
        away = {one.system: one.since for one in ways_out.outages()}
        for system in ways_out.LABELS:
            outage.add_metric([system], _age(now, away.get(system)))
        yield outage
        yield from rates_and_latencies(now)
        switches = GaugeMetricFamily("billing_kill_switch_on", "1 while a kill switch stops something", labels=["scope"])
        for scope, is_on in KillSwitch.objects.order_by("scope").values_list("scope", "is_on"):
            switches.add_metric([scope], float(is_on))
        yield switches


def _oldest_due(model: _Waiting, now: datetime) -> datetime | None:
    """When the longest overdue item became due: one look into the index for each lane."""
    firsts = [
        model._default_manager.filter(status=Leased.WAITING, lane=lane, not_before__lte=now)
        .order_by("lane", "not_before")
        .values_list("not_before", flat=True)
        .first()
        for lane in Lane.values
    ]
    return min((moment for moment in firsts if moment is not None), default=None)


def _age(now: datetime, since: datetime | None) -> float:
    return max(0.0, (now - since).total_seconds()) if since is not None else 0.0


def _count(rows: QuerySet[Event] | QuerySet[AgentRun] | QuerySet[Execution] | QuerySet[Proposal]) -> int:
    return rows.order_by()[:COUNT_STOPS_AT].count()
