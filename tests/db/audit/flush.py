"""Lets a test suite empty its tables: `flush` would run into the append-only triggers, so they go before it and come back after it."""

from __future__ import annotations

from typing import Any

from django.db import connection

from audit.append_only import APPEND_ONLY, install_sql, remove_sql


def allow_flush(monkeypatch: Any) -> None:
    """Wrap the back end's `sql_flush`. Only tests call it; twice is once."""
    operations = type(connection.ops)
    plain = operations.sql_flush
    if getattr(plain, "goes_past_triggers", False):
        return

    def sql_flush(self: Any, style: Any, tables: Any, **options: Any) -> list[str]:
        statements = plain(self, style, tables, **options)
        if not statements or not set(tables) & set(APPEND_ONLY):
            return statements
        vendor = self.connection.vendor
        return [*remove_sql(vendor), *statements, *install_sql(vendor)]

    sql_flush.goes_past_triggers = True  # type: ignore[attr-defined]  # a mark for ourselves
    monkeypatch.setattr(operations, "sql_flush", sql_flush)
