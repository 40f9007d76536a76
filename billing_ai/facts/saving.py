"""How fetched facts get into their tables: inserted or brought up to date, older news left out, whatever their kinds in one statement.

Called by `sync.py` and by nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction

from billing_ai.facts.models import Fact
from billing_ai.tables.one_write import Insert, write


def save(*kinds: Sequence[Fact]) -> None:
    """Insert or update rows, a sequence for each kind. A row that is older than the one that is there changes nothing.

    PostgreSQL does it in one statement, SQLite in one a kind within a transaction. Rows are taken in the order of their keys, so that two
    workers with news of the same customer wait for each other instead of for ever.
    """
    parts = [_upsert(rows) for rows in kinds if rows]
    if connection.vendor == "postgresql":
        write(*parts)
    elif parts:
        with transaction.atomic():
            write(*parts)


def _upsert(rows: Sequence[Fact]) -> Insert:
    # The last of two with one key is the newer fetch; one statement may not touch a row twice.
    distinct = {row.pk: row for row in sorted(rows, key=lambda row: row.resource_version)}
    fields = type(rows[0])._meta.concrete_fields
    return Insert(
        [distinct[key] for key in sorted(distinct)],
        unique=tuple(field.attname for field in fields if field.primary_key),
        update=tuple(field.attname for field in fields if not field.primary_key),
        version="resource_version",
    )
