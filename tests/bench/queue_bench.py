"""Handing out and processing events, against Celery tasks that do nothing, by the same two workers on the same Redis.

    [DATABASE_URL=postgres://…] [REDIS_URL=redis://…] python -m tests.bench.queue_bench [--rounds 5] [--backlog 100000] [--events 60] [--only-pick-up]

1. A backlog that no agent wants. 2. Events that only bring facts up to date. 3. Events that run the dunning agent, model and Chargebee answering
at once. 4. From commit to claim when idle, against a poll each 100 ms. CPU is that of the worker with its children plus the PostgreSQL backends.
Rounds of all kinds take turns; rows are counted afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from billing_ai.supervisor import free_port
from tests import services
from tests.bench import webhook_bench
from tests.bench.measure import Meter, django, median, own_server, percentile, scratch_database, span, versions
from tests.bench.report import Row, section

ROOT = Path(__file__).resolve().parents[2]
CHILDREN = 2
Told = dict[str, list[dict[str, float]]]


@contextlib.contextmanager
def worker(environment: dict[str, str], children: int = CHILDREN) -> Iterator[int]:
    """The process id of a worker with that many children."""
    argv = [
        sys.executable, "-m", "celery", "-A", "tests.bench.worker_app", "worker", "--concurrency", str(children), "--loglevel", "ERROR",
        "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]  # fmt: skip
    process = subprocess.Popen(argv, cwd=ROOT, env=environment, start_new_session=True)
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def until(is_so: Callable[[], bool], seconds: float = 300) -> None:
    """Wait for it, looking every 10 ms. Raises SystemExit when it does not come."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit("the workers did not get there")
        time.sleep(0.01)


class Bench:
    """What one round of each kind is. Django is set up on the scratch database."""

    def __init__(self, url: str, pid: int, edge: Any, redis_url: str) -> None:
        import redis

        from billing_ai.celery import app

        self.app, self.edge, self.meter = app, edge, Meter(url, [pid], apart=[own_server()])
        self.redis = redis.Redis.from_url(redis_url)
        self.customers = 1

    def _measured(self, start: Callable[[], None], is_done: Callable[[], bool], count: int) -> dict[str, float]:
        self.meter.start()
        begin = time.monotonic()
        start()
        until(is_done)
        took = time.monotonic() - begin
        own, servers = self.meter.stop()
        return {
            "rate": count / took,
            "own": own / count * 1000,
            "server": servers / count * 1000,
            "cpu": (own + servers) / count * 1000,
            "seconds": own + servers,
        }

    def _wake(self, task: str) -> None:
        for _ in range(CHILDREN):
            self.app.send_task(task)

    def _drained(self) -> bool:
        return not self.redis.llen("billing-ai:celery") and not self.redis.hlen("billing-ai:unacked")

    def nothing(self, count: int = 3_000) -> dict[str, float]:
        """No-op tasks, published beforehand as far as the workers let them wait."""
        with self.app.connection_for_write() as connection, self.app.amqp.Producer(connection) as producer:

            def publish() -> None:
                for _ in range(count):
                    self.app.send_task("bench.nothing", producer=producer)

            return self._measured(publish, self._drained, count)

    def unwanted(self, count: int) -> dict[str, float]:
        """A backlog of events of a type that nothing acts on."""
        from billing_ai.inbox.models import Event

        self.meter.control.execute(
            "INSERT INTO inbox_event (chargebee_event_id, event_type, occurred_at, received_at, source, api_version, found_by,"
            " chargebee_customer_id, resources, body_sha256, trace_id, status, lane, not_before, attempt, max_attempts, reason)"
            " SELECT 'u_' || gen_random_uuid(), 'quote_created', now(), now(), '', 'v2', 'webhook', 'cus_' || n %% 1000, '[]', '', md5(n::text),"
            " 'waiting', 2, now() - interval '1 hour', 0, 8, '' FROM generate_series(1, %s) n",
            [count],
        )
        self.meter.control.execute("VACUUM ANALYZE inbox_event")
        before = self._ended("ignored")
        found = self._measured(
            lambda: self._wake("inbox.process"),
            lambda: not Event.objects.filter(status__in=("waiting", "leased"), event_type="quote_created").exists(),
            count,
        )
        if self._ended("ignored") - before != count:
            raise SystemExit("not every unwanted event was ended")
        return found

    def _ended(self, status: str) -> int:
        from billing_ai.inbox.models import Event

        return Event.objects.filter(status=status).count()

    def facts(self, count: int) -> dict[str, float]:
        """News of customers who owe nothing: facts are fetched and kept, no agent runs."""
        from billing_ai.facts.models import Customer

        numbers = self._next(count, "customer_changed")
        wanted = [self.edge.customer_id(number) for number in numbers]
        return self._measured(
            lambda: self._wake("inbox.process"),
            lambda: Customer.objects.filter(pk__in=wanted).count() == count and not self._open_events(),
            count,
        )

    def agents(self, count: int) -> dict[str, float]:
        """Failed payments: facts, run, case, proposals."""
        from approvals.models import Case

        numbers = self._next(count, "payment_failed")
        wanted = [self.edge.customer_id(number) for number in numbers]

        def is_done() -> bool:
            return Case.objects.filter(chargebee_customer_id__in=wanted, waiting_count__gt=0).count() == count and not self._open_runs()

        return self._measured(lambda: self._wake("inbox.process"), is_done, count)

    def _next(self, count: int, event_type: str) -> range:
        from tests.bench.edge import arrive

        numbers = range(self.customers, self.customers + count)
        self.customers += count
        arrive(self.edge, numbers, event_type, "ev_")
        return numbers

    def _open_events(self) -> bool:
        from billing_ai.inbox.models import Event

        return Event.objects.filter(status__in=("waiting", "leased")).exists()

    def _open_runs(self) -> bool:
        from agents.models import AgentRun

        return AgentRun.objects.filter(status__in=("waiting", "leased")).exists()

    def pick_up(self, told: Path, count: int) -> list[float]:
        """Milliseconds from an event's commit to its claim, one at a time."""
        from billing_ai.work.wake import wake
        from tests.bench.edge import arrive

        committed = {}
        for number in range(self.customers, self.customers + count):
            arrive(self.edge, range(number, number + 1), "customer_changed", "ev_")
            committed[f"ev_{number}"] = time.time()
            wake("inbox.process")
            until(lambda: not self._open_events())
            time.sleep(0.15)
        self.customers += count
        claimed = dict(line.rsplit(" ", 1) for line in told.read_text().splitlines() if line.strip())
        return [(float(claimed[event]) - at) * 1000 for event, at in committed.items()]


