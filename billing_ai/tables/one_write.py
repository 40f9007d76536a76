"""Several rows of several tables written in one statement, so that what belongs together costs one round trip.

What is written here passes by `save()` and its signals: whoever calls it writes the history rows (`history_of`) and the feed's lines along with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.utils import timezone
from simple_history.utils import get_change_reason_from_object

from billing_ai.tables import planned


class FreshId:
    """The key that a row gets from the database while it is written. Put it wherever the key belongs; afterwards the rows hold the number."""

    def __init__(self) -> None:
        self.value: int | None = None


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows of one model. A key may be a FreshId; an automatic key that is None is left to the database and not read back.

    Where a row is there with the same `unique` fields, `update` fields of it are set; with `version` only if the row has no higher one there.
    `passes_over`: it stays as it is, whatever it clashes in.
    """

    rows: Sequence[models.Model]
    unique: tuple[str, ...] = ()
    update: tuple[str, ...] = ()
    passes_over: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """New rows by columns, with the values as the driver takes them."""

    table: str
    columns: tuple[str, ...]
    values: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Update:
    """Set some fields of the rows of one model that hold `where`; both by the names of their fields or columns."""

    model: type[models.Model]
    where: Mapping[str, Any]
    to: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the database's own that writes a row and gives its key. PostgreSQL only; several are called in their order."""

    sql: str
    params: Sequence[Any]


Part = Insert | Rows | Update | Call
_KEYS = "(SELECT n, nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s) n)"


def write(*parts: Part) -> list[int]:
    """Write it all, in the caller's transaction, and give how many rows each part wrote; for a call what it gave.

    PostgreSQL does it in one statement, SQLite part by part. No part sees what another wrote. Raises IntegrityError: nothing was written then.
    """
    full = {number: part for number, part in enumerate(parts) if not _is_empty(part)}
    wrote = [0] * len(parts)
    if full:
        counts = _at_once(list(full.values())) if connection.vendor == "postgresql" else _in_turn(list(full.values()))
        for number, count in zip(full, counts, strict=True):
            wrote[number] = count
    for part in full.values():
        if isinstance(part, Insert):
            for row in part.rows:
                _settle(row)
    return wrote


def history_of(instances: Sequence[models.Model], kind: str) -> Insert:
    """What model history would keep of these instances of one model, had each been saved: `kind` is "+" for a new row, "~" for a changed one."""
    if not instances:
        return Insert([])
    kept = _history_model(type(instances[0]))
    return Insert(
        [
            kept(
                history_date=getattr(one, "_history_date", None) or timezone.now(),
                history_user=one._history_user if hasattr(one, "_history_user") else kept.get_default_history_user(one),
                history_change_reason=get_change_reason_from_object(one),
                history_type=kind,
                **{field.attname: getattr(one, field.attname) for field in kept.tracked_fields},
            )
            for one in instances
        ]
    )


@cache
def _history_model(model: type[models.Model]) -> Any:
    """Its manager is made anew, class and all, each time that it is asked for."""
    return model.history.model  # type: ignore[attr-defined]  # simple-history adds it to the model


def saved(instance: models.Model) -> Update:
    """All fields of a row that is there, as `save()` would set them."""
    key = str(instance._meta.pk.attname)
    values = {field.attname: getattr(instance, field.attname) for field in _fields(type(instance)) if not field.primary_key}
    return Update(type(instance), {key: instance.pk}, values)


def _is_empty(part: Part) -> bool:
    return not (part.rows if isinstance(part, Insert) else part.values if isinstance(part, Rows) else True)


def _at_once(parts: Sequence[Part]) -> list[int]:
    """One WITH: fresh keys first, then each part, then how many rows each one wrote."""
    named: list[str] = []
    params: list[Any] = []
    places: dict[FreshId, str] = {}
    for part in parts:
        fresh = [row.pk for row in part.rows if isinstance(row.pk, FreshId)] if isinstance(part, Insert) else []
        if isinstance(part, Insert) and fresh:
            meta, name = type(part.rows[0])._meta, f"k{len(named)}"
            named.append(f"{name}(n, id) AS MATERIALIZED {_KEYS}")
            params += [meta.db_table, meta.pk.column, len(fresh)]
            places |= {key: f"(SELECT id FROM {name} WHERE n = {n})" for n, key in enumerate(fresh, 1)}  # noqa: S608  (numbers)
    given: list[str] = []
    later: list[Any] = []
    for number, part in enumerate(parts):
        if isinstance(part, Call):
            given.append(part.sql)
            later += part.params
            continue
        sql, values = _statement(part, places)
        named.append(f"p{number} AS ({sql} RETURNING 1)")
        params += values
        given.append(f"(SELECT count(*) FROM p{number})")  # noqa: S608  (a number)
    row = _asked(f"{'WITH ' + ', '.join(named) if named else ''} SELECT {', '.join([*given, *places.values()])}", params + later)
    for key, value in zip(places, row[len(parts) :], strict=True):
        key.value = value
    return list(row[: len(parts)])


