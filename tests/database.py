"""The database under test, for another process."""

from __future__ import annotations

from urllib.parse import quote

from django.db import connection


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
