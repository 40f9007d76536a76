"""The database refuses to change or remove what may only be added."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from audit.actor import system
from audit.append_only import APPEND_ONLY
from audit.grants import ROLE, grant_to_application
from audit.ledger import append
from audit.models import CustomerKey, Entry, PersonalDataRead
from audit.seal import seal

POSTGRESQL = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="roles and TRUNCATE exist on PostgreSQL only: run with DATABASE_URL=postgres://…"
)


def write() -> int:
    return append("proposal.approved", actor=system("test"), trace_id="t", subject=("proposal", "p1"))


def refused(statement: str, parameters: tuple = ()) -> str:
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
    return str(caught.value)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET kind = 'proposal.rejected'",
        "DELETE FROM audit_entry",
        "INSERT INTO audit_entry SELECT * FROM audit_entry WHERE true ON CONFLICT (id) DO UPDATE SET kind = 'x'",
    ],
)
def test_sql_cannot_change_an_entry(statement):
    write()
    assert "append-only" in refused(statement)
    assert list(Entry.objects.values_list("kind", flat=True)) == ["proposal.approved"]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="INSERT OR REPLACE exists on SQLite only")
def test_sqlite_replace_is_refused_although_it_fires_no_delete_trigger():
    write()
    assert "append-only" in refused("INSERT OR REPLACE INTO audit_entry SELECT * FROM audit_entry")
    assert Entry.objects.count() == 1


@pytest.mark.django_db
def test_the_orm_cannot_change_an_entry_either():
    entry = Entry.objects.get(pk=write())
    entry.kind = "proposal.rejected"
    with pytest.raises(DatabaseError), transaction.atomic():
        entry.save()
    with pytest.raises(DatabaseError), transaction.atomic():
        entry.delete()
    assert Entry.objects.get().kind == "proposal.approved"


@pytest.mark.django_db
def test_reads_of_personal_data_cannot_be_removed():
    from django.contrib.auth import get_user_model

    from audit.reads import note_personal_read

    user = get_user_model().objects.create_user("auditor")
    note_personal_read(user, "cus_1", "address", "asked by phone")
    assert "append-only" in refused("DELETE FROM audit_personaldataread")
    assert PersonalDataRead.objects.count() == 1


@POSTGRESQL
@pytest.mark.django_db
@pytest.mark.parametrize("table", APPEND_ONLY)
def test_postgresql_refuses_to_truncate(table):
    write()
    assert "append-only" in refused(f"TRUNCATE {table} CASCADE")
    assert Entry.objects.count() == 1


@POSTGRESQL
@pytest.mark.django_db
@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement", ["UPDATE {} SET at = now()", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}", "ALTER TABLE {} DISABLE TRIGGER ALL"]
)
def test_the_application_role_is_refused(table, statement):
    assert grant_to_application()
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {ROLE}")
    text = refused(statement.format(table).replace("at = now()", "id = id" if table == "audit_checkpointhead" else "at = now()"))
    assert "permission denied" in text or "must be owner" in text


@POSTGRESQL
@pytest.mark.django_db
def test_the_application_role_appends_and_seals():
    assert grant_to_application()
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {ROLE}")
    write()
    seal("cus_1", "words")
    assert Entry.objects.count() == 1
    assert CustomerKey.objects.count() == 1
