"""Several questions to the database in one statement, so that a page with many parts costs one round trip.

Each query becomes a column that holds its rows as a JSON list; the rows come back as what the query itself would have given.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models.query import FlatValuesListIterable, ModelIterable, QuerySet, ValuesIterable, ValuesListIterable

from billing_ai.tables import planned

Convert = Callable[[Any], Any]

_FROM_TEXT: tuple[tuple[type[models.Field[Any, Any]], Convert], ...] = (
    (models.DateTimeField, datetime.fromisoformat),
    (models.DateField, date.fromisoformat),
    (models.TimeField, time.fromisoformat),
    (models.UUIDField, UUID),
    (models.DecimalField, lambda value: Decimal(str(value))),
)
"""What PostgreSQL writes into JSON as text or as a number of another kind, and how it is read again. DateTimeField is a DateField: first."""


def fetch(queries: Mapping[str, QuerySet[Any, Any]]) -> dict[str, list[Any]]:
    """The rows of each query, under its name: models, tuples of `values_list`, dicts of `values`.

    Raises TypeError for a query with `select_related`: ask for the other table by a query of its own.
    """
    asked = _Asked(queries)
    return asked.rows(asked.params)


class Kept:
    """A fixed set of questions with other values each time, put into SQL once a process: the ORM takes longer over it than the database.

    `build` gets values by name and gives the queries. It must pass texts (also in tuples), moments, days and ids on as they are. What is empty, a flag or None may change the
    questions themselves, and each such combination is put into SQL by itself. Raises TypeError where a value reaches the SQL in another form.
    """

    def __init__(self, build: Callable[..., Mapping[str, QuerySet[Any, Any]]]) -> None:
        self._build = build
        self._known: dict[tuple[Any, ...], _Learned] = {}

    def ask(self, **values: Any) -> dict[str, list[Any]]:
        """The rows of each query, as `fetch` gives them."""
        if connection.vendor != "postgresql":
            return fetch(self._build(**values))  # SQLite writes ids and moments in forms of its own
        key = tuple(sorted((name, _shape(value)) for name, value in values.items()))
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = _Learned(*self._learn(values))
        return known.rows(values)

    def _learn(self, values: Mapping[str, Any]) -> tuple[_Asked, tuple[_Place | None, ...]]:
        """The questions in SQL, and for each parameter whose value it is: found by asking twice with values that nobody uses."""
        stands = [{name: _stand_in(value, name, turn) for name, value in values.items()} for turn in (1, 2)]
        one, other = (_Asked(self._build(**stand)) for stand in stands)
        if one.sql != other.sql or len(one.params) != len(other.params):
            raise TypeError("the questions change with their values")
        by_value: dict[tuple[Any, Any], _Place] = {}
        for at, stand in stands[0].items():
            if isinstance(stand, tuple):
                by_value |= {(type(item), item): (at, number) for number, item in enumerate(stand)}
            elif _varies(stand):
                by_value[type(stand), stand] = (at, None)
        places: list[_Place | None] = []
        for first, second in zip(one.params, other.params, strict=True):
            name = by_value.get((type(first), first)) if isinstance(first, _VARYING) else None
            # A date that is nobody's value is today's or one that was reckoned: it would stand still.
            if name is None and (isinstance(first, date) or not _is_same(first, second)):
                raise TypeError(f"a value reaches the database in another form than it was given in: {type(first).__name__}")
            places.append(name)
        return one, tuple(places)


_VARYING = (str, date, UUID)
_Place = tuple[str, int | None]
"""A value's name, and for one of several its number."""


def _varies(value: Any) -> bool:
    return isinstance(value, _VARYING) and value != ""


def _shape(value: Any) -> Any:
    return ("tuple", len(value)) if isinstance(value, tuple) else None if _varies(value) else (type(value).__name__, value)


def _stand_in(value: Any, name: str, turn: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_stand_in(item, f"{name}:{number}", turn) for number, item in enumerate(value))
    if not _varies(value):
        return value
    mark = UUID(hex=hashlib.sha256(f"{name}:{turn}".encode()).hexdigest()[:32])
    if isinstance(value, datetime):
        return datetime(1900, 1, turn, tzinfo=UTC) + timedelta(microseconds=mark.int % 86_400_000_000)
    if isinstance(value, date):
        return date(1900, 1, 1) + timedelta(days=mark.int % 9_999 + turn)
    return mark if isinstance(value, UUID) else mark.hex


def _is_same(one: Any, other: Any) -> bool:
    """Values as the driver takes them; what wraps JSON compares by what it holds."""
    return bool(getattr(one, "obj", one) == getattr(other, "obj", other))


class _Learned:
    """Questions in SQL whose values change from one asking to the next. PostgreSQL plans them once a connection."""

    def __init__(self, asked: _Asked, places: Sequence[_Place | None]) -> None:
        self._asked, self._places = asked, places
        self._varying = list(dict.fromkeys(place for place in places if place is not None))
        self._planned = ""

    def rows(self, values: Mapping[str, Any]) -> dict[str, list[Any]]:
        """The answer, with these values."""
        if not self._asked.sql:
            return self._asked.read(())
        found = planned.ask(self._text(values), [str(_at(place, values)) for place in self._varying], is_fixed=True)
        if found is not None:
            return self._asked.read(found[0])
        places = zip(self._places, self._asked.params, strict=True)
        return self._asked.rows([value if place is None else _at(place, values) for place, value in places])

    def _text(self, values: Mapping[str, Any]) -> str:
        """With each value that changes by its number, and of the kind that it has as a literal; what never changes stands in the text."""
        if not self._planned:
            numbers = {place: f"${number}{_KINDS.get(type(_at(place, values)), '')}" for number, place in enumerate(self._varying, 1)}
            places = zip(self._places, self._asked.params, strict=True)
            self._planned = self._asked.sql % tuple(planned.literal(value) if place is None else numbers[place] for place, value in places)
        return self._planned


