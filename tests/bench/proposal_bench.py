"""From the event to the proposals, over and above what the model and Chargebee take: statements and CPU, behind 10 and 10,000 earlier events.

    [DATABASE_URL=postgres://…] python -m tests.bench.proposal_bench [--rounds 5] [--events 20]

In one process: store, route, run. Chargebee's answers are replayed at the network's edge, words come from the built-in writer. CPU that replaying
and writing take is left out; reading the answers (the SDK, narrowing) is left in. Statements are those that PostgreSQL was sent, without BEGIN and
COMMIT; the model's bookkeeping (calls, budget) is counted apart.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.measure import cpu_seconds, django, median, own_server, scratch_database, span, versions
from tests.bench.report import Row, section

BEHIND = (10, 10_000)


class _Apart:
    """CPU seconds and statements within some calls, to be taken off."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.statements = 0

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, counted."""
        from django.db import connection

        def counted(*arguments: Any, **more: Any) -> Any:
            before, asked = time.process_time(), len(connection.queries_log)
            try:
                return call(*arguments, **more)
            finally:
                self.seconds += time.process_time() - before
                self.statements += len([one for one in list(connection.queries_log)[asked:] if _counts(one["sql"])])

        return counted


def _counts(sql: str | None) -> bool:
    return sql is not None and sql not in ("BEGIN", "COMMIT", "ROLLBACK")


def fill(events: int) -> None:
    """Earlier events, all done, of as many customers."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO inbox_event (chargebee_event_id, event_type, occurred_at, received_at, source, api_version, found_by, chargebee_customer_id,"
            " resources, body_sha256, trace_id, status, lane, not_before, attempt, max_attempts, reason, finished_at)"
            " SELECT 'old_' || n || '_' || %s, 'payment_failed', now(), now(), '', 'v2', 'webhook', 'cus_' || n, '[]', '', md5(n::text), 'done', 2, now(), 1, 8, '', now()"
            " FROM generate_series(1, %s) n",
            [str(events), events],
        )
        cursor.execute("ANALYZE inbox_event")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20)
    options = parser.parse_args()
    with scratch_database("proposal") as url, TemporaryDirectory() as folder:
        os.environ.update(django(url, VAR_DIR=folder, CHARGEBEE_RATE_PER_MINUTE="100000000", LOG_LEVEL="ERROR", REDIS_URL=""))
        measure(Path(folder), url, options.rounds, options.events)


def measure(folder: Path, url: str, rounds: int, events: int) -> None:
    """With Django set up on the scratch database."""
    import django as framework

    framework.setup()
    from django.core.management import call_command
    from django.db import connection

    from approvals.policy.defaults import install_defaults
    from tests.bench import edge as edges

    call_command("migrate", verbosity=0)
    install_defaults()
    from billing_ai.work import wake

    wake._waker.wake = lambda task: None  # type: ignore[method-assign]
    edges.record(folder / "edge.json")
    edge = edges.Edge(folder / "edge.json")
    edge.install()
    from agents import runner
    from agents.platform.llm import gateway
    from billing_ai.integrations import http

    model, outside = _Apart(), _Apart()
    gateway.write_draft = model.around(gateway.write_draft)  # type: ignore[assignment]
    http.exchange = outside.around(http.exchange)  # type: ignore[assignment]
    runner.gateway = gateway  # type: ignore[attr-defined]
    backend = own_server()
    number, found, parts = 1, {}, {}
    for behind in BEHIND:
        fill(behind)
        found[behind], parts[behind] = [], set()
        for round_ in range(rounds + 1):
            # The first round counts statements; the log that it takes is CPU of its own, so the others go without.
            connection.force_debug_cursor = not round_
            model.seconds = outside.seconds = 0.0
            before, server = time.process_time(), cpu_seconds(backend)
            for _ in range(events):
                counted = _one(edge, number, model)
                if not round_:
                    parts[behind].add(counted)
                number += 1
            own = time.process_time() - before - model.seconds - outside.seconds
            if round_:
                found[behind].append((own + cpu_seconds(backend) - server) / events * 1000)
    _report(url, rounds, events, found, parts)


def _one(edge: Any, number: int, model: _Apart) -> tuple[int, int, int]:
    """One event, from the row to its proposals. Gives statements of routing, of running, and of the model's bookkeeping."""
    from django.db import connection, reset_queries

    from agents import runner
    from agents.models import AgentRun
    from approvals.models import Proposal
    from billing_ai.inbox import routing
    from tests.bench.edge import arrive

    arrive(edge, range(number, number + 1), "payment_failed", "ev_")
    model.statements = 0
    reset_queries()
    routing.process_due()
    routed = len([one for one in connection.queries_log if _counts(one["sql"])])
    AgentRun.objects.exclude(agent="dunning").filter(status="waiting").update(status="skipped")  # others that want this event too
    reset_queries()
    runner.run_due()
    ran = len([one for one in connection.queries_log if _counts(one["sql"])])
    if not Proposal.objects.filter(chargebee_customer_id=edge.customer_id(number)).exists():
        raise SystemExit(f"event {number} led to no proposal")
    return routed, ran - model.statements, model.statements


def _report(url: str, rounds: int, events: int, found: dict[int, list[float]], parts: dict[int, set[tuple[int, int, int]]]) -> None:
    few, many = BEHIND
    # The first of all reads the rules besides, which are kept from then on.
    usual = {behind: min(seen) for behind, seen in parts.items()}
    statements = {behind: routed + ran for behind, (routed, ran, _) in usual.items()}
    routed, ran, books = usual[many]
    same = statements[few] == statements[many]
    rows = [
        Row(
            "event → proposals, statements",
            f"{statements[many]} ({routed} routing, {ran} running; the model's bookkeeping {books} besides)",
            f"behind {few}: {statements[few]}",
            f"{statements[many] / statements[few]:.2f}",
            "≤ 12, the same behind 10 and 10,000",
            same and statements[many] <= 12,
        ),
        Row(
            "event → proposals, CPU",
            f"{span(found[many], 1)} ms",
            f"behind {few}: {span(found[few], 1)} ms",
            f"{median(found[many]) / median(found[few]):.2f}",
            "≤ 9 ms",
            median(found[many]) <= 9,
        ),
    ]
    notes = [
        "One failed payment leads to a case and three proposals (message, retry, comment), each with its revision, history, ledger entry and change for "
        "the API. CPU is that of the process and its PostgreSQL backend, without replaying Chargebee's answers and without writing the words; reading "
        "the answers and verifying the words are in it. Statements are the fewest seen in a round of their own: the rules are read once a minute by each thread, and that is not counted here.",
    ]
    section("proposal", "From event to proposal", rows, sizes=f"{versions(url)}; {rounds} rounds of {events} events", notes=notes)


if __name__ == "__main__":
    main()
