"""The sweep that reads the ledger again: round and round in parts, and it stays where something does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from audit import ledger
from audit.actor import Actor
from audit.append_only import APPEND_ONLY
from audit.models import Entry
from billing_ai.inbox import proof, tasks
from billing_ai.work.models import Tick

pytestmark = pytest.mark.django_db(transaction=True)


def written(count: int) -> None:
    from django.db import transaction

    for number in range(count):
        with transaction.atomic():
            ledger.append("test.entry", actor=Actor("system", "test", "test"), trace_id="0" * 32, subject=("test", str(number)))


def test_a_whole_ledger_is_read_in_one_part_and_begun_again() -> None:
    written(3)
    said = proof.verify_next_part()
    assert said == ("whole: 3 entries of 1 writers", 0)
    assert Tick.objects.get(schedule=proof.PLACE).result == ""
    assert proof.verify_next_part() == said


def test_a_part_ends_behind_a_writer_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    written(2)
    monkeypatch.setattr(proof, "ENTRIES_A_PART", 1)
    assert proof.verify_next_part() == ("whole: 2 entries of 1 writers", 0)
    assert Tick.objects.get(schedule=proof.PLACE).result.startswith("up to writer ")
    assert proof.verify_next_part() == ("whole: 0 entries of 0 writers", 0)
    assert proof.verify_next_part() == ("whole: 2 entries of 1 writers", 0)


def test_a_changed_entry_is_said_and_the_alarm_stays(caplog: Any) -> None:
    written(2)
    with connection.cursor() as cursor:
        drop_guards(cursor)
        cursor.execute("UPDATE audit_entry SET kind = 'test.other'")
    tasks.verify_audit()
    tick = Tick.objects.get(schedule="audit.verify")
    assert tick.problems > 0
    assert "faults, the first:" in tick.result
    assert "audit.not_whole" in caplog.text
    assert proof.verify_next_part()[1] == tick.problems


def drop_guards(cursor: Any) -> None:
    """As the database's owner could."""
    assert Entry._meta.db_table in APPEND_ONLY
    if connection.vendor == "sqlite":
        cursor.execute("DROP TRIGGER audit_entry_no_update")
    else:
        cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER ALL")
