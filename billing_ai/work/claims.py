"""Claim, complete, put back, park: the only ways a leased row moves.

One statement a claim on PostgreSQL, which skips what others hold (`FOR UPDATE SKIP LOCKED`); on SQLite the write lock of an IMMEDIATE
transaction does the same for its one host. The database's clock decides what is due, moved by `clock.offset()` where the demo moves time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cache
from time import monotonic
from typing import Any, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import EmptyResultSet
from django.db import IntegrityError, connection, models, transaction

from billing_ai.kernel import clock
from billing_ai.kernel.errors import Away
from billing_ai.tables.one_write import Update, write
from billing_ai.work import fairness
from billing_ai.work.models import Leased, Tick

logger = logging.getLogger(__name__)
WAITS_AT_MOST = timedelta(days=14)
"""So long a row is put off while what it needs is away."""
BATCH_SECONDS = 60.0
"""After so long the rest of a claimed batch is put off: well inside every lease, however slow what the rows need has become."""
NEXT_TURN = "the batch it was claimed with took long; its turn comes again"
Row = TypeVar("Row", bound=Leased)


def claim(
    model: type[Row], limit: int, lease: timedelta, *, of: Callable[[models.QuerySet[Row]], models.QuerySet[Row]] | None = None
) -> list[Row]:
    """Up to `limit` due rows, leased to the caller, most urgent lane first. Rows whose lease ran out are due again.

    `of` narrows what may be claimed. A row that has used up its attempts is not claimed: `park_exhausted` parks it. Where the model names
    whoever it is to be fair between, nobody has more than a quarter of a full batch while others wait.
    """
    narrowed = None if of is None else of(_due(model))
    if connection.vendor == "postgresql" and (narrowed is None or not narrowed.query.select_related):
        rows = _claim_at_once(model, narrowed, limit, lease)
        if rows or not model.FAIR_BY:
            return rows
    due = _due(model) if narrowed is None else narrowed
    with transaction.atomic():
        now = db_now()
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True, of=("self",))
        rows = list(due.order_by(*_FIRST)[:limit])
        if model.FAIR_BY and len(rows) == limit:
            rows = fairness.shared_out(rows, due, now)
        if not rows:
            return []
        model._default_manager.filter(pk__in=[row.pk for row in rows]).update(
            status=Leased.LEASED, lease_until=now + lease, attempt=models.F("attempt") + 1
        )
        for row in rows:
            row.status, row.lease_until, row.attempt = Leased.LEASED, now + lease, row.attempt + 1
        return rows


def end_due(model: type[Row], limit: int, of: Callable[[models.QuerySet[Row]], models.QuerySet[Row]], status: str, reason: str) -> int:
    """End up to `limit` due rows of those that `of` picks, in one statement and without an attempt, since nothing is to be done for them.

    Rows that another worker holds are passed over. Returns how many were ended.
    """
    due = of(model._default_manager.filter(_waiting()))
    if connection.vendor != "postgresql":
        ended = model._default_manager.filter(pk__in=due.order_by(*_FIRST).values("pk")[:limit])
        return ended.update(status=status, reason=reason, finished_at=clock.now())
    picked, params = _picked(model, due, limit)
    table, key = _names(model)
    with connection.cursor() as cursor:
        cursor.execute(
            f"{picked} UPDATE {table} SET status = %s, reason = %s, finished_at = %s FROM due WHERE {table}.{key} = due.key",  # noqa: S608  (names of ours)
            [*params, status, reason, clock.now()],
        )
        return int(cursor.rowcount)


_FIRST = ("lane", "not_before", "pk")
"""What goes first: the most urgent lane, then what was due first."""


def _due(model: type[Row]) -> models.QuerySet[Row]:
    overrun = models.Q(status=Leased.LEASED, lease_until__lt=_now(), attempt__lt=models.F("max_attempts"))
    return model._default_manager.filter(_waiting() | overrun)


def _waiting() -> models.Q:
    """Rows whose time has come and that nobody has claimed."""
    return models.Q(status=Leased.WAITING, not_before__lte=_now(), attempt__lt=models.F("max_attempts"))


def _now() -> Any:
    """The database's clock as an expression; the start of the statement, so that an index can be used."""
    if connection.vendor != "postgresql":
        return clock.now()
    return models.Func(
        models.Value(clock.offset()), template="(STATEMENT_TIMESTAMP() + %(expressions)s)", output_field=models.DateTimeField()
    )


