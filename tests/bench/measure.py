"""CPU of process trees and of database servers, and a database that is there for one bench only."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests import services

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """CPU that a process and those of its children that have ended have used so far; 0 when it is gone or runs elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(int(fields[n]) for n in range(11, 15)) / _TICK


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += [int(child) for child in task.read_text().split()]
    return found


def pss_mb(pids: Sequence[int]) -> float:
    """Proportional set size of processes together: shared pages count once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as lines:
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def own_server() -> int:
    """The process id of the PostgreSQL backend that serves Django's connection here."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


class Meter:
    """CPU of process trees and of the PostgreSQL servers of one database, from `start` to `stop`.

    `apart` are servers that only look whether the work is done: what they take belongs to the measuring.
    """

    def __init__(self, database: str, roots: Sequence[int], apart: Sequence[int] = ()) -> None:
        import psycopg

        self.control = psycopg.connect(database, autocommit=True)
        self.roots, self.apart = roots, frozenset(apart)

    def _servers(self) -> dict[int, float]:
        rows = self.control.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchall()
        return {pid: cpu_seconds(pid) for (pid,) in rows if pid not in self.apart}

    def start(self) -> None:
        """Remember where everything stands."""
        self.before = {pid: cpu_seconds(pid) for root in self.roots for pid in tree(root)}
        self.servers = self._servers()

    def stop(self) -> tuple[float, float]:
        """CPU seconds since `start`, of the trees and of the database's servers."""
        own = sum(cpu_seconds(pid) - self.before.get(pid, 0.0) for root in self.roots for pid in tree(root))
        servers = sum(now - self.servers.get(pid, 0.0) for pid, now in self._servers().items())
        return own, servers

    def count(self, table: str) -> int:
        """Rows of a table."""
        row = self.control.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Let go of the connection."""
        self.control.close()


@contextlib.contextmanager
def scratch_database(name: str) -> Iterator[str]:
    """The address of an empty PostgreSQL database, dropped afterwards: beside the one of DATABASE_URL, else on a server from the wheel."""
    import psycopg

    with contextlib.ExitStack() as stack:
        url = os.environ.get("DATABASE_URL", "")
        if not url.startswith("postgres"):
            found = stack.enter_context(services.postgresql())
            if not found.value:
                raise SystemExit(found.said)
            url = found.value
        base, _, rest = url.partition("?")
        head, _, old = base.rpartition("/")
        own = f"{old}_{name}_bench"
        query = f"?{rest}" if rest else ""
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(f'DROP DATABASE IF EXISTS "{own}" WITH (FORCE)')
            server.execute(f'CREATE DATABASE "{own}"')
        try:
            yield f"{head}/{own}{query}"
        finally:
            with psycopg.connect(url, autocommit=True) as server:
                server.execute(f'DROP DATABASE IF EXISTS "{own}" WITH (FORCE)')


def versions(url: str) -> str:
    """PostgreSQL's version and what a commit waits for, in words."""
    import psycopg

    with psycopg.connect(url) as server:
        version, commit, sync = (
            server.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index]
            for name in ("server_version", "synchronous_commit", "fsync")
        )
    return f"PostgreSQL {version.split()[0]}, synchronous_commit {commit}, fsync {sync}"


def median(values: Sequence[float]) -> float:
    """The middle one; 0 of none."""
    return statistics.median(values) if values else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def span(values: Sequence[float], digits: int = 2) -> str:
    """Median and range, as text."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})" if values else "–"


def django(url: str, **more: str) -> dict[str, str]:
    """An environment for our own processes on this database: as in production but for the names of the outside."""
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL", "TEST_DATABASE_URL")}
    return {**kept, "DATABASE_URL": url, "DEMO": "true", "DJANGO_SETTINGS_MODULE": "billing_ai.settings", **more}


def rate(count: float, seconds: float) -> float:
    """So many a second."""
    return count / seconds if seconds else 0.0


Figures = dict[str, Any]
