"""What makes the database itself refuse changes: triggers, on SQLite and on PostgreSQL.

Whoever may alter tables can remove them; that is what the hash chain and the checkpoints outside are for.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

# table: the columns that no two rows may share. SQLite's INSERT OR REPLACE deletes without firing delete triggers; the insert trigger closes that.
APPEND_ONLY: dict[str, tuple[tuple[str, ...], ...]] = {
    "audit_entry": (("id",), ("writer", "position")),
    "audit_checkpoint": (("number",),),
    "audit_checkpointhead": (("id",), ("writer", "position")),
    "audit_personaldataread": (("id",),),
}


def link(previous: bytes, entry_id: int, content: bytes) -> bytes:
    """The hash of an entry: SHA-256 over the hash before it, its id as eight bytes, and the hash of its content."""
    return hashlib.sha256(bytes(previous) + entry_id.to_bytes(8, "big") + bytes(content)).digest()


def prepare_sqlite(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Give each SQLite connection the link function, and let it overwrite what is deleted (a dropped key must not stay in a free page)."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("audit_link", 3, link, deterministic=True)
        connection.connection.execute("PRAGMA secure_delete = ON")


def install_sql(vendor: str) -> list[str]:
    """The statements that create the triggers, one statement a text."""
    return _sqlite_install() if vendor == "sqlite" else _postgresql_install()


def remove_sql(vendor: str) -> list[str]:
    """The statements that drop them: for reversing the migration, and for test suites that empty their tables."""
    if vendor == "sqlite":
        return [f"DROP TRIGGER IF EXISTS {table}_no_{verb}" for table in APPEND_ONLY for verb in ("update", "delete", "replace")]
    return [f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}" for table in APPEND_ONLY]


def _sqlite_install() -> list[str]:
    statements = []
    for table, keys in APPEND_ONLY.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        taken = " OR ".join("(" + " AND ".join(f"{column} = NEW.{column}" for column in columns) + ")" for columns in keys)
        statements += [
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}",
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}",
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {taken}) {refuse}",  # noqa: S608
        ]
    return statements


def _postgresql_install() -> list[str]:
    function = """
        CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
        END $$"""
    return [function] + [
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()"
        for table in APPEND_ONLY
    ]


APPEND_FUNCTION = """
    CREATE OR REPLACE FUNCTION audit_append(
        a_writer uuid, a_serial bigint, a_at timestamptz, a_kind text, a_actor_kind text, a_actor_id text, a_actor_label text, a_trace_id text,
        a_event text, a_customer text, a_invoice text, a_case uuid, a_subject_kind text, a_subject_id text, a_agent text, a_prompt_hash text,
        a_model text, a_data text, a_mark bytea, a_content bytea
    ) RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        fresh bigint := nextval('audit_entry_id_seq');
        head_position bigint;
        head_hash bytea;
    BEGIN
        SELECT position, hash INTO head_position, head_hash FROM audit_entry WHERE writer = a_writer ORDER BY position DESC LIMIT 1;
        IF NOT FOUND THEN
            head_position := 0;
            head_hash := decode(repeat('00', 32), 'hex');
        END IF;
        INSERT INTO audit_entry (
            id, writer, position, serial, at, kind, actor_kind, actor_id, actor_label, trace_id, chargebee_event_id, chargebee_customer_id,
            chargebee_invoice_id, case_id, subject_kind, subject_id, agent, prompt_hash, model, data, mark, prev_hash, hash
        ) VALUES (
            fresh, a_writer, head_position + 1, a_serial, a_at, a_kind, a_actor_kind, a_actor_id, a_actor_label, a_trace_id, a_event, a_customer,
            a_invoice, a_case, a_subject_kind, a_subject_id, a_agent, a_prompt_hash, a_model, a_data, a_mark, head_hash,
            sha256(head_hash || int8send(fresh) || a_content)
        );
        RETURN fresh;
    END $$"""
"""PostgreSQL's half of `ledger.append`: read the writer's head, link, insert."""
