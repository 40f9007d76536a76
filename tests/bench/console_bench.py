"""The console with a million proposals against the same with a thousand, on PostgreSQL. Run: `python -m tests.bench.console_bench`.

    DATABASE_URL=postgres://… python -m tests.bench.console_bench [--small 1000] [--large 1000000] [--rounds 30]

Makes and drops two databases of its own beside the one that DATABASE_URL names, fills both alike (five proposals a case, made by copying rows
inside the server), and asks each for the same pages in turn, A B B A, through Django's own test client: routing, session, permissions, queries,
template. Chargebee answers from memory, so that what is measured is ours. Printed: milliseconds by the clock, CPU milliseconds of the web
process and of its database server, queries a page, and the ratios. Exits 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any, cast

PROPOSALS_A_CASE = 5
OTHER_VIEWS = 1.3
GOALS = {"queue": 1.3, "review": 1.3, "today": 1.3, "search by id": 2.0, "search by beginning": 2.0}
DEEPEST = 1.5
MOST_QUERIES = 8
_SMALL = 2_000
"""Fewer cases than this have a full page in every view all the same: else the large database draws 25 rows against one, and that is what is compared."""


@dataclass
class Site:
    """One filled database with a web process on it, which lives through all rounds."""

    name: str
    url: str
    proposals: int
    folder: str
    walls: dict[str, list[float]] = field(default_factory=dict)
    cpus: dict[str, list[float]] = field(default_factory=dict)
    queries: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """Fill, and wait until it has."""
        environment = {**os.environ, "DATABASE_URL": self.url, "VAR_DIR": self.folder, "DEMO": "true", "REDIS_URL": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.console_bench", "--serve", str(self.proposals)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.pages: dict[str, str] = self._read()
        print(f"{self.name}: {self.proposals:,} proposals are in", flush=True)

    def _read(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: the web process ended")
        return json.loads(line)

    def ask(self, page: str) -> None:
        """One page, once."""
        assert self.process.stdin is not None
        self.process.stdin.write(page + "\n")
        self.process.stdin.flush()
        wall, cpu, queries = self._read()
        self.walls.setdefault(page, []).append(wall)
        self.cpus.setdefault(page, []).append(cpu)
        self.queries[page] = queries

    def wall(self, page: str) -> float:
        """Median milliseconds by the clock."""
        return statistics.median(self.walls[page])

    def cpu(self, page: str) -> float:
        """Median CPU milliseconds of both processes."""
        return statistics.median(self.cpus[page])


def main() -> int:
    """Fill, measure, print; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--serve", type=int, default=0, help="used by the bench itself")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return 0
    url = os.environ.get("DATABASE_URL", "")
    if not url.startswith("postgres"):
        sys.exit("DATABASE_URL must name a PostgreSQL server: postgres://user@host:port/name")
    import psycopg

    base, _, name = url.rpartition("/")
    names = {"small": f"{name}_console_small", "large": f"{name}_console_large"}
    with psycopg.connect(url, autocommit=True) as server:
        for own in names.values():
            server.execute(f'DROP DATABASE IF EXISTS "{own}" WITH (FORCE)')
            server.execute(f'CREATE DATABASE "{own}"')
    with tempfile.TemporaryDirectory(prefix="console-bench-") as folder:
        sites = [
            Site("small", f"{base}/{names['small']}", arguments.small, f"{folder}/small"),
            Site("large", f"{base}/{names['large']}", arguments.large, f"{folder}/large"),
        ]
        try:
            for site in sites:
                site.start()
            return measure(sites[0], sites[1], arguments.rounds)
        finally:
            for site in sites:
                if hasattr(site, "process"):
                    site.process.terminate()
                    site.process.wait()
            with psycopg.connect(url, autocommit=True) as server:
                for own in names.values():
                    server.execute(f'DROP DATABASE IF EXISTS "{own}" WITH (FORCE)')


