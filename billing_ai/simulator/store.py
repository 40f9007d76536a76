"""Everything the site knows, in one SQLite file: an acknowledged write survives kill -9.

One table a kind of thing, the thing itself as JSON, and beside it the few columns that lists filter and sort by.
With WAL and `synchronous=NORMAL` a committed write is with the operating system, which outlives the process.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Thing = dict[str, Any]

AT_FIELDS = ("date", "occurred_at", "created_at", "usage_date", "at")
INDEXED = ("customer_id", "subscription_id", "status", "updated_at")
KINDS = (
    "customer", "subscription", "invoice", "transaction", "payment_source", "hosted_page", "comment", "event",
    "webhook_endpoint", "item_family", "item", "item_price", "feature", "entitlement", "subscription_entitlement", "usage",
    "coupon", "credit_note", "promotional_credit", "unbilled_charge", "ramp", "contract_term", "time_machine",
    "business_entity", "portal_session", "truth", "delivery", "mail", "sms", "ticket", "ticket_comment", "crm_record",
    "seen", "fault", "download", "quote",
)  # fmt: skip


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class Store:
    """Things by kind and id. Every write happens inside `writing()`, which commits once at the end."""

    def __init__(self, path: str | None, *, reset: bool = False) -> None:
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if reset:
                for suffix in ("", "-wal", "-shm"):
                    Path(path + suffix).unlink(missing_ok=True)
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._depth = 0
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA cache_size=-65536")
        self._db.execute("PRAGMA temp_store=MEMORY")
        self._create_tables()

    def _create_tables(self) -> None:
        for kind in KINDS:
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS [{kind}] (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, customer_id TEXT,"
                " subscription_id TEXT, status TEXT, at INTEGER, updated_at INTEGER, body TEXT NOT NULL)"
            )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS due (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, ref TEXT NOT NULL)"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL,"
            " body TEXT NOT NULL, real_at REAL NOT NULL, sim_at INTEGER NOT NULL)"
        )

    def add_indexes(self) -> None:
        """Once the world is in: building an index over everything is far cheaper than keeping it up row by row."""
        for kind in KINDS:
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {kind}_customer ON [{kind}](customer_id) WHERE customer_id IS NOT NULL")
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {kind}_sub ON [{kind}](subscription_id) WHERE subscription_id IS NOT NULL")
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {kind}_at ON [{kind}](at)")
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {kind}_updated ON [{kind}](updated_at) WHERE updated_at IS NOT NULL")
            self._db.execute(f"CREATE INDEX IF NOT EXISTS {kind}_status ON [{kind}](status, at) WHERE status IS NOT NULL")
        for name in ("email", "phone"):
            self._db.execute(f"CREATE INDEX IF NOT EXISTS customer_{name} ON customer(json_extract(body,'$.{name}'))")
        self._db.execute("CREATE INDEX IF NOT EXISTS due_at ON due(at, seq)")
        self._db.execute("CREATE INDEX IF NOT EXISTS due_ref ON due(ref, what)")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction; nested calls join the outer one. An error undoes all of it."""
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._depth = 0

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Try something and undo all of it at the end: what an estimate is."""
        outer = self._depth == 0
        self._db.execute("BEGIN IMMEDIATE" if outer else "SAVEPOINT trial")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if outer:
                self._db.execute("ROLLBACK")
            else:
                self._db.execute("ROLLBACK TO trial")
                self._db.execute("RELEASE trial")

    def wipe(self, keep: Sequence[str] = ()) -> None:
        """Forget everything but the kinds to keep."""
        for kind in KINDS:
            if kind not in keep:
                self._db.execute(f"DELETE FROM [{kind}]")  # noqa: S608
        for table in ("due", "idempotency", "setting"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608

    # -- things ---------------------------------------------------------------------------------------------------------

    def get(self, kind: str, ident: str) -> Thing | None:
        row = self._db.execute(f"SELECT body FROM [{kind}] WHERE id = ?", (ident,)).fetchone()  # noqa: S608 - kinds are ours
        return json.loads(row[0]) if row else None

    def text(self, kind: str, ident: str) -> str | None:
        """The thing as the JSON it is kept in."""
        row = self._db.execute(f"SELECT body FROM [{kind}] WHERE id = ?", (ident,)).fetchone()  # noqa: S608
        return str(row[0]) if row else None

    def put(self, kind: str, thing: Thing) -> None:
        """Insert or replace by `thing["id"]`, keeping its place in the order."""
        self._db.execute(
            f"INSERT INTO [{kind}] (id, customer_id, subscription_id, status, at, updated_at, body) VALUES (?,?,?,?,?,?,?)"  # noqa: S608
            " ON CONFLICT(id) DO UPDATE SET customer_id=excluded.customer_id, subscription_id=excluded.subscription_id,"
            " status=excluded.status, at=excluded.at, updated_at=excluded.updated_at, body=excluded.body",
            self._row(thing),
        )

    def put_many(self, kind: str, things: Iterable[Thing]) -> None:
        self._db.executemany(
            f"INSERT INTO [{kind}] (id, customer_id, subscription_id, status, at, updated_at, body) VALUES (?,?,?,?,?,?,?)",  # noqa: S608
            (self._row(thing) for thing in things),
        )

    @staticmethod
    def _row(thing: Thing) -> tuple[Any, ...]:
        at = next((thing[name] for name in AT_FIELDS if thing.get(name) is not None), None)
        return (
            thing["id"],
            thing.get("customer_id"),
            thing.get("subscription_id"),
            thing.get("status"),
            at,
            thing.get("updated_at"),
            _encode(thing),
        )

    def drop(self, kind: str, ident: str) -> None:
        self._db.execute(f"DELETE FROM [{kind}] WHERE id = ?", (ident,))  # noqa: S608

    def find(self, kind: str, where: str = "1", values: Sequence[Any] = (), *, order: str = "seq", limit: int = -1) -> list[Thing]:
        """Things that satisfy an SQL condition over the columns (or `json_extract(body, …)`)."""
        rows = self._db.execute(f"SELECT body FROM [{kind}] WHERE {where} ORDER BY {order} LIMIT ?", (*values, limit))  # noqa: S608
        return [json.loads(row[0]) for row in rows]

    def page(self, kind: str, where: str, values: Sequence[Any], order: str, key: str, limit: int) -> list[tuple[Any, int, Thing]]:
        rows = self._db.execute(f"SELECT {key}, seq, body FROM [{kind}] WHERE {where} ORDER BY {order} LIMIT ?", (*values, limit))  # noqa: S608
        return [(row[0], row[1], json.loads(row[2])) for row in rows]

    def first(self, kind: str, where: str, values: Sequence[Any] = (), *, order: str = "seq") -> Thing | None:
        found = self.find(kind, where, values, order=order, limit=1)
        return found[0] if found else None

    def count(self, kind: str, where: str = "1", values: Sequence[Any] = ()) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM [{kind}] WHERE {where}", tuple(values)).fetchone()[0])  # noqa: S608

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.execute(sql, tuple(values)).fetchall()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        self._db.execute(sql, tuple(values))

    # -- what falls due -------------------------------------------------------------------------------------------------

    def schedule(self, at: int, what: str, ref: str) -> None:
        self._db.execute("INSERT INTO due (at, what, ref) VALUES (?,?,?)", (at, what, ref))

    def unschedule(self, what: str, ref: str) -> None:
        self._db.execute("DELETE FROM due WHERE ref = ? AND what = ?", (ref, what))

    def next_due(self, until: int) -> tuple[int, int, str, str] | None:
        """The earliest entry at or before `until`: (seq, at, what, ref)."""
        return self._db.execute("SELECT seq, at, what, ref FROM due WHERE at <= ? ORDER BY at, seq LIMIT 1", (until,)).fetchone()  # type: ignore[no-any-return]  # sqlite3 rows are untyped

    def done(self, seq: int) -> None:
        self._db.execute("DELETE FROM due WHERE seq = ?", (seq,))

    # -- single values --------------------------------------------------------------------------------------------------

    def setting(self, name: str, default: Any = None) -> Any:
        row = self._db.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_setting(self, name: str, value: Any) -> None:
        self._db.execute("INSERT INTO setting VALUES (?,?) ON CONFLICT(name) DO UPDATE SET value=excluded.value", (name, json.dumps(value)))

    def next_number(self, name: str, start: int = 1) -> int:
        """A counter that never repeats, even over restarts."""
        number = int(self.setting(f"count:{name}", start - 1)) + 1
        self.set_setting(f"count:{name}", number)
        return number
