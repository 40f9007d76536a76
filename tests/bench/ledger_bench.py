"""Ledger append against a plain insert of the same row, on PostgreSQL with synchronous commit.

    [DATABASE_URL=postgres://…] python -m tests.bench.ledger_bench [--writers 8 16] [--rounds 5] [--seconds 3] [--behind 0]

One transaction an entry on both sides. Plain: the same row, with constant bytes where the hashes stand, by `INSERT … VALUES` into a table of
the same shape and indexes, over the same driver. Append: `ledger.append`, with its hash, mark and link. Rounds alternate A B B A. Each side's
rows are counted afterwards. Printed: CPU ms an operation (writers plus the PostgreSQL server they talk to) and rows a second.
Makes and drops a database of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from pathlib import Path
from typing import Any

from tests.bench.measure import django, scratch_database, versions
from tests.bench.report import Row, section

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
    answers.put(backend)  # ready: starting takes long where the cores are busy, and no round waits for it
    for side, seconds in iter(rounds.get, None):
        insert = sides[side]
        with transaction.atomic():
            insert(n)  # plans and caches warm up outside the measured time
        server_before, own_before = _cpu_of(backend), time.process_time()
        start.wait(timeout=300)
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
        for _ in self.processes:
            self.answers.get(timeout=900)

    def measure(self, side: str, seconds: float) -> dict[str, float]:
        """One round: rows a second, and CPU ms an operation of the writers and of their server processes."""
        table = "bench_plain" if side == "plain" else "audit_entry"
        before = _count(table)
        for orders in self.orders:
            orders.put((side, seconds))
        results = [self.answers.get(timeout=seconds + 300) for _ in self.processes]
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


def old_entries(table: str, start: int, end: int) -> str:
    """The statement that puts entries numbered from `start` to `end` into a table: 64 long chains (their hashes are not real: here only the
    size matters).
    """
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
    return f"INSERT INTO {table} ({', '.join(COLUMNS)}, mark, position, prev_hash, hash) SELECT {select}, {extra} FROM generate_series({start}, {end}) n"


def _fill(rows: int) -> None:
    """Rows behind, in both tables."""
    from django.db import connection

    with connection.cursor() as cursor:
        for table in ("audit_entry", "bench_plain"):
            cursor.execute(old_entries(table, 0, rows - 1))
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
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--writers", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--behind", type=int, default=0, help="rows in the table before measuring; for growth see growth_bench")
    arguments = parser.parse_args()

    with scratch_database("ledger") as url:
        os.environ.update(django(url, LOG_LEVEL="ERROR"))
        _run(arguments, url)


def _run(arguments: argparse.Namespace, url: str) -> None:
    import django as framework

    framework.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_plain (LIKE audit_entry INCLUDING ALL)")
    if arguments.behind:
        _fill(arguments.behind)
    found = [_compare(writers, arguments.rounds, arguments.seconds) for writers in arguments.writers]
    rows = []
    for one in found:
        ours = f"{one['append_rate']:.0f}/s, {one['append_cpu_writer']:.2f} + {one['append_cpu_server']:.2f} ms"
        plain = f"plain insert of the same row: {one['plain_rate']:.0f}/s, {one['plain_cpu_writer']:.2f} + {one['plain_cpu_server']:.2f} ms"
        ratio = f"{one['rate_ratio']:.2f} ({one['rate_ratio_low']:.2f}–{one['rate_ratio_high']:.2f}) in rate, {one['cpu_ratio']:.2f} in CPU"
        # CPU decides: rates swing with whatever else the machine does.
        rows.append(Row(f"append, {one['writers']:.0f} writers", ours, plain, ratio, "≥ 0.8", one["cpu_ratio"] >= 0.8))
    few, many = found[0], found[-1]
    rows.append(
        Row(
            f"{many['writers']:.0f} writers against {few['writers']:.0f}", f"{many['cpu_ratio']:.2f}", f"{few['cpu_ratio']:.2f}",
            f"{many['cpu_ratio'] / few['cpu_ratio']:.2f}", "no worse", many["cpu_ratio"] / few["cpu_ratio"] >= 0.95,
        )
    )  # fmt: skip
    sizes = (
        f"{versions(url)}; one transaction an entry, {arguments.rounds} rounds of {arguments.seconds:.0f} s, {arguments.behind} rows behind"
    )
    notes = [
        "That any change, gap or cut is found is held by tests (`tests/db/audit/test_verify.py`, `test_checkpoints.py`), not by this bench. No lock is shared between writers."
    ]
    section("ledger", "Audit ledger", rows, sizes=sizes, notes=notes)


if __name__ == "__main__":
    main()
