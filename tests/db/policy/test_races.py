"""Fifty workers at once never pass a limit, on PostgreSQL by row locks and on SQLite by its one writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, connections, transaction

from approvals import states
from approvals.models import CollectionAttempt, Contact, DailyUse, Execution, Limit, RetryReservation
from approvals.policy import retry_ledger
from billing_ai.facts import sync
from billing_ai.facts.models import Transaction
from billing_ai.facts.sync import Refreshed
from billing_ai.inbox import routing
from billing_ai.inbox.models import Event
from billing_ai.work import claims
from tests.database import address_of_the_test_database
from tests.db.policy.conftest import NOW, make_case, make_customer, make_execution, make_proposal

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[3]
WORKERS = 50


def race(what: str, executions: list[Execution], folder: Path) -> dict[str, int]:
    """Let fifty threads of another process take at once; what they got, and the database as they left it."""
    with_settings = {
        **os.environ,
        "DATABASE_URL": _address(folder),
        "DEMO": "true",
        "VAR_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "billing_ai.settings",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.db.policy.race_worker", what, NOW.isoformat(), ",".join(str(one.pk) for one in executions)],
        cwd=ROOT, env=with_settings, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


def _address(folder: Path) -> str:
    """The test's own database, for another process; on SQLite a copy, which the race may leave as it likes."""
    if connection.vendor == "sqlite":
        copy = folder / "race.sqlite3"
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(copy)])
        return f"sqlite:///{copy}"
    return address_of_the_test_database()


def _left(folder: Path, table: str, where: str, value: str) -> int:
    """A sum over what the race left behind, wherever it ran."""
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {value} FROM {table} WHERE {where}")
            return int(cursor.fetchone()[0] or 0)
    import sqlite3

    with sqlite3.connect(folder / "race.sqlite3") as copy:
        return int(copy.execute(f"SELECT {value} FROM {table} WHERE {where}").fetchone()[0] or 0)


def test_fifty_reserves_at_once_take_as_many_slots_as_are_free(tmp_path: Path) -> None:
    make_customer()
    for day in range(1, 10):
        CollectionAttempt.objects.create(
            chargebee_transaction_id=f"txn_{day}", chargebee_customer_id="cust_1", chargebee_invoice_id="inv_old", instrument_hash="hash_cust_1",
            network="visa", amount_minor=4_900, currency="EUR", happened_at=NOW - timedelta(days=day), succeeded=False, source="chargebee_dunning",
            decline_code="insufficient_funds", decline_category="insufficient_funds", retryable="yes",
        )  # fmt: skip
    executions = [make_execution(make_proposal(make_case(invoice_id=f"inv_{number}"), status="approved")) for number in range(WORKERS)]

    outcomes = race("slot", executions, tmp_path)

    # Fifteen in thirty days, nine of them used.
    assert outcomes == {"taken": 6, "wait": 44}
    assert _left(tmp_path, RetryReservation._meta.db_table, "status = 'held'", "COUNT(*)") == 6


def test_fifty_workers_at_once_stay_within_the_day(tmp_path: Path) -> None:
    make_customer()
    limit = Limit.objects.get(agent="dunning", key="daily_count")
    limit.value = 20
    limit.save()
    executions = [make_execution(make_proposal(make_case(invoice_id=f"inv_{number}"), status="approved")) for number in range(WORKERS)]

    outcomes = race("day", executions, tmp_path)

    assert outcomes == {"allow": 20, "wait": 30}
    assert _left(tmp_path, DailyUse._meta.db_table, "key = 'daily_count'", "SUM(used)") == 20
    assert _left(tmp_path, DailyUse._meta.db_table, "key = 'daily_amount.EUR'", "SUM(used)") == 20 * 5_292


def test_of_fifty_messages_to_one_customer_only_the_last_that_is_allowed_goes_out(tmp_path: Path) -> None:
    make_customer()
    first = make_case(invoice_id="inv_0")
    for day in (1, 2):
        Contact.objects.create(chargebee_customer_id="cust_1", case=first, channel="email", at=NOW - timedelta(days=day))
    executions = []
    for number in range(1, WORKERS + 1):
        note = make_proposal(make_case(invoice_id=f"inv_{number}"), "send_message", step="first_notice", channel="email", status="approved")
        executions.append(make_execution(note))

    outcomes = race("turn", executions, tmp_path)

    assert outcomes == {"taken": 1, "wait": 49}
    assert _left(tmp_path, Execution._meta.db_table, "status = 'executing'", "COUNT(*)") == 1


def test_a_charge_that_ends_and_the_news_of_it_do_not_wait_for_each_other_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    # given our charge was made, its answer is about to be written down, and Chargebee's event of the same charge is being routed
    make_customer()
    proposal = make_proposal(make_case(), status="executing")
    execution = make_execution(proposal, status="executing")
    assert isinstance(retry_ledger.reserve(execution, now=NOW), RetryReservation)
    Transaction.objects.create(
        pk="txn_1", chargebee_customer_id="cust_1", kind="payment", status="failure", currency="EUR", amount_minor=4_900, happened_at=NOW,
        initiator="merchant", instrument_hash="hash_cust_1", payment_method="card", gateway="stripe", decline_code="insufficient_funds",
        invoice_ids=["inv_1"], fetched_at=NOW,
    )  # fmt: skip
    Event.objects.create(
        chargebee_event_id="ev_1", event_type="payment_failed", chargebee_customer_id="cust_1", body_sha256="0" * 64, trace_id="t" * 32,
        occurred_at=NOW, received_at=NOW, not_before=NOW, resources=[],
    )  # fmt: skip
    (event,) = claims.claim(Event, 1, routing.LEASE)
    fetched, failed = threading.Event(), []

    def refresh(customer_id: str, invoice_ids: tuple[str, ...]) -> Refreshed:
        fetched.set()
        return Refreshed("cust_1", ("inv_1",))

    def route() -> None:
        try:
            routing.route(event)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failed.append(error)
        finally:
            connections.close_all()

    monkeypatch.setattr(sync, "refresh", refresh)
    news = threading.Thread(target=route)
    # when the news comes while the end of the charge holds its case
    with transaction.atomic():
        states.lock_proposal(proposal.pk)
        news.start()
        assert fetched.wait(30)
        time.sleep(0.5)  # until it waits for the case
        retry_ledger.use(execution, "txn_1")
    news.join(60)
    # then both are written, and the charge is known as ours
    assert failed == []
    assert Event.objects.get().status == "done"
    assert (RetryReservation.objects.get().status, CollectionAttempt.objects.get().source) == ("used", "ours")


def test_the_race_runs_on_the_database_under_test() -> None:
    assert connection.vendor in settings.DATABASES["default"]["ENGINE"]
