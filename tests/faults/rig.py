"""The whole system on servers of its own, with a breakable line before each: database, Chargebee and mail.

Processes are those of the Procfile, started by the supervisor's own lines. Time is moved by the demo's clock file, which all of them follow, and
by the simulator's clock. The test's own process looks at the database directly, past the proxies.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import environ
import httpx
from django.db import connections

from billing_ai import supervisor
from billing_ai.kernel import clock
from tests.faults.installed import OneMachine, Servers
from tests.faults.proxy import Proxy
from tests.faults.servers import Postgres, Redis
from tests.simulator.running import RunningSimulator, running_simulator

PATIENCE_SECONDS = 120.0
"""A limit for what is waited for, far above what it takes: only a fault that nothing gets over reaches it."""
USER, PASSWORD = "chargebee", "demo-webhook-password"
Found = TypeVar("Found")


def until(what: str, look: Callable[[], Found | None], seconds: float = PATIENCE_SECONDS) -> Found:
    """What `look` gives once it is neither None nor False. Raises AssertionError, naming `what`, when that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


class Rig:
    """One running system. `start` and `end` take a process's name: web, worker, beat, or a second one of them."""

    postgres: Postgres
    redis: Redis
    to_database: Proxy
    to_redis: Proxy

    def __init__(
        self, held: Servers | OneMachine, site: RunningSimulator, var_dir: Path, web_port: int, *, settings: dict[str, str] | None = None
    ) -> None:
        self.site, self.var_dir, self.has_servers = site, var_dir, isinstance(held, Servers)
        name = held.new_database(var_dir)
        self.to_chargebee, self.to_mail = Proxy(int(site.base_url.rsplit(":", 1)[1])), Proxy(site.smtp_port)
        self.proxies = [self.to_chargebee, self.to_mail]
        self.database_url, url, broker_url = f"sqlite:///{name}", "", ""
        if isinstance(held, Servers):
            self.postgres, self.redis = held.postgres, held.redis
            self.to_database, self.to_redis = Proxy(self.postgres.port), Proxy(self.redis.port)
            self.proxies += [self.to_database, self.to_redis]
            self.database_url, url = self.postgres.url(name), self.postgres.url(name, self.to_database.port)
            broker_url = f"redis://127.0.0.1:{self.to_redis.port}/0"
        self.web_port = web_port
        ports = supervisor.Ports(self.web_port, self.to_chargebee.port, self.to_mail.port)
        self.env = supervisor.environment(ports, supervisor.Broker(broker_url, ""), var_dir) | {
            "DATABASE_URL": url,
            "SECONDS_BETWEEN_SWEEPS": "1",
            "SEND_DELAY_SECONDS": "0",
            "CHARGEBEE_RATE_PER_MINUTE": "100000",
            "LLM_MODEL": "offline/collector",
            **(settings or {}),
        }
        self._moving = threading.Lock()
        self.group = supervisor.Group(lambda line: None, var_dir, says="nothing")
        self.offset_file = var_dir / "clock-offset"
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.web_port}", timeout=60, trust_env=False)
        self._move_clock()

    # -- processes --------------------------------------------------------------------------------------------------------------------

    def start(self, name: str, **settings: str) -> supervisor.Child:
        """Start web, worker or beat; `worker-2` is another worker. `settings` are this process's own."""
        kind = name.split("-")[0]
        argv = {
            "web": lambda: supervisor.web_argv(self.web_port),
            "worker": lambda: supervisor.worker_argv(),
            "beat": lambda: supervisor.beat_argv(self.var_dir / f"{name}-schedule"),
        }[kind]()
        return self.group.start(name, argv, self.env | settings)

    def log(self, name: str) -> Path:
        """Where its lines go."""
        return self.group.log_of(name)

    def wait_ready(self) -> None:
        """Until web answers and a worker has done a sweep."""
        until("web answers", self._web_answers)
        until("a sweep was done", lambda: self.ticks().get("approvals.housekeeping"))

    def _web_answers(self) -> bool:
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    def child(self, name: str) -> supervisor.Child:
        return next(child for child in self.group.children if child.name == name)

    def kill(self, name: str) -> None:
        """kill -9 of the process and all it has forked."""
        child = self.child(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self.group.children.remove(child)

    def end(self, name: str, seconds: float = PATIENCE_SECONDS) -> int:
        """SIGTERM to the process, as a deployment does; waits for it to end, and gives its exit code."""
        child = self.child(name)
        child.process.terminate()
        code = child.process.wait(seconds)
        self.group.children.remove(child)
        return code

    def freeze(self, name: str) -> None:
        """SIGSTOP of the process and all it has forked; not in the middle of a write to SQLite, which would stop everybody else as well."""
        group = self.child(name).process.pid

        def stopped() -> bool:
            os.killpg(group, signal.SIGSTOP)
            if self.has_servers or self._can_write():
                return True
            os.killpg(group, signal.SIGCONT)
            return False

        until(f"{name} is stopped between two writes", stopped)

    def _can_write(self) -> bool:
        with contextlib.closing(sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=1, isolation_level=None)) as held:
            try:
                held.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            held.execute("ROLLBACK")
            return True

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        os.killpg(self.child(name).process.pid, signal.SIGCONT)

    def pool(self, name: str) -> list[int]:
        """The pool's children of a worker. Linux only."""
        parent = self.child(name).process.pid
        found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent)], capture_output=True, text=True, check=False).stdout
        return [int(pid) for pid in found.split()]

    def stop(self) -> None:
        """End everything that was started here."""
        for child in self.group.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGCONT)
                os.killpg(child.process.pid, signal.SIGKILL)
        self.group.stop()
        for proxy in self.proxies:
            proxy.close()
        self.http.close()

    def restart_database(self) -> None:
        """As in a crash."""
        connections["default"].close()
        self.postgres.restart_at_once()

    # -- the outside ------------------------------------------------------------------------------------------------------------------

    def post(self, event: dict[str, Any], **options: Any) -> httpx.Response:
        """A webhook as Chargebee sends it, through the real server."""
        return self.http.post("/webhooks/chargebee/", content=json.dumps(event), headers=AUTH, **options)

    def customer(self, gateway: str = "stripe") -> dict[str, Any]:
        """A customer in Germany who owes nothing and whom nobody has used; this gateway has a code for want of funds."""
        for row in self.site.get("/control/customers", limit=500)["customers"]:
            method = row.get("payment_method") or {}
            is_near = row["billing_address"]["country"] == "DE" and method.get("gateway") == gateway and row["truth"]
            if is_near and not row["open_invoice_ids"] and row["id"] not in _USED:
                _USED.add(row["id"])
                return dict(row)
        raise AssertionError("no unused customer")

    def fail(self, customer: dict[str, Any], code: str = "insufficient_funds") -> str:
        """A payment of theirs fails; the invoice's id. Its webhooks are on their way."""
        return str(self.site.fail_payment(customer_id=customer["id"], code=code)["invoice_id"])

    def charges(self, invoice_id: str) -> int:
        """How often the bank has taken money for this invoice."""
        found = self.site.client().Transaction
        rows = found.list(found.ListParams(limit=100)).list  # newest first
        return sum(
            1
            for row in rows
            if _text(row.transaction.type) == "payment" and _text(row.transaction.status) == "success"
            for link in row.transaction.linked_invoices or []
            if link.invoice_id == invoice_id
        )

    # -- time -------------------------------------------------------------------------------------------------------------------------

    def advance(self, **by: float) -> None:
        """Let time pass, outside and in every process."""
        with self._moving:
            self.site.advance(int(timedelta(**by).total_seconds()))
            self._move_clock()

    def advance_to(self, moment: datetime) -> None:
        """Let time pass until then, if it is not there already."""
        missing = (moment - clock.now()).total_seconds()
        if missing > 0:
            self.advance(seconds=missing + 1)

    def to_office_hours(self) -> None:
        """Ten o'clock UTC of the next Tuesday or Wednesday that is no day off in Germany."""
        import holidays

        with self._moving:
            now = datetime.fromtimestamp(self.site.now(), UTC)
            start = now.replace(hour=9, minute=0, second=0, microsecond=0)
            off = holidays.country_holidays("DE", subdiv="BY")
            while start <= now or start.weekday() not in (1, 2) or start.date() in off:
                start += timedelta(days=1)
            self.site.post("/control/clock", to=int(start.timestamp()))
            self._move_clock()

    def _move_clock(self) -> None:
        part = self.offset_file.with_suffix(".part")
        part.write_text(str(round(self.site.now() - time.time())))
        part.replace(self.offset_file)
        clock.follow(self.offset_file)

    # -- what our side says ------------------------------------------------------------------------------------------------------------

    def ticks(self) -> dict[str, str]:
        """What each sweep did last."""
        from billing_ai.work.models import Tick

        return dict(Tick.objects.exclude(finished_at=None).values_list("schedule", "result"))

    def proposal(self, invoice_id: str, action: str) -> Any:
        """Waits for it: the proposal that an agent makes for this invoice."""
        from approvals.models import Proposal

        try:
            return until(
                f"{action} for {invoice_id} is proposed",
                lambda: Proposal.objects.filter(chargebee_invoice_id=invoice_id, action=action).select_related("current").first(),
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.stuck(invoice_id)}") from None

    def stuck(self, invoice_id: str) -> str:
        """Where the news of this invoice stands."""
        from agents.models import AgentRun
        from billing_ai.inbox.models import Event

        about = [event for event in Event.objects.order_by("-id")[:300] if any(ref["id"] == invoice_id for ref in event.resources)]
        runs = AgentRun.objects.filter(subject_id=invoice_id).values_list("status", "attempt", "reason", "cause_type")
        events = [(event.event_type, event.status, event.attempt, event.reason) for event in about]
        waiting = Event.objects.filter(status__in=("waiting", "leased")).count()
        return f"events {events}, runs {list(runs)}, {waiting} events wait, time {clock.now()}, processes {[child.name for child in self.group.children]}"

    def approve(self, proposal: Any) -> Any:
        """By as many people as it takes, each of whom sees the present text and facts; facts that change meanwhile are looked at again."""
        from django.contrib.auth.models import User

        from approvals import transitions
        from approvals.people import Refused
        from billing_ai.facts.queries import facts_hash

        people = iter(("specialist", "lead", "lead2"))
        name = next(people)
        for _ in range(20):
            proposal.refresh_from_db()
            if proposal.status not in ("waiting", "waiting_second"):
                break
            seen = {"content_hash": proposal.current.content_hash, "facts_hash": facts_hash(proposal.chargebee_invoice_id)}
            try:
                transitions.approve(proposal.pk, User.objects.get(username=name), **seen)
            except Refused as refused:
                if refused.code == "stale_facts":
                    continue
                if refused.code not in ("over_limit", "needs_lead", "same_person"):
                    raise
            name = next(people, name)
        assert proposal.status in ("approved", "executing", "done"), (proposal.status, proposal.status_reason)
        return proposal

    def execution(self, proposal: Any) -> Any:
        """The one effect of a proposal, as it is now."""
        from approvals.models import Execution

        return Execution.objects.get(proposal=proposal)

    def wait_execution(self, proposal: Any, *statuses: str) -> Any:
        """Waits until the effect has one of these statuses."""

        def look() -> Any:
            found = self.execution(proposal)
            return found if found.status in statuses else None

        try:
            return until(f"the effect is {' or '.join(statuses)}", look)
        except AssertionError as error:
            found = self.execution(proposal)
            raise AssertionError(f"{error}; it is {found.status}: {found.reason}") from None


