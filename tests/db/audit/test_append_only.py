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


@pytest.fixture
def web(transactional_db):
    """A connection of one who logs in as a member of the application role, as web and workers do."""
    import psycopg

    values = connection.get_connection_params()
    with transaction.atomic():
        assert grant_to_application()
        write()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE billing_web_under_test LOGIN PASSWORD 'only-in-tests' IN ROLE {ROLE}")
    try:
        with psycopg.connect(
            host=values.get("host"),
            port=values.get("port"),
            dbname=values["dbname"],
            user="billing_web_under_test",
            password="only-in-tests",
        ) as opened:
            yield opened
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP ROLE billing_web_under_test")


ON_A_TABLE = (
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "TRUNCATE {table}",
    "TRUNCATE {table} CASCADE",
    "DROP TABLE {table} CASCADE",
    "DROP TRIGGER {table}_append_only ON {table}",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} DISABLE TRIGGER USER",
    "ALTER TRIGGER {table}_append_only ON {table} RENAME TO gone",
    "ALTER TABLE {table} RENAME TO gone",
    "ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL",
    "ALTER TABLE {table} OWNER TO billing_web_under_test",
    "CREATE TRIGGER mine BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION audit_refuse_change()",
    "CREATE RULE mine AS ON INSERT TO {table} DO INSTEAD NOTHING",
    "CREATE TABLE mine (other bigint REFERENCES {table})",
)
ON_THE_DATABASE = (
    "SET session_replication_role = replica",
    "SET ROLE postgres",
    "DROP FUNCTION audit_refuse_change() CASCADE",
    "CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "ALTER FUNCTION audit_append OWNER TO billing_web_under_test",
    "UPDATE pg_trigger SET tgenabled = 'D'",
    "DROP SCHEMA public CASCADE",
    "ALTER ROLE billing_web_under_test SUPERUSER",
    f"ALTER ROLE {ROLE} SUPERUSER",
)
"""What someone would try who can run any SQL as the application does."""


@POSTGRESQL
def test_whoever_logs_in_as_the_application_cannot_change_the_ledger_by_any_sql(web):
    import psycopg

    statements = [
        text.format(table=table, column=keys[0][0]) for table, keys in APPEND_ONLY.items() for text in ON_A_TABLE
    ] + list(ON_THE_DATABASE)  # fmt: skip
    went_through = []
    for statement in statements:
        try:
            web.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            web.rollback()
        except psycopg.Error as error:
            went_through.append(f"{statement}: {error}")  # refused, but not because of who asks
            web.rollback()
        else:
            went_through.append(statement)
            web.rollback()
    assert went_through == []
    assert Entry.objects.count() == 1
    # and what the application has to do, it can
    assert web.execute("SELECT count(*) FROM audit_entry").fetchone() == (1,)


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