def _at(place: _Place, values: Mapping[str, Any]) -> Any:
    name, number = place
    return values[name] if number is None else values[name][number]


_KINDS = {UUID: "::uuid", datetime: "::timestamptz", date: "::date"}
"""What the driver writes behind such a value as a literal."""


class _Asked:
    """Queries as one statement, with the parameters they were built with."""

    def __init__(self, queries: Mapping[str, QuerySet[Any, Any]]) -> None:
        parts = {name: _Part(rows) for name, rows in queries.items()}
        self._names = tuple(parts)
        self._parts = {name: part for name, part in parts.items() if part.sql}
        self.sql = f"SELECT {', '.join(f'({part.sql})' for part in self._parts.values())}" if self._parts else ""
        self.params = [value for part in self._parts.values() for value in part.params]

    def rows(self, params: list[Any]) -> dict[str, list[Any]]:
        """The answer, with these parameters."""
        if not self.sql:
            return self.read(())
        with connection.cursor() as cursor:
            cursor.execute(self.sql, params)
            return self.read(cursor.fetchone())

    def read(self, answer: Sequence[str]) -> dict[str, list[Any]]:
        """The rows in an answer to it."""
        found: dict[str, list[Any]] = {name: [] for name in self._names}
        for (name, part), text in zip(self._parts.items(), answer, strict=True):
            if text != "[]":
                found[name] = [part.row(values) for values in json.loads(text)]
        return found


class _Part:
    """One query as a scalar subquery, and the way back from JSON to its rows. `sql` is empty when nothing can match."""

    def __init__(self, rows: QuerySet[Any, Any]) -> None:
        self.rows = rows
        self.sql = ""
        self.params: tuple[Any, ...] = ()
        compiler = rows.query.get_compiler(connection=connection)
        try:
            inner, self.params = compiler.as_sql()
        except EmptyResultSet:
            return
        self.compiler = compiler
        info = compiler.klass_info
        if info is not None and info.get("related_klass_infos"):
            raise TypeError("a query inside one statement cannot follow relations: ask for the other table on its own")
        expressions = [row[0] for row in compiler.select]
        fields = [expression.output_field for expression in expressions]
        names = [f"c{number}" for number in range(len(fields))]
        listed = ", ".join(_column(name, field) for name, field in zip(names, fields, strict=True))
        if connection.vendor == "sqlite":
            gathered = f"json_group_array(json_array({listed}))"
        else:
            gathered = f"COALESCE(json_agg(json_build_array({listed})), '[]')::text"
        self.sql = f"WITH part({', '.join(names)}) AS ({inner}) SELECT {gathered} FROM part"  # noqa: S608  # compiled by the ORM
        self.converts = [self._converter(expression, field) for expression, field in zip(expressions, fields, strict=True)]

    def _converter(self, expression: Any, field: models.Field[Any, Any]) -> Convert | None:
        if isinstance(field, models.BinaryField):
            return bytes.fromhex
        if isinstance(field, models.JSONField):
            # SQLite keeps JSON as text; PostgreSQL has put it into the list as it is.
            return (lambda value: json.loads(value) if isinstance(value, str) else value) if connection.vendor == "sqlite" else None
        if connection.vendor != "sqlite":
            for kind, convert in _FROM_TEXT:
                if isinstance(field, kind):
                    return convert
        chain = [convert for _, (converters, _) in self.compiler.get_converters([expression]).items() for convert in converters]
        if not chain:
            return None

        def through(value: Any) -> Any:
            for convert in chain:
                value = convert(value, expression, connection)
            return value

        return through

    def row(self, values: list[Any]) -> Any:
        """One row, as the query's own iteration would give it."""
        made = [value if convert is None or value is None else convert(value) for value, convert in zip(values, self.converts, strict=True)]
        shape = self.rows._iterable_class
        if shape is FlatValuesListIterable:
            return made[0]
        if shape is ValuesListIterable:
            return tuple(made)
        if shape is ValuesIterable:
            return dict(zip(self._names(), made, strict=True))
        if shape is not ModelIterable or self.compiler.klass_info is None:
            raise TypeError(f"a query inside one statement gives models or values, not {shape.__name__}")
        places = self.compiler.klass_info["select_fields"]
        attnames = [self.compiler.select[place][0].target.attname for place in places]
        model = self.rows.model.from_db(connection.alias, attnames, [made[place] for place in places])
        for name, place in self.compiler.annotation_col_map.items():
            setattr(model, name, made[place])
        return model

    def _names(self) -> list[str]:
        query = self.rows.query
        if query.selected:
            return list(query.selected)
        return [*query.extra_select, *query.values_select, *query.annotation_select]


def _column(name: str, field: models.Field[Any, Any]) -> str:
    if not isinstance(field, models.BinaryField):
        return name
    return f"CASE WHEN {name} IS NULL THEN NULL ELSE hex({name}) END" if connection.vendor == "sqlite" else f"encode({name}, 'hex')"