def _asked(sql: str, params: list[Any]) -> tuple[Any, ...]:
    """The one row that it gives."""
    texts = planned.as_text(params)
    found = planned.ask(planned.numbered(sql), texts) if texts is not None else None
    if found is not None:
        return found[0]
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def _in_turn(parts: Sequence[Part]) -> list[int]:
    counts: list[int] = []
    with connection.cursor() as cursor:
        for part in parts:
            if isinstance(part, Call):
                raise TypeError("SQLite has no functions of its own that write")
            if isinstance(part, Insert) and any(isinstance(row.pk, FreshId) for row in part.rows):
                for row in part.rows:
                    cursor.execute(*_statement(Insert([row]), {}))
                    if isinstance(row.pk, FreshId):
                        row.pk.value = cursor.lastrowid
                counts.append(len(part.rows))
            else:
                cursor.execute(*_statement(part, {}))
                counts.append(cursor.rowcount)
    return counts


def _statement(part: Insert | Rows | Update, places: Mapping[FreshId, str]) -> tuple[str, list[Any]]:
    if isinstance(part, Update):
        return _update(part)
    if isinstance(part, Rows):
        into, rows = f"{_quoted(part.table)} ({', '.join(part.columns)})", list(part.values)
        one = f"({', '.join(['%s'] * len(part.columns))})"
        return f"INSERT INTO {into} VALUES {', '.join([one] * len(rows))}", [value for row in rows for value in row]  # noqa: S608  (names of ours)
    return _insert(part, places)


def _insert(part: Insert, places: Mapping[FreshId, str]) -> tuple[str, list[Any]]:
    rows, model = part.rows, type(part.rows[0])
    key = model._meta.pk
    fields = _fields(model)
    if rows[0].pk is None or (isinstance(rows[0].pk, FreshId) and rows[0].pk not in places):
        fields = tuple(field for field in fields if field is not key)
    plain = [(field.attname, _PLAIN.get(type(field), ()), field) for field in fields]
    database = connections[DEFAULT_DB_ALIAS]
    tuples, params = [], []
    for row in rows:
        marks = []
        held = row.__dict__
        for attname, kinds, field in plain:
            value = held[attname] if attname in held else getattr(row, attname)
            kind = value.__class__
            if kind is FreshId:
                if value.value is None:
                    marks.append(places[value])
                    continue
                kind, value = int, value.value
            marks.append("%s")
            params.append(value if kind in kinds else field.get_db_prep_save(value, database))
        tuples.append(f"({', '.join(marks)})")
    into = f"{_quoted(model._meta.db_table)} ({_columns(model, fields)})"
    return f"INSERT INTO {into} VALUES {', '.join(tuples)}{_on_conflict(part, model)}", params  # noqa: S608  (names of ours)


def _on_conflict(part: Insert, model: type[models.Model]) -> str:
    if part.passes_over:
        return " ON CONFLICT DO NOTHING"
    if not part.update:
        return ""
    unique, update = ([_quoted(str(model._meta.get_field(name).column)) for name in names] for names in (part.unique, part.update))  # type: ignore[union-attr]
    newer = f" WHERE {_quoted(model._meta.db_table)}.{_quoted(part.version)} <= EXCLUDED.{_quoted(part.version)}" if part.version else ""
    return f" ON CONFLICT ({', '.join(unique)}) DO UPDATE SET {', '.join(f'{name} = EXCLUDED.{name}' for name in update)}{newer}"


def _update(part: Update) -> tuple[str, list[Any]]:
    by_name = _by_name(part.model)
    to, where = ([(by_name[name], value) for name, value in names.items()] for names in (part.to, part.where))
    assigned = ", ".join(f"{_quoted(str(field.column))} = %s" for field, _ in to)
    held = " AND ".join(f"{_quoted(str(field.column))} = %s" for field, _ in where)
    database = connections[DEFAULT_DB_ALIAS]
    params = [
        value if value.__class__ in _PLAIN.get(type(field), ()) else field.get_db_prep_save(value, database)
        for field, value in (*to, *where)
    ]
    return f"UPDATE {_quoted(part.model._meta.db_table)} SET {assigned} WHERE {held}", params  # noqa: S608  (names of ours)


@cache
def _fields(model: type[models.Model]) -> tuple[models.Field[Any, Any], ...]:
    return tuple(model._meta.concrete_fields)


@cache
def _by_name(model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
    return {name: field for field in _fields(model) for name in (field.name, field.attname)}


_PLAIN: dict[type[models.Field[Any, Any]], tuple[type, ...]] = {
    models.CharField: (str,),
    models.TextField: (str,),
    models.BooleanField: (bool,),
    models.IntegerField: (int,),
    models.SmallIntegerField: (int,),
    models.PositiveSmallIntegerField: (int,),
    models.PositiveIntegerField: (int,),
    models.BigIntegerField: (int,),
    models.BigAutoField: (int,),
}
"""What goes to the driver as it is: asking each field to prepare it gives the same, and takes longer than all the rest of writing."""


@cache
def _columns(model: type[models.Model], fields: tuple[models.Field[Any, Any], ...]) -> str:
    return ", ".join(_quoted(str(field.column)) for field in fields)


@cache
def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def _settle(row: models.Model) -> None:
    """As after a save: numbers in the place of fresh keys, and no longer new."""
    for name in [name for name, value in row.__dict__.items() if value.__class__ is FreshId]:
        setattr(row, name, row.__dict__[name].value)
    row._state.adding, row._state.db = False, connection.alias
