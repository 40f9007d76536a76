"""The database under test: its address for another process, what can be read in it, and how it becomes what it was before a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder

from audit.append_only import APPEND_ONLY, install_sql, remove_sql


def address_of_the_test_database() -> str:
    """What `DATABASE_URL` has to be for a process that shall work beside the test."""
    if connection.vendor == "sqlite":
        return f"sqlite:///{connection.settings_dict['NAME']}"
    values = connection.get_connection_params()
    password = f":{quote(values['password'])}" if values.get("password") else ""
    host = values.get("host") or "127.0.0.1"
    if host.startswith("/"):  # a socket in the file system
        return f"postgres://{values['user']}{password}@/{values['dbname']}?host={quote(host, safe='')}"
    return f"postgres://{values['user']}{password}@{host}:{values.get('port') or 5432}/{values['dbname']}"


def places_with(words: list[str]) -> list[str]:
    """`table.column: word` for every word that can be read anywhere in the database, in whatever case it is written."""
    wanted = [word.lower().encode() for word in words if word]
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    found |= {f"{table}.{name}: {word.decode()}" for word in wanted if word in raw.lower()}
    return sorted(found)


def rows_of(tables: list[str]) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of those of the tables that have any, as the database gives them, by primary key."""
    with connection.cursor() as cursor:
        found = {}
        for table in _with_rows(cursor, tables):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")
            found[table] = cursor.fetchall()
        return found


def make_quick() -> None:
    """Nothing that a test writes has to outlive a crash of the machine: SQLite does not wait for the disk. Before the first connection."""
    if connection.vendor == "sqlite":
        options = connection.settings_dict["OPTIONS"]
        options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")


@dataclass(frozen=True, slots=True)
class Installed:
    """What a new installation's database holds: per table the columns and the rows, in a fixed order."""

    tables: dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]

    @classmethod
    def now(cls) -> Installed:
        """Read right after the migrations."""
        with connection.cursor() as cursor:
            names = [name for name in connection.introspection.table_names(cursor) if name != MigrationRecorder.Migration._meta.db_table]
            tables = {}
            for table in names:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} LIMIT 0")
                columns = tuple(column[0] for column in cursor.description)
                tables[table] = (columns, _rows(cursor, table, columns))
        return cls(tables)

    def put_back(self) -> None:
        """Make every table that differs what it was, in one transaction.

        Django's own way empties all tables and makes permissions, groups and rules anew, for every test that commits: most of its time.
        The ledger's tables are append-only: their triggers go before and come back after.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            changed = self._changed(cursor)
            guarded = set(changed) & set(APPEND_ONLY)
            for statement in remove_sql(connection.vendor) if guarded else ():
                cursor.execute(statement)
            for table in changed:
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
            for table in changed:
                columns, rows = self.tables[table]
                places = ", ".join(["%s"] * len(columns))
                cursor.executemany(f"INSERT INTO {connection.ops.quote_name(table)} ({_named(columns)}) VALUES ({places})", rows)
            # PostgreSQL alters no table whose foreign keys are still to be checked.
            connection.check_constraints()
            for statement in install_sql(connection.vendor) if guarded else ():
                cursor.execute(statement)

    def _changed(self, cursor: Any) -> list[str]:
        changed = _with_rows(cursor, [table for table, (_, rows) in self.tables.items() if not rows])
        return changed + [table for table, (columns, rows) in self.tables.items() if rows and _rows(cursor, table, columns) != rows]


def _with_rows(cursor: Any, tables: list[str]) -> list[str]:
    cursor.execute(
        " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {connection.ops.quote_name(table)})" for table in tables)
    )
    return [str(row[0]) for row in cursor.fetchall()]


def _named(columns: tuple[str, ...]) -> str:
    return ", ".join(connection.ops.quote_name(column) for column in columns)


def _rows(cursor: Any, table: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    cursor.execute(f"SELECT {_named(columns)} FROM {connection.ops.quote_name(table)} ORDER BY 1")
    return [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in cursor.fetchall()]
