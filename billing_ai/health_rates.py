"""How fast it goes, for Prometheus: counters to take a rate of, and how long the newest items took. Each is one look along an index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from agents.models import AgentRun
from approvals.models import Decision, Execution, ExecutionAttempt
from audit.models import Entry
from billing_ai.inbox.models import Event

NEWEST = 200
"""Items that a latency is taken from."""
_RECENT = timedelta(minutes=15)
_QUANTILES = (0.5, 0.95, 0.99)


def rates_and_latencies(now: datetime) -> Iterator[Metric]:
    """The counters come from the newest row's number: rows are never deleted, and a number that was skipped makes no difference to a rate."""
    counted = CounterMetricFamily("billing_rows", "Rows ever made, by kind: take a rate of it", labels=["kind"])
    for kind, model in (
        ("events", Event),
        ("approvals", Decision),
        ("executions", Execution),
        ("calls", ExecutionAttempt),
        ("ledger", Entry),
    ):
        newest = model._default_manager.order_by("-pk").values_list("pk", flat=True).first()
        counted.add_metric([kind], float(newest or 0))
    yield counted
    took = GaugeMetricFamily(
        "billing_latency_seconds", f"What the newest {NEWEST} took that ended in the last 15 minutes", labels=["step", "quantile"]
    )
    for step, spans in _spans().items():
        seconds = sorted((end - start).total_seconds() for start, end in spans if end is not None and now - end <= _RECENT)
        for quantile in _QUANTILES if seconds else ():
            took.add_metric([step, str(quantile)], max(0.0, _at(seconds, quantile)))
    yield took


def _spans() -> dict[str, Sequence[tuple[datetime, datetime | None]]]:
    """(start, end) by step: from the webhook to its end, from the wish for a run to its end, from sending to the answer."""
    return {
        "event": list(Event.objects.filter(status=Event.DONE).order_by("-id").values_list("received_at", "finished_at")[:NEWEST]),
        "run": list(AgentRun.objects.order_by("-created_at").values_list("created_at", "finished_at")[:NEWEST]),
        "call": list(ExecutionAttempt.objects.order_by("-pk").values_list("started_at", "finished_at")[:NEWEST]),
    }


def _at(seconds: Sequence[float], quantile: float) -> float:
    return seconds[min(len(seconds) - 1, int(quantile * len(seconds)))]
