"""Statements that the server plans once: what they answer is what a cursor gets, and where it cannot be relied on nothing is prepared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import DataError, ProgrammingError, connection, transaction
from django.db.transaction import TransactionManagementError

from approvals.models import Case
from billing_ai.facts import saving
from billing_ai.facts.models import Invoice
from billing_ai.tables import planned
from billing_ai.tables.one_statement import Kept
from tests import factories

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL keeps prepared statements"),
]


@pytest.fixture(autouse=True)
def a_connection_of_its_own() -> Iterator[None]:
    connection.close()
    yield
    connection.close()


def prepared_statements() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [text for (text,) in cursor.fetchall()]


@pytest.fixture
def behind_a_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client is told another key than the process's number."""
    import psycopg

    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", property(lambda info: 1))


def test_each_kind_of_value_arrives_as_through_a_cursor() -> None:
    from psycopg.types.json import Jsonb

    moment = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    values: list[tuple[Any, str]] = [
        ("O'Brien \\ \"%s\" $1 Ümläut \U0001f600", "text"), ("", "text"), (-(2**62), "bigint"), (0, "integer"), (True, "boolean"), (False, "boolean"),
        (moment, "timestamptz"), (date(2026, 2, 28), "date"), (UUID(int=7), "uuid"), (Decimal("-10.500"), "numeric"), (b"\x00\xff", "bytea"),
        (memoryview(b"\\x"), "bytea"), (Jsonb({"a": ["é", None, 1.5]}), "jsonb"), (None, "text"),
    ]  # fmt: skip
    texts = planned.as_text([value for value, _ in values])
    assert texts is not None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'%s::{kind}' for _, kind in values)}", [value for value, _ in values])
        through_a_cursor = cursor.fetchone()
    for _ in range(4):  # not yet prepared, and prepared
        found = planned.ask(f"SELECT {', '.join(f'${n}::{kind}' for n, (_, kind) in enumerate(values, 1))}", texts)
        assert found == [through_a_cursor]
    assert planned.as_text([object()]) is None


def _of(*, customer_id: str, since: Any) -> dict[str, Any]:
    cases = Case.objects.filter(chargebee_customer_id=customer_id, opened_at__gt=since)
    return {"cases": cases.values_list("pk", "chargebee_customer_id"), "open": cases.filter(status=Case.OPEN).values_list("pk", flat=True)}


def test_kept_questions_are_prepared_with_what_never_changes_in_their_text(chargebee: Any) -> None:
    case, other = factories.case(chargebee), factories.case(chargebee)
    kept = Kept(_of)
    connection.close()
    for one in (case, other, case):
        found = kept.ask(customer_id=one.chargebee_customer_id, since=datetime(2020, 1, 1, tzinfo=UTC))
        assert found == {"cases": [(one.pk, one.chargebee_customer_id)], "open": [one.pk]}
    [statement] = prepared_statements()
    assert "'open'" in statement
    assert other.chargebee_customer_id not in statement


@pytest.mark.usefixtures("behind_a_pooler")
def test_behind_a_pooler_nothing_is_prepared(chargebee: Any) -> None:
    case = factories.case(chargebee)
    kept = Kept(_of)
    connection.close()
    for _ in range(4):
        assert kept.ask(customer_id=case.chargebee_customer_id, since=datetime(2020, 1, 1, tzinfo=UTC))["open"] == [case.pk]
        saving.save([Invoice.objects.get(pk=case.chargebee_invoice_id)])
    assert prepared_statements() == []


def test_plans_are_made_anew_after_a_time_also_within_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned, "_USES_OF_A_PLAN", 3)
    with transaction.atomic():
        answers = [planned.ask("SELECT $1::integer", [str(number)], is_fixed=True) for number in range(7)]
        assert answers == [[(number,)] for number in range(7)]
        assert prepared_statements() == ["SELECT $1::integer"]


def test_its_errors_are_those_of_a_cursor() -> None:
    with pytest.raises(ProgrammingError, match="no_such_table"):
        planned.ask("SELECT * FROM no_such_table WHERE id = $1", ["1"], is_fixed=True)
    with pytest.raises(DataError):
        planned.ask("SELECT $1::integer", ["no number"], is_fixed=True)
    with pytest.raises(DataError, match="NUL"):
        planned.ask("SELECT $1::text", ["a\0b"])
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            planned.ask("SELECT $1::text", ["a"])
    assert planned.ask("SELECT $1::text", ["a"]) == [("a",)]
