"""Claim, drain and append with many rows behind, against few: two databases, asked in turns.

    [DATABASE_URL=postgres://…] python -m tests.bench.growth_bench [--behind 10000 10000000] [--rounds 5] [--events 600]

The rows behind are made once by generate_series: events that are done, and ledger entries of 64 long chains. Each database has a process of its own,
so that connections, plans and caches stay; rounds alternate. CPU is that of the process plus its PostgreSQL backend, to the nanosecond where the
kernel says (a clock tick of 10 ms is as long as the drain of a thousand events).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.measure import cpu_seconds, django, median, own_server, scratch_database, span, versions
from tests.bench.report import Row, section

ROOT = Path(__file__).resolve().parents[2]
_COLUMNS = (
    "chargebee_event_id, event_type, occurred_at, received_at, source, api_version, found_by, chargebee_customer_id, resources, body_sha256, trace_id,"
    " status, lane, not_before, attempt, max_attempts, reason"
)
_STEP = 500_000


def fill(url: str, rows: int) -> None:
    """Events and ledger entries that are behind, in portions so that no transaction grows without bound. Indexes are made when all is there."""
    import psycopg

    from tests.bench.ledger_bench import old_entries

    with psycopg.connect(url, autocommit=True) as server, _indexes_later(server, "inbox_event", "audit_entry"):
        server.execute("SET synchronous_commit = off")
        for start in range(0, rows, _STEP):
            end = min(rows, start + _STEP) - 1
            server.execute(
                f"INSERT INTO inbox_event ({_COLUMNS}, finished_at) SELECT 'old_' || n, 'payment_failed', now() - n * interval '1 second', now(), '', 'v2',"
                " 'webhook', 'cus_' || n % 50000, '[]', repeat('0', 64), md5(n::text), 'done', 2, now() - n * interval '1 second', 1, 8, '', now()"
                f" FROM generate_series({start}, {end}) n"
            )
            server.execute(old_entries("audit_entry", start, end))
            print(f"{end + 1} of {rows}", flush=True)
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("VACUUM ANALYZE inbox_event")
        server.execute("VACUUM ANALYZE audit_entry")
        server.execute("CHECKPOINT")


@contextlib.contextmanager
def _indexes_later(server: Any, *tables: str) -> Iterator[None]:
    """Without the indexes and unique constraints of these tables (their keys stay) until the end, when they are made anew as they were."""
    again = []
    for table in tables:
        uniques = server.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'u'", [table]
        ).fetchall()
        for name, definition in uniques:
            server.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            again.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
        indexes = server.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass AND NOT indisprimary",
            [table],
        ).fetchall()
        for name, definition in indexes:
            server.execute(f"DROP INDEX {name}")
            again.append(definition)
    yield
    server.execute("SET maintenance_work_mem = '512MB'")
    for statement in again:
        server.execute(statement)


def _server_seconds(backend: int) -> float:
    """CPU of a PostgreSQL backend, which is one thread."""
    try:
        return int(Path(f"/proc/{backend}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, IndexError):
        return cpu_seconds(backend)


def child() -> None:
    """Do what standard input asks, line by line, and answer with CPU milliseconds an operation."""
    import django as framework

    framework.setup()
    backend = own_server()
    for line in sys.stdin:
        what, text = line.split()
        count = int(text)
        work = {"claim": _claim, "drain": _drain, "append": _append}[what](count)
        before, server = time.process_time(), _server_seconds(backend)
        work()
        used = time.process_time() - before + _server_seconds(backend) - server
        sys.stdout.write(f"{used / count * 1000}\n")
        sys.stdout.flush()


def _arrive(count: int, event_type: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO inbox_event ({_COLUMNS}) SELECT 'new_' || gen_random_uuid(), %s, now(), now(), '', 'v2', 'webhook', 'cus_' || n, '[]', '', md5(n::text),"
            " 'waiting', 2, now() - interval '1 hour', 0, 8, '' FROM generate_series(1, %s) n",
            [event_type, count],
        )


def _claim(count: int) -> Any:
    from billing_ai.inbox.models import Event
    from billing_ai.inbox.routing import LEASE
    from billing_ai.work import claims

    _arrive(count, "payment_failed")

    def work() -> None:
        done = 0
        while rows := claims.claim(Event, 20, LEASE):
            for row in rows:
                done += claims.complete(row)
        if done != count:
            raise SystemExit(f"{done} of {count} were claimed")

    return work


def _drain(count: int) -> Any:
    from billing_ai.inbox import routing

    _arrive(count, "quote_created")

    def work() -> None:
        done = 0
        while ended := routing.pass_over():
            done += ended
        if done != count:
            raise SystemExit(f"{done} of {count} were ended")

    return work


def _append(count: int) -> Any:
    from django.db import transaction

    from audit import ledger
    from audit.actor import system
    from tests.bench.ledger_bench import about

    def work() -> None:
        for n in range(count):
            with transaction.atomic():
                ledger.append("proposal.approved", actor=system("bench"), trace_id="b" * 32, **about(n))

    return work


class Child:
    """The process of one database."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.growth_bench", "--child"],
            cwd=ROOT, env=django(url, LOG_LEVEL="ERROR"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, what: str, count: int) -> float:
        """CPU milliseconds an operation."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what} {count}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        """Let it end."""
        self.process.communicate()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--behind", type=int, nargs=2, default=[10_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=600)
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()
    if options.child:
        child()
        return
    found: dict[tuple[str, int], list[float]] = {}
    kinds = {"claim": options.events, "drain": options.events * 20, "append": options.events}
    with contextlib.ExitStack() as stack:
        children = {}
        for rows in options.behind:
            url = stack.enter_context(scratch_database(f"growth_{rows}"))
            subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=django(url), check=True)
            fill(url, rows)
            children[rows] = Child(url)
            stack.callback(children[rows].end)
        for round_ in range(options.rounds + 1):
            for what, count in kinds.items():
                for rows in options.behind if round_ % 2 else options.behind[::-1]:
                    used = children[rows].ask(what, count)
                    if round_:  # the first warms up
                        found.setdefault((what, rows), []).append(used)
        said = versions(url)
    few, many = options.behind
    table = []
    for what, name in (("claim", "claim and complete"), ("drain", "drain of what nobody wants"), ("append", "ledger append")):
        ratios = [one / other for one, other in zip(found[what, many], found[what, few], strict=True)]
        table.append(
            Row(
                f"{name}, {many:,} rows behind".replace(",", " "), f"{median(found[what, many]):.3f} ms CPU",
                f"{few:,} behind: {median(found[what, few]):.3f} ms".replace(",", " "), span(ratios), "≤ 1.2 times", median(ratios) <= 1.2,
            )
        )  # fmt: skip
    notes = (
        []
        if many >= 10_000_000
        else [f"{many:,} rows were taken where the goal names 10 000 000: there was no time to make more.".replace(",", " ")]
    )
    section("growth", "Growth", table, sizes=f"{said}; {options.rounds} rounds of {json.dumps(kinds)}", notes=notes)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
    main()
