"""The insert that is prepared: the same row as through a cursor, the same errors, and a way on where the server does not know it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DataError, ProgrammingError, connection, transaction
from django.forms.models import model_to_dict

from billing_ai.inbox import intake, prepared
from billing_ai.inbox.models import Event
from billing_ai.work import claims
from tests.db.inbox.conftest import event

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL keeps prepared statements"),
]


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_prepared", prepared.PreparedInsert(intake._INSERT_AMONG_HOSTS, len(intake._COLUMNS)))


def stored(body: dict[str, Any]) -> bool:
    return intake.store(intake.read_envelope(body), body_sha256="a" * 64)


def prepared_statements() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements")
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.parametrize(
    "body",
    [
        event(),
        event("ev_ű'\\\"%s$1", "payment_succeeded", occurred_at=None),
        event("ev_x", "quote_created", content=None, source="x" * 40),
        event("ev_y", content={"customer": {"id": "cus_'; --", "resource_version": 2**62}}),
    ],
)
def test_the_row_is_the_same_as_through_a_cursor(body: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for is_worth_it in (True, False):
        monkeypatch.setattr(intake._prepared, "is_of_use", is_worth_it)
        Event.objects.all().delete()
        with monkeypatch.context() as patch:
            patch.setattr("billing_ai.kernel.clock.now", lambda: datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC))
            assert stored(body)
            assert not stored(body)  # and its second coming is none
        rows.append(model_to_dict(Event.objects.get(), exclude=["id"]))
    assert rows[0] == rows[1]
    assert any(name.startswith("inbox_") for name in prepared_statements())


@pytest.mark.parametrize("is_worth_it", [True, False])
def test_what_a_host_whose_clock_is_ahead_has_stored_is_handed_out_at_once(is_worth_it: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake._prepared, "is_of_use", is_worth_it)
    with monkeypatch.context() as patch:
        patch.setattr("billing_ai.kernel.clock.now", lambda: datetime.now(UTC) + timedelta(minutes=5))
        assert stored(event())
    assert [row.chargebee_event_id for row in claims.claim(Event, 10, timedelta(minutes=3))] == ["ev_1"]


def test_a_server_that_does_not_know_the_statement_loses_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stored(event("ev_1"))
    # given what a pooler does: each statement meets a connection on which nothing was prepared
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    monkeypatch.setattr(intake._prepared, "_prepare", lambda raw: None)
    # then the event is stored the usual way, and so are those after it
    assert stored(event("ev_2"))
    assert not intake._prepared.is_of_use
    assert stored(event("ev_3"))
    assert not stored(event("ev_2"))
    assert Event.objects.count() == 3
    assert prepared_statements() == []


def test_a_statement_that_was_let_go_of_is_prepared_anew() -> None:
    assert stored(event("ev_1"))
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert stored(event("ev_2"))
    assert intake._prepared.is_of_use
    assert [name.startswith("inbox_") for name in prepared_statements()] == [True]
    assert Event.objects.count() == 2


def test_a_statement_that_another_client_of_a_pooler_prepared_is_used() -> None:
    assert stored(event("ev_1"))
    intake._prepared._connections.clear()
    assert stored(event("ev_2"))
    assert intake._prepared.is_of_use
    assert Event.objects.count() == 2


def test_inside_a_transaction_it_is_part_of_that() -> None:
    with transaction.atomic():
        assert stored(event("ev_1"))
        transaction.set_rollback(True)
    assert Event.objects.count() == 0


def test_its_errors_are_those_of_a_cursor() -> None:
    odd = prepared.PreparedInsert("INSERT INTO inbox_no_such_table (id) VALUES (%s)", 1)
    with pytest.raises(ProgrammingError, match="inbox_no_such_table"):
        odd.insert(connection, ["1"])
    number = prepared.PreparedInsert("INSERT INTO inbox_event (lane) VALUES (%s)", 1)
    with pytest.raises(DataError):
        number.insert(connection, ["no number"])
    with pytest.raises(DataError, match="NUL"):
        number.insert(connection, ["1\0"])
    assert connection.is_usable()