def measure(small: Site, large: Site, rounds: int) -> int:
    """Ask both in turn, print the table."""
    pages = [page for page in small.pages if page in large.pages]
    for number in range(rounds + 3):
        for page in pages:
            for site in (small, large) if number % 2 == 0 else (large, small):
                site.ask(page)
        if number == 2:  # caches of both servers are warm now
            for site in (small, large):
                site.walls.clear()
                site.cpus.clear()
    missed: list[str] = []
    print("\n| page | small ms (CPU) | large ms (CPU) | ratio (CPU) | goal | queries |\n| --- | --- | --- | --- | --- | --- |")
    for page in pages:
        ratio, cpu_ratio = large.wall(page) / small.wall(page), large.cpu(page) / max(0.1, small.cpu(page))
        goal = OTHER_VIEWS if page.startswith("view ") else GOALS.get(page)
        print(
            f"| {page} | {small.wall(page):.1f} ({small.cpu(page):.0f}) | {large.wall(page):.1f} ({large.cpu(page):.0f}) "
            f"| {ratio:.2f} ({cpu_ratio:.2f}) | {goal or '–'} | {large.queries[page]} |"
        )
        if goal is not None and ratio > goal:
            missed.append(f"{page}: {ratio:.2f} > {goal}")
        if large.queries[page] > MOST_QUERIES:
            missed.append(f"{page}: {large.queries[page]} queries")
    deep = large.wall("deepest page") / large.wall("queue")
    print(f"\ndeepest page against the first: {deep:.2f} (goal {DEEPEST})")
    if deep > DEEPEST:
        missed.append(f"deepest page: {deep:.2f} > {DEEPEST}")
    for line in missed:
        print(f"MISSED  {line}")
    return 1 if missed else 0


# -- inside the web process ------------------------------------------------------------------------------------------------------


