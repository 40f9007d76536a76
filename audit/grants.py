"""PostgreSQL: the role that web and workers run under. It reads and writes the application's tables, and can only add to the ledger.

An owner role migrates; the application logs in as a member of `billing_application` (`GRANT billing_application TO web;`). As long as the
application still logs in as the owner, the triggers are what holds. SQLite has no roles.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import sql

from audit.append_only import APPEND_ONLY

ROLE = "billing_application"

CREATE_ROLE = f"""
    DO $$ BEGIN
        CREATE ROLE {ROLE} NOLOGIN;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
        WHEN insufficient_privilege THEN RAISE NOTICE 'role {ROLE} was not created: let a superuser run CREATE ROLE {ROLE} NOLOGIN, then migrate again';
    END $$"""


def grant_to_application(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Give the application role what it needs on every table, and on the ledger SELECT and INSERT only. False without such a role."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE])
        if cursor.fetchone() is None:
            return False
        cursor.execute("SELECT current_schema()")
        schema, role = sql.Identifier(cursor.fetchone()[0]), sql.Identifier(ROLE)
        for statement in (
            "GRANT USAGE ON SCHEMA {schema} TO {role}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
            "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
        ):
            cursor.execute(sql.SQL(statement).format(schema=schema, role=role).as_string(connection.connection))
        existing = set(connection.introspection.table_names(cursor))
        for table in APPEND_ONLY:
            if table in existing:
                revoke = "REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {table} FROM {role}"
                cursor.execute(sql.SQL(revoke).format(table=sql.Identifier(table), role=role).as_string(connection.connection))
    return True


def grant_after_migrate(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """After each `migrate`: new tables are granted too."""
    grant_to_application(using)
