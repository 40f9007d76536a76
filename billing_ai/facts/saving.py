"""How fetched facts get into their tables: inserted or brought up to date, older news left out, whatever their kinds in one statement.

Called by `sync.py` and by nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery

from billing_ai.facts.models import Fact


def save(*kinds: Sequence[Fact]) -> None:
    """Insert or update rows, a sequence for each kind. A row that is older than the one that is there changes nothing.

    PostgreSQL does it in one statement, SQLite in one a kind within a transaction. Rows are taken in the order of their keys, so that two
    workers with news of the same customer wait for each other instead of for ever.
    """
    statements = [_upsert(rows) for rows in kinds if rows]
    if not statements:
        return
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            parts = ", ".join(f"s{number} AS ({sql})" for number, (sql, _) in enumerate(statements))
            cursor.execute(f"WITH {parts} SELECT", [value for _, params in statements for value in params])  # compiled by the ORM
            return
        with transaction.atomic():
            for sql, params in statements:
                cursor.execute(sql, params)


def _upsert(rows: Sequence[Fact]) -> tuple[str, Sequence[Any]]:
    model = type(rows[0])
    # The last of two with one key is the newer fetch; one statement may not touch a row twice.
    distinct = {row.pk: row for row in sorted(rows, key=lambda row: row.resource_version)}
    fields = model._meta.concrete_fields
    query = InsertQuery(
        model,
        on_conflict=OnConflict.UPDATE,
        update_fields=[field for field in fields if not field.primary_key],
        unique_fields=[model._meta.pk],
    )
    query.insert_values(fields, [distinct[key] for key in sorted(distinct)])
    [(sql, params)] = query.get_compiler(connection=connection).as_sql()
    table = connection.ops.quote_name(model._meta.db_table)
    return f"{sql} WHERE {table}.resource_version <= EXCLUDED.resource_version", params