def polled(count: int, first: int = 0) -> list[float]:
    """The same with a poller that looks each 100 ms, in a thread of this process."""
    import threading

    from django.db import connection

    from billing_ai.inbox.models import Event
    from billing_ai.kernel import clock
    from billing_ai.work import claims

    committed: dict[str, float] = {}
    found: dict[str, float] = {}
    stopped = threading.Event()

    def poll() -> None:
        while not stopped.wait(0.1):
            for row in claims.claim(Event, 20, claims.timedelta(minutes=3), of=lambda due: due.filter(event_type="polled")):
                found[row.chargebee_event_id] = time.time()
                claims.complete(row)
        connection.close()

    thread = threading.Thread(target=poll)
    thread.start()
    for number in range(first, first + count):
        Event.objects.create(
            chargebee_event_id=f"p_{number}",
            event_type="polled",
            occurred_at=clock.now(),
            not_before=clock.now() - claims.timedelta(hours=1),
        )
        committed[f"p_{number}"] = time.time()
        until(lambda number=number: f"p_{number}" in found)  # type: ignore[misc]
        time.sleep(0.037 + number % 7 * 0.013)
    stopped.set()
    thread.join()
    return [(found[event] - at) * 1000 for event, at in committed.items()]


def prepared(folder: Path) -> Any:
    """Django set up on the database that the environment names, with tables, rules and recorded answers."""
    import django as framework

    framework.setup()
    from django.core.management import call_command

    from approvals.policy.defaults import install_defaults
    from billing_ai.work import wake
    from tests.bench import edge as edges

    call_command("migrate", verbosity=0)
    install_defaults()
    real, wake._waker.wake = wake._waker.wake, lambda task: None  # type: ignore[method-assign]
    edges.record(folder / "edge.json")
    wake._waker.wake = real  # type: ignore[method-assign]
    edge = edges.Edge(folder / "edge.json")
    edge.install()
    return edge