def _picked(model: type[Row], due: models.QuerySet[Row], limit: int) -> tuple[str, tuple[Any, ...]]:
    """`WITH due AS (…)`: the keys of the rows that go first and that nobody holds, locked. MATERIALIZED, or the limit would not hold."""
    inner, params = due.order_by(*_FIRST).values("pk")[:limit].query.sql_with_params()
    table, _ = _names(model)
    return f"WITH due(key) AS MATERIALIZED ({inner} FOR UPDATE OF {table} SKIP LOCKED)", params


def _names(model: type[Row]) -> tuple[str, str]:
    """Table and key, quoted."""
    return connection.ops.quote_name(model._meta.db_table), connection.ops.quote_name(str(model._meta.pk.column))


def _claim_at_once(model: type[Row], due: models.QuerySet[Row] | None, limit: int, lease: timedelta) -> list[Row]:
    """Pick and lease in one statement; without `due` from all that is due. Nothing is claimed from a full batch that has to be shared out first:
    that takes a look at it."""
    try:
        sql, params = _all_due(model, limit) if due is None else _claiming(model, due, limit)
    except EmptyResultSet:
        return []
    # The one span among the parameters is how far the demo has moved time.
    moved = [clock.offset() if isinstance(value, timedelta) else value for value in params]
    rows = model._default_manager.raw(sql, [*moved, Leased.LEASED, clock.offset() + lease, limit if model.FAIR_BY else limit + 1])
    # What an UPDATE returns comes in no order.
    return sorted(rows, key=lambda row: (row.lane, row.not_before, row.pk))


@cache
def _all_due(model: type[Leased], limit: int) -> tuple[str, tuple[Any, ...]]:
    """The claim of whatever is due, put into SQL once a process."""
    return _claiming(model, _due(model), limit)


def _claiming(model: type[Row], due: models.QuerySet[Row], limit: int) -> tuple[str, tuple[Any, ...]]:
    picked, params = _picked(model, due, limit)
    table, key = _names(model)
    columns = ", ".join(f"{table}.{connection.ops.quote_name(str(field.column))}" for field in model._meta.concrete_fields)
    sql = (
        f"{picked} UPDATE {table} SET status = %s, lease_until = STATEMENT_TIMESTAMP() + %s, attempt = attempt + 1"  # noqa: S608  (names of ours)
        f" FROM due WHERE {table}.{key} = due.key AND (SELECT count(*) FROM due) < %s RETURNING {columns}"
    )
    return sql, params


def complete(row: Leased, status: str = Leased.DONE, reason: str = "", **columns: Any) -> bool:
    """End the claimed attempt. False when the lease was lost to another worker meanwhile: then nothing is written."""
    return _finish(row, status=status, reason=reason, lease_until=None, **columns)


def put_back(row: Leased, after: timedelta, reason: str) -> bool:
    """Let the row wait for another attempt, or park it when its attempts are used up. False when the lease was lost.

    Where only one row may wait (one run per subject) and a newer one does already, that one does the work and this one ends skipped.
    """
    if row.attempt >= row.max_attempts:
        return park(row, f"given up after {row.attempt} attempts: {reason}")
    return _wait(row, after, reason)


def _wait(row: Leased, after: timedelta, reason: str, **columns: Any) -> bool:
    try:
        with transaction.atomic():
            return _finish(row, status=Leased.WAITING, reason=reason, lease_until=None, not_before=db_now() + after, **columns)
    except IntegrityError:
        return complete(row, Leased.SKIPPED, f"a newer one waits for the same subject; this one stopped at: {reason}")


def put_off(row: Leased, after: timedelta, reason: str, *, since: datetime) -> bool:
    """Let the row wait without using up an attempt: what failed says nothing of it. False when the lease was lost.

    `since` is when it could first have been done. After WAITS_AT_MOST it is parked, so that nothing waits for ever without anybody knowing why.
    """
    if db_now() - since > WAITS_AT_MOST:
        return park(row, f"not done within {WAITS_AT_MOST.days} days: {reason}")
    return _wait(row, after, reason, max_attempts=row.max_attempts + 1)


