"""Ledger append against a plain insert of the same row, on PostgreSQL with synchronous commit.

    DATABASE_URL=postgres://… python -m tests.bench.ledger_bench [--writers 8 16] [--rounds 5] [--seconds 3] [--behind 0 1000000]

One transaction an entry on both sides. Plain: the same row, with constant bytes where the hashes stand, by `INSERT … VALUES` into a table of
the same shape and indexes, over the same driver. Append: `ledger.append`, with its hash, mark and link. Rounds alternate A B B A. Each side's
rows are counted afterwards. Printed: CPU ms an operation (writers plus the PostgreSQL server they talk to) and rows a second.
Makes and drops a database of its own beside the one that DATABASE_URL names.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

TRACE = "b" * 32


def _plain_insert() -> Any:
    """The same row by a plain insert: no link, no hash, no mark."""
    from django.db import connection

    from audit import ledger
    from audit.actor import system

    actor = system("bench")
    columns = (*ledger.COLUMNS, "mark", "position", "prev_hash", "hash")
    statement = f"INSERT INTO bench_plain ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) RETURNING id"
    state, filler = {"position": 0}, bytes(range(32))

    def insert(n: int) -> None:
        row = ledger._row(ledger.NewEntry(kind="proposal.approved", actor=actor, trace_id=TRACE, **about(n)))
        state["position"] += 1
        with connection.cursor() as cursor:
            cursor.execute(statement, [*ledger._adapt(row), filler, state["position"], filler, filler])
            cursor.fetchone()

    return insert


def _append() -> Any:
    from audit import ledger
    from audit.actor import system

    actor = system("bench")

    def insert(n: int) -> None:
        ledger.append("proposal.approved", actor=actor, trace_id=TRACE, **about(n))

    return insert


def about(n: int) -> dict[str, Any]:
    """A typical entry: an approval with its ids and a few derived values."""
    return {
        "subject": ("proposal", f"0f8fad5b-d9cb-469f-a165-{n:012d}"),
        "event_id": f"ev_{n}",
        "customer_id": f"cus_{n % 5000}",
        "invoice_id": f"inv_{n % 20000}",
        "agent": "dunning",
        "prompt_hash": "sha256:" + "7" * 64,
        "model": "offline/collector",
        "data": {"amount_due_minor": 4200 + n, "currency": "EUR", "revision": 2, "facts": "9" * 64, "verdict": "needs_person"},
    }


def _writer(number: int, rounds: Any, start: Any, answers: Any) -> None:
    """A writer process: connects once, then does round after round as told, until told to stop."""
    import django

    django.setup()
    from django.db import connection, transaction

    sides = {"plain": _plain_insert(), "append": _append()}
    n = number * 10_000_000
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    for side, seconds in iter(rounds.get, None):
        insert = sides[side]
        with transaction.atomic():
            insert(n)  # plans and caches warm up outside the measured time
        server_before, own_before = _cpu_of(backend), time.process_time()
        start.wait(timeout=60)
        done, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            n, done = n + 1, done + 1
            with transaction.atomic():
                insert(n)
        answers.put((done, time.process_time() - own_before, _cpu_of(backend) - server_before))
        n += 1
    connection.close()


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process of this machine; 0 when the server runs elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Writers:
    """Writer processes that live through all rounds, so that only writing is measured."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.start, self.answers = context.Barrier(count), context.Queue()
        self.orders = [context.Queue() for _ in range(count)]
        self.processes = [
            context.Process(target=_writer, args=(number, orders, self.start, self.answers), daemon=True)
            for number, orders in enumerate(self.orders)
        ]
        for process in self.processes:
            process.start()

    def measure(self, side: str, seconds: float) -> dict[str, float]:
        """One round: rows a second, and CPU ms an operation of the writers and of their server processes."""
        table = "bench_plain" if side == "plain" else "audit_entry"
        before = _count(table)
        for orders in self.orders:
            orders.put((side, seconds))
        results = [self.answers.get(timeout=seconds + 120) for _ in self.processes]
        done, written = sum(result[0] for result in results), _count(table) - before
        if written != done + len(self.processes):
            raise SystemExit(f"{side}: {done} + {len(self.processes)} inserts, but {written} rows are there")
        return {
            "rate": done / seconds,
            "cpu_writer": sum(result[1] for result in results) / done * 1000,
            "cpu_server": sum(result[2] for result in results) / done * 1000,
        }

    def stop(self) -> None:
        """Let the writers end."""
        for orders in self.orders:
            orders.put(None)
        for process in self.processes:
            process.join()