@dataclass(frozen=True)
class House:
    """A worker at work on a database of its own, and what is needed to give it something to do."""

    url: str
    folder: Path
    bench: Bench
    worker_id: int
    broker: str
    """What the broker says of itself."""


@contextlib.contextmanager
def house(name: str, children: int = CHILDREN, **files: str) -> Iterator[House]:
    """Database, Redis, recorded answers and one worker. `files` names files in its folder that the worker is told of (`BENCH_CLAIMS="claims"`)."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(scratch_database(name))
        folder = Path(stack.enter_context(TemporaryDirectory()))
        broker = stack.enter_context(services.redis())
        if not broker.value:
            raise SystemExit(broker.said)
        environment = django(
            url,
            VAR_DIR=str(folder),
            REDIS_URL=broker.value,
            CHARGEBEE_RATE_PER_MINUTE="100000000",
            LOG_LEVEL="ERROR",
            SECONDS_BETWEEN_SWEEPS="600",
        )
        os.environ.update(environment)
        edge = prepared(folder)
        told = {variable: str(folder / file) for variable, file in {"BENCH_EDGE": "edge.json", **files}.items()}
        pid = stack.enter_context(worker({**environment, **told}, children))
        bench = Bench(url, pid, edge, broker.value)
        yield House(url, folder, bench, pid, broker.said)
        bench.meter.close()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--waits", type=int, default=200)
    parser.add_argument(
        "--only-pick-up", action="store_true", help="the last row alone, for work on the way to the worker; nothing is written"
    )
    options = parser.parse_args()
    with house("queue", BENCH_CLAIMS="claims") as here:
        bench, claims = here.bench, here.folder / "claims"
        if options.only_pick_up:
            bench.facts(10)
            print(_pick_up(*_waits(bench, claims, options.waits)).cells())
            return
        told, small = _rounds(bench, options)
        waits, polls = _waits(bench, claims, options.waits)
        rows = _rows(told, small, waits, polls, options.backlog) + _against_djstripe(options.rounds, told["facts"])
        sizes = (
            f"{versions(here.url)}; {here.broker.split(' at ')[0]}; one worker of {CHILDREN} children; {options.rounds} rounds of {options.backlog} unwanted "
            f"events, {options.events} events of each other kind and 3,000 no-ops"
        )
        section("queue", "Hand-out and processing", rows, sizes=sizes, notes=_NOTES)


_NOTES = [
    "An unwanted event is one of a type that nothing here acts on; it ends by whole batches, in one statement each. What only brings facts up to date is "
    "fetched from Chargebee (answered in process here), narrowed and kept. dj-stripe fetches one customer (answered in process too) and keeps it; ours fetches "
    "customer, subscriptions, invoices, payments and payment sources of one, keeps them, looks for work and writes to the ledger.",
    "What limits the events that run an agent is told under “From event to proposal”.",
]


def _rounds(bench: Bench, options: argparse.Namespace) -> tuple[Told, list[dict[str, float]]]:
    kinds: dict[str, Callable[[], dict[str, float]]] = {
        "nothing": bench.nothing,
        "unwanted": lambda: bench.unwanted(options.backlog),
        "facts": lambda: bench.facts(options.events),
        "agents": lambda: bench.agents(options.events),
    }
    bench.nothing(500)  # connections, plans and caches warm up outside what is measured
    bench.facts(10)
    bench.agents(10)
    told: Told = {name: [] for name in kinds}
    small = []
    for number in range(options.rounds):
        for name in list(kinds) if number % 2 == 0 else list(kinds)[::-1]:
            told[name].append(kinds[name]())
            last = told[name][-1]
            print(f"round {number + 1} {name:>9}: {last['own']:.3f} + {last['server']:.3f} ms, {last['rate']:.0f}/s", flush=True)
        small.append(bench.unwanted(options.backlog // 8))
    return told, small


def _against_djstripe(rounds: int, facts: list[dict[str, float]]) -> list[Row]:
    """Accepted and fully processed: our web process and what the worker took, against dj-stripe, which processes before it answers."""
    with scratch_database("accepting") as url, scratch_database("djstripe") as other, contextlib.ExitStack() as stack:
        webhook_bench.prepared(url)
        dead = f"redis://127.0.0.1:{free_port()}/0"
        served = stack.enter_context(webhook_bench.served("billing_ai.wsgi:application", django(url, REDIS_URL=dead, LOG_LEVEL="CRITICAL")))
        ours = webhook_bench.Side("ours", *served, "/webhooks/chargebee/", "inbox_event", "chargebee", url)
        theirs = webhook_bench.djstripe(stack, other, accept_only=False)
        found = webhook_bench.interleaved([ours, theirs], rounds, 2.0)
    accepted, processed = median([one["cpu"] for one in found["ours"]]), median([one["cpu"] for one in facts])
    ratios = [one["cpu"] / (accepted + processed) for one in found["dj-stripe"]]
    return [
        Row(
            "accepted and processed, CPU",
            f"{accepted:.2f} + {processed:.2f} ms",
            f"dj-stripe with processing: {_said(found['dj-stripe'])}",
            span(ratios),
            "≥ 5 times, ≤ 6 ms",
            median(ratios) >= 5 and accepted + processed <= 6,
        )
    ]


def _said(rounds: list[dict[str, float]]) -> str:
    parts = [median([one[key] for one in rounds]) for key in ("own", "server", "rate")]
    return f"{parts[0]:.2f} + {parts[1]:.2f} ms, {parts[2]:.0f}/s"


def _rows(told: Told, small: list[dict[str, float]], waits: list[float], polls: list[float], backlog: int) -> list[Row]:
    nothing = told["nothing"]

    def against(name: str, key: str) -> list[float]:
        return [one[key] / other[key] if key == "rate" else other[key] / one[key] for one, other in zip(told[name], nothing, strict=True)]

    growth = [math.log(large["seconds"] / few["seconds"]) / math.log(8) for large, few in zip(told["unwanted"], small, strict=True)]
    rows = []
    for name, what, least in (
        ("unwanted", f"hand-out of {backlog} events that nobody wants", 5.0),
        ("agents", "events that run an agent", 0.6),
    ):
        rates, cpu = against(name, "rate"), against(name, "cpu")
        ratio = f"{span(rates)} in rate, {span(cpu)} in CPU"
        rows.append(Row(what, _said(told[name]), f"Celery no-op: {_said(nothing)}", ratio, f"≥ {least:g} times", median(rates) >= least))
    rows.insert(
        1,
        Row(
            "growth of that hand-out",
            f"n^{median(growth):.2f}",
            f"an eighth of it: {_said(small)}",
            span(growth),
            "≤ n^1.1",
            median(growth) <= 1.1,
        ),
    )
    facts = round(median([one["cpu"] for one in told["facts"]]), 2)  # counted in ticks of 10 ms over all of a round
    rows.append(
        Row(
            "events that only bring facts up to date",
            _said(told["facts"]),
            f"Celery no-op: {_said(nothing)}",
            f"{span(against('facts', 'cpu'))}; {facts:.2f} ms in the median",
            "≤ 6 ms CPU",
            facts <= 6,
        )
    )
    rows.append(_pick_up(waits, polls))
    return rows


def _waits(bench: Bench, told: Path, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds to the pick-up when woken and when polled, in portions that take turns, so that both meet the same neighbours."""
    waits: list[float] = []
    polls: list[float] = []
    while len(waits) < count:
        portion = min(50, count - len(waits))
        waits += bench.pick_up(told, portion)
        polls += polled(portion, len(polls))
    return waits, polls


def _pick_up(waits: list[float], polls: list[float]) -> Row:
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    poll = f"poll each 100 ms: {percentile(polls, 0.5):.1f} / {percentile(polls, 0.99):.1f} ms"
    what = f"from commit to pick-up when idle, p50 / p99 of {len(waits)}"
    return Row(what, f"{p50:.1f} / {p99:.1f} ms", poll, f"{percentile(polls, 0.5) / p50:.1f} times sooner", "p99 ≤ 30 ms", p99 <= 30)


if __name__ == "__main__":
    main()