def take_in_turn(
    rows: Sequence[Row],
    work: Callable[[Row], Away | None],
    *,
    within: Callable[[Row], AbstractContextManager[object]],
    since: Callable[[Row], datetime],
    doing: str,
) -> int:
    """Work through a claimed batch. Returns how many there were; 0 when `work` met an outage, which ends the caller's loop.

    `within` gives the context of a row's work, `since` when it could first have been done; `doing` ends the reason of one that failed.
    What is left of a batch that met an outage, or that took BATCH_SECONDS, is put off.
    """
    met: Away | None = None
    until = monotonic() + BATCH_SECONDS
    for row in rows:
        with within(row):
            if met is not None or monotonic() > until:
                put_off(row, timedelta(0), met.sentence if met else NEXT_TURN, since=since(row))
                continue
            try:
                met = work(row)
            except SoftTimeLimitExceeded:
                raise
            except Exception as error:
                # One row that nobody foresaw must not hold up the others of its batch, which would lose an attempt each time.
                logger.exception("work.failed", extra={"kind": type(row).__name__, "row": str(row.pk)})
                put_back(row, backoff(row.attempt), f"{type(error).__name__} while it {doing}; the log has the trace")
    return len(rows) if met is None else 0


def park(row: Leased, reason: str) -> bool:
    """Take the row out of the flow until a person replays or drops it. False when the lease was lost."""
    is_parked = _finish(row, status=Leased.PARKED, reason=reason, lease_until=None)
    if is_parked:
        logger.warning("work.parked", extra={"kind": type(row).__name__, "row": str(row.pk), "attempt": row.attempt})
    return is_parked


def park_exhausted(model: type[Row]) -> int:
    """Park rows whose lease ran out at their last attempt (a worker died on them each time). Returns how many."""
    stale = model._default_manager.filter(status=Leased.LEASED, lease_until__lt=db_now(), attempt__gte=models.F("max_attempts"))
    parked = stale.update(status=Leased.PARKED, lease_until=None, reason="its worker died or ran out of time at every attempt")
    if parked:
        logger.warning("work.parked", extra={"kind": model.__name__, "rows": parked})
    return parked


def backoff(attempt: int) -> timedelta:
    """5 s, 20 s, 80 s … at most an hour."""
    return timedelta(seconds=min(3600, 5 * 4 ** max(0, attempt - 1)))


def _finish(row: Leased, **columns: Any) -> bool:
    end = _ended(row, columns)
    return completed(row, end, write(end)[0])


def completion(row: Leased, status: str = Leased.DONE, reason: str = "", **columns: Any) -> Update:
    """What `complete` writes, for a caller that writes it together with its work and then says how many rows it was to `completed`."""
    return _ended(row, {"status": status, "reason": reason, "lease_until": None, **columns})


class LeaseLost(Exception):
    """Another worker has the row: it writes what this one would have written, and this one's transaction is undone."""


def completed(row: Leased, end: Update, wrote: int) -> bool:
    """Note on the row that it was ended. False, with a line in the log, when the lease was lost meanwhile: then nothing that was written along
    with the end may stand either (raise LeaseLost out of the transaction)."""
    if not wrote:
        logger.warning("lease.lost", extra={"kind": type(row).__name__, "row": str(row.pk), "attempt": row.attempt})
        return False
    for name, value in end.to.items():
        setattr(row, name, value)
    return True


def _ended(row: Leased, columns: Mapping[str, Any]) -> Update:
    return Update(type(row), {str(row._meta.pk.attname): row.pk, "attempt": row.attempt, "status": Leased.LEASED}, columns)


def db_now() -> datetime:
    """The database's clock, which all hosts share, as the demo has moved it."""
    if connection.vendor != "postgresql":
        return clock.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment + clock.offset()


def claim_tick(schedule: str, every: timedelta) -> Tick | None:
    """The right to run this schedule's present slot; None when another beat has it, or has had it."""
    seconds = max(1, int(every.total_seconds()))
    slot = int(db_now().timestamp() // seconds)
    Tick.objects.get_or_create(schedule=schedule)
    if not Tick.objects.filter(schedule=schedule, slot__lt=slot).update(slot=slot, started_at=clock.now(), every_seconds=seconds):
        return None
    return Tick.objects.get(schedule=schedule)


def finish_tick(tick: Tick, result: str, problems: int = 0) -> None:
    """Note what the tick did, for the console's list of connections and sweeps, and how much it found that must not be."""
    Tick.objects.filter(pk=tick.pk, slot=tick.slot).update(finished_at=clock.now(), result=result[:200], problems=problems)