def _count(table: str) -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


def _fill(rows: int) -> None:
    """Rows behind, in both tables: 64 long chains (their hashes are not real: here only the size matters)."""
    from django.db import connection

    from audit.ledger import COLUMNS

    values = {
        "writer": "('00000000-0000-4000-8000-' || lpad((n % 64)::text, 12, '0'))::uuid",
        "serial": "n",
        "at": "now() - n * interval '1 second'",
        "trace_id": "md5(n::text)",
        "chargebee_event_id": "'old_' || n",
        "chargebee_customer_id": "'cus_' || n % 5000",
        "chargebee_invoice_id": "'inv_' || n % 20000",
        "case_id": "gen_random_uuid()",
        "subject_id": "md5((n / 3)::text)",
        "data": "'{\"amount_due_minor\":4200}'",
    }
    select = ", ".join(values.get(column, "'proposal.seen'") for column in COLUMNS)
    extra = "sha256(int4send(n)), n / 64 + 1, sha256(int4send(n)), sha256(int4send(n))"
    with connection.cursor() as cursor:
        for table in ("audit_entry", "bench_plain"):
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(COLUMNS)}, mark, position, prev_hash, hash) SELECT {select}, {extra} FROM generate_series(0, {rows - 1}) n"
            )
            cursor.execute(f"ANALYZE {table}")


def _compare(writers: int, rounds: int, seconds: float) -> dict[str, float]:
    sides: dict[str, list[dict[str, float]]] = {"plain": [], "append": []}
    processes = Writers(writers)
    for number in range(rounds):
        for side in ("plain", "append") if number % 2 == 0 else ("append", "plain"):
            sides[side].append(processes.measure(side, seconds))
    processes.stop()
    result: dict[str, float] = {"writers": writers}
    for side, found in sides.items():
        for key in ("rate", "cpu_writer", "cpu_server"):
            result[f"{side}_{key}"] = statistics.median(one[key] for one in found)
    pairs = [append["rate"] / plain["rate"] for plain, append in zip(sides["plain"], sides["append"], strict=True)]
    result["rate_ratio"] = statistics.median(pairs)
    result["rate_ratio_low"], result["rate_ratio_high"] = min(pairs), max(pairs)
    cpu = {side: result[f"{side}_cpu_writer"] + result[f"{side}_cpu_server"] for side in sides}
    result["cpu_ratio"] = cpu["plain"] / cpu["append"]
    return result


def main() -> None:
    """Measure and print a table, then the same as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--writers", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--behind", type=int, nargs="+", default=[0], help="rows in the table before measuring")
    arguments = parser.parse_args()

    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        sys.exit("DATABASE_URL must name a PostgreSQL server: postgres://user@host:port/name")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
    import psycopg

    base, _, name = url.rpartition("/")
    own = f"{name}_ledger_bench"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{own}"')
        server.execute(f'CREATE DATABASE "{own}"')
    os.environ["DATABASE_URL"] = f"{base}/{own}"
    try:
        _run(arguments)
    finally:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(f'DROP DATABASE IF EXISTS "{own}" WITH (FORCE)')


def _run(arguments: argparse.Namespace) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", "audit", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_plain (LIKE audit_entry INCLUDING ALL)")
    results, filled = [], 0
    print(
        "| rows behind | writers | plain rows/s, CPU ms writer + server | append rows/s, CPU ms writer + server | rate ratio (range) | CPU ratio |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for behind in sorted(arguments.behind):
        if behind > filled:
            if _count("bench_plain"):
                with connection.cursor() as cursor:
                    cursor.execute("TRUNCATE bench_plain")
                    cursor.execute("DROP TRIGGER audit_entry_append_only ON audit_entry")
                    cursor.execute("TRUNCATE audit_entry")
            _fill(behind)
            filled = behind
        for writers in arguments.writers:
            found = {"behind": behind, **_compare(writers, arguments.rounds, arguments.seconds)}
            results.append(found)
            print(
                f"| {behind} | {writers} | {found['plain_rate']:.0f}, {found['plain_cpu_writer']:.3f} + {found['plain_cpu_server']:.3f}"
                f" | {found['append_rate']:.0f}, {found['append_cpu_writer']:.3f} + {found['append_cpu_server']:.3f}"
                f" | {found['rate_ratio']:.2f} ({found['rate_ratio_low']:.2f}–{found['rate_ratio_high']:.2f}) | {found['cpu_ratio']:.2f} |",
                flush=True,
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