def _text(value: Any) -> str:
    """The SDK gives an enum or a text, as it knows the value or not."""
    return str(getattr(value, "value", value))


AUTH = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), "Content-Type": "application/json"}
_USED: set[str] = set()
_SQLITE = {"transaction_mode": "IMMEDIATE", "timeout": 60}
"""Django's settings of this process may be PostgreSQL's."""


@contextlib.contextmanager
def database(url: str) -> Iterator[None]:
    """Django's own connection of this process is to `url` inside."""
    held = connections.settings["default"]
    before = dict(held)
    connections["default"].close()
    mine = environ.Env.db_url_config(url) | {"CONN_MAX_AGE": 0, "TEST": before["TEST"]}
    mine["OPTIONS"] = dict(_SQLITE) if url.startswith("sqlite") else {}
    held.clear()
    held.update({name: value for name, value in before.items() if name not in ("ENGINE", "OPTIONS")} | mine)
    held["CONN_HEALTH_CHECKS"] = True
    del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        held.clear()
        held.update(before)
        del connections["default"]


@contextlib.contextmanager
def running(
    held: Servers | OneMachine,
    *,
    parts: tuple[str, ...] = ("web", "worker", "beat"),
    settings: dict[str, str] | None = None,
    **simulator: Any,
) -> Iterator[Rig]:
    """A rig for the block; this process's clock and database are the rig's."""
    var_dir = Path(tempfile.mkdtemp(prefix="rig-", dir=held.folder))
    web_port = supervisor.free_port()
    scenario = var_dir / "scenario.json"
    # One country: its office hours are those of every customer.
    scenario.write_text(json.dumps({"description": "a company in Germany", "world": {"countries": {"DE": 1}}, "steps": []}))
    options: dict[str, Any] = {"customers": 120, "history_months": 1, "fresh_failures": 0, "scenario": scenario} | simulator
    hook = {"webhook_url": f"http://127.0.0.1:{web_port}/webhooks/chargebee/", "webhook_user": USER, "webhook_password": PASSWORD}
    with running_simulator(**options, **hook) as site:
        rig = Rig(held, site, var_dir, web_port, settings=settings)
        try:
            rig.to_office_hours()
            with database(rig.database_url):
                for name in parts:
                    rig.start(name)
                rig.wait_ready()
                yield rig
        finally:
            rig.stop()
            clock.follow(None)


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Do it on a thread; what it gives, or the error it ends with, is put into the list."""
    given: list[Any] = []

    def run() -> None:
        try:
            given.append(work())
        except Exception as error:  # noqa: BLE001 - handed to the test, which looks at it
            given.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, given