def serve(proposals: int) -> None:
    """Fill the database, tell the pages, then answer each asked page with its figures."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ai.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    pages = fill(proposals)
    print(json.dumps(pages), flush=True)
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(headers={"accept-language": "en-GB"})
    client.force_login(User.objects.get(username="bench"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    counted: dict[str, int] = {}
    for line in sys.stdin:
        page = line.strip()
        if page not in counted:
            client.get(pages[page])  # what is kept between requests is asked once
            with CaptureQueriesContext(connection) as asked:
                client.get(pages[page])
            counted[page] = sum(not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")) for query in asked)
        server, own, began = _cpu_of(backend), time.process_time(), time.perf_counter()
        answer = client.get(pages[page])
        wall = (time.perf_counter() - began) * 1000
        if answer.status_code != 200:
            sys.exit(f"{page}: {answer.status_code}")
        cpu = (time.process_time() - own + _cpu_of(backend) - server) * 1000
        print(json.dumps([wall, cpu, counted[page]]), flush=True)


def _cpu_of(pid: int) -> float:
    """CPU seconds of a process of this machine; 0 when the server runs elsewhere."""
    try:
        with open(f"/proc/{pid}/schedstat") as stat:
            return int(stat.read().split()[0]) / 1e9
    except OSError:
        return 0.0


class _Patch:
    """What `FakeChargebee.install` needs of a monkeypatch; nothing is put back, since the process ends."""

    @staticmethod
    def setattr(target: Any, name: str, value: Any) -> None:
        setattr(target, name, value)


def fill(proposals: int) -> dict[str, str]:
    """Rows as a company of that size would have them, and the address of each page to ask for."""
    from django.apps import apps
    from django.db import connection, transaction

    from agents.models import AgentRun
    from approvals.admin import queue_query as q
    from approvals.groups import bring_up_to_date
    from approvals.models import Case, Contact, Outcome, Proposal, Revision
    from approvals.policy.defaults import install_defaults
    from approvals.wording.reader import UTC_READER
    from audit import ledger
    from audit.actor import system
    from audit.models import Entry
    from billing_ai.facts.models import Customer, Invoice, Transaction
    from billing_ai.inbox.models import Event
    from billing_ai.kernel import clock, ids
    from tests import factories

    bring_up_to_date(list(apps.get_app_configs())[-1])
    install_defaults()
    chargebee = factories.FakeChargebee().install(_Patch)
    user = factories.user("lead", "bench")
    now = clock.now()
    opened = factories.case(chargebee, retry_in_days=4, stake=1_000_000_007)  # the one that is opened: real, sealed, on top
    like = factories.case(chargebee, retry_in_days=4)
    one = like.proposals.exclude(current__sealed_words=None).get()
    with transaction.atomic():
        ledger.append("case.opened", actor=system("bench"), trace_id=like.trace_id, subject=("case", str(like.pk)), case_id=like.pk)
    run = AgentRun.objects.create(agent="dunning", subject_kind="invoice", subject_id="like", cause="like", status="done")
    event = Event.objects.create(
        chargebee_event_id="like", event_type="payment_failed", occurred_at=now, body_sha256="0" * 64, status="done"
    )
    outcome = Outcome.objects.create(
        case=like,
        kind="recovered",
        credited_to="retry",
        chargebee_transaction_id="like",
        recovered_minor=4900,
        currency="EUR",
        happened_at=now,
    )
    contact = Contact.objects.create(chargebee_customer_id=like.chargebee_customer_id, case=like, channel="email")
    payment = Transaction.objects.create(
        pk="like",
        chargebee_customer_id="like",
        kind="payment",
        status="failure",
        amount_minor=4900,
        currency="EUR",
        happened_at=now,
        fetched_at=now,
    )
    entry = Entry.objects.earliest("pk")
    case_id = "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
    half = f"(n / {PROPOSALS_A_CASE})"
    case_of = case_id.replace("(n)", half)
    proposal_id = case_id.replace("0000-7000", "0001-7000")
    cases = proposals // PROPOSALS_A_CASE
    is_small = cases < _SMALL
    promised, disputed = (75, 90) if is_small else (65, 67)

    def one_in(usual: int, rest: int, n: str = "n") -> str:
        """One case in so many; in a small database one in four."""
        return f"{n} % {4 if is_small else usual} = {rest % 4 if is_small else rest}"

    ago = "now() - n % 365 * interval '1 day' - n % 1440 * interval '1 minute'"
    copies(Invoice, like.chargebee_invoice_id, cases, {
        "chargebee_invoice_id": "'INV-F' || n", "chargebee_customer_id": "'cus_F' || n / 4", "due_on": f"({ago})::date",
        "amount_due_minor": "1000 + n % 90000", "total_minor": "1000 + n % 90000",
    })  # fmt: skip
    copies(Customer, like.chargebee_customer_id, cases // 4 + 1, {"chargebee_customer_id": "'cus_F' || n"})
    copies(Transaction, payment.pk, cases, {
        "chargebee_transaction_id": "'txn_F' || n", "chargebee_customer_id": "'cus_F' || n / 4", "happened_at": ago, "invoice_ids": "jsonb_build_array('INV-F' || n)",
    })  # fmt: skip
    copies(Case, like.pk, cases, {
        "id": case_id, "chargebee_invoice_id": "'INV-F' || n", "chargebee_customer_id": "'cus_F' || n / 4",
        "status": f"CASE WHEN n % 100 < 60 THEN 'open' WHEN n % 100 < {promised} THEN 'promised' WHEN n % 100 < {disputed} THEN 'disputed' WHEN n % 100 < 95 THEN 'recovered' ELSE 'closed' END",
        "waiting_count": "CASE WHEN n % 100 < 60 THEN 2 ELSE 0 END", "stake": "n::bigint * 7919 % 1000003", "amount_due_minor": "1000 + n % 90000",
        "amount_reference": "1000 + n::bigint * 104729 % 400000", "due_on": f"({ago})::date", "opened_at": ago,
        "currency": "(array['EUR','EUR','EUR','USD','USD','GBP','CHF','JPY','SEK','PLN'])[1 + n % 10]",
        "category": "(array['insufficient_funds','expired_card','do_not_honor','auth_required','mandate','fraud'])[1 + n % 6]",
        "language": "(array['en','de','fr','es','ja','it'])[1 + n % 6]", "tier": "(array['growth','starter','enterprise','free'])[1 + n % 4]",
        "closed_at": f"CASE WHEN n % 100 < {disputed} THEN NULL ELSE {ago} END", "broken_promise": one_in(1000, 7), "escalated_to_lead": one_in(1000, 10),
        "deadline_at": f"CASE WHEN {one_in(400, 3)} THEN now() - interval '1 hour' WHEN n % 10 = 4 THEN now() + n % 30 * interval '1 day' END",
        "snoozed_until": f"CASE WHEN {one_in(50, 5)} THEN now() + interval '2 days' END", "owner_id": f"CASE WHEN {one_in(2000, 8)} THEN {user.pk} END", "trace_id": "md5(n::text)",
    })  # fmt: skip
    copies(Proposal, one.pk, proposals, {
        "id": proposal_id, "case_id": case_of, "current_id": "NULL::bigint", "chargebee_invoice_id": f"'INV-F' || {half}", "chargebee_customer_id": f"'cus_F' || {half} / 4",
        "status": f"CASE WHEN {half} % 100 < 60 THEN CASE WHEN n % 5 < 2 THEN CASE WHEN {one_in(500, 2, half)} THEN 'waiting_second' ELSE 'waiting' END ELSE 'rejected' END ELSE CASE WHEN n % 5 < 2 THEN 'done' ELSE 'withdrawn' END END",
        "action": "(array['send_message','collect_payment','send_message','send_message','add_comment'])[1 + n % 5]", "step": "'step:' || n % 5", "created_at": f"now() - {half} % 365 * interval '1 day'",
        "trace_id": "md5(n::text)",
    })  # fmt: skip
    copies(Revision, one.current_id, proposals, {"id": "n + 1000", "proposal_id": proposal_id})
    copies(Outcome, outcome.pk, cases // 3, {
        "id": "n + 1000", "case_id": case_id.replace("(n)", "(n * 3 / 3 * 2)"), "chargebee_transaction_id": "'txn_F' || n", "happened_at": ago,
        "currency": "(array['EUR','USD','GBP','JPY'])[1 + n % 4]", "credited_to": "(array['retry','email','chargebee','customer'])[1 + n % 4]", "attempt_number": "n % 4",
    })  # fmt: skip
    copies(Contact, contact.pk, cases, {"id": "n + 1000", "case_id": case_id, "chargebee_customer_id": "'cus_F' || n / 4", "at": ago})
    copies(AgentRun, run.pk, cases, {"id": case_id, "subject_id": "'INV-F' || n", "cause": "'ev_F' || n", "created_at": ago})
    copies(
        Event,
        event.pk,
        cases,
        {"id": "n + 1000", "chargebee_event_id": "'ev_F' || n", "chargebee_customer_id": "'cus_F' || n / 4", "received_at": ago},
    )
    copies(Entry, entry.pk, cases * 3, {
        "id": "n + 100000", "writer": f"'{ids.new_id()}'::uuid", "position": "n + 1", "at": "now() - n % 365 * interval '1 day'",
        "case_id": case_id.replace("(n)", "(n / 3)"), "trace_id": "md5((n / 3)::text)", "subject_id": "md5(n::text)",
    })  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    # Where the last page begins: 25 before the end.
    last = list(q.matching(q.question({}), user, UTC_READER).order_by("stake", "-id")[:26])[-1]
    return {
        "queue": "/console/queue/",
        "deepest page": f"/console/queue/?after={last.stake}.{last.pk.hex}",
        **{f"view {key}": f"/console/queue/?view={key}" for key in q.VIEWS if key != "all"},
        "filter, rare currency": "/console/queue/?currency=KWD",
        "filter, reason and language": "/console/queue/?reason=mandate&language=ja&age=90%2B",
        "search by id": f"/console/queue/?q={opened.chargebee_invoice_id}",
        "search by beginning": "/console/queue/?q=INV-F",
        "review": f"/console/case/{opened.pk}/",
        "today": "/console/",
    }


def copies(model: Any, like: Any, count: int, values: dict[str, str]) -> None:
    """`count` copies of one row, made inside the server; `values` are SQL over `n` (from 0) for the columns that differ."""
    from django.db import connection

    columns = [row.column for row in cast("list[Any]", model._meta.concrete_fields)]
    unknown = set(values) - set(columns)
    if unknown:
        raise SystemExit(f"{model.__name__} has no {', '.join(sorted(unknown))}")
    listed = ", ".join(f'"{column}"' for column in columns)
    chosen = ", ".join(values.get(column, f't."{column}"') for column in columns).replace("%", "%%")
    table, key = model._meta.db_table, model._meta.pk.column
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({listed}) SELECT {chosen} FROM generate_series(0, %s) AS n, "{table}" t WHERE t."{key}" = %s',
            [count - 1, like],
        )


if __name__ == "__main__":
    sys.exit(main())
