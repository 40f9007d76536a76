"""Several questions to the database in one statement, so that a page with many parts costs one round trip.

Each query becomes a column that holds its rows as a JSON list; the rows come back as what the query itself would have given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models.query import FlatValuesListIterable, ModelIterable, QuerySet, ValuesIterable, ValuesListIterable

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
    found: dict[str, list[Any]] = {name: [] for name in queries}
    parts = {name: _Part(rows) for name, rows in queries.items()}
    asked = {name: part for name, part in parts.items() if part.sql}
    if not asked:
        return found
    columns = ", ".join(f"({part.sql})" for part in asked.values())
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}", [value for part in asked.values() for value in part.params])
        answer = cursor.fetchone()
    for (name, part), text in zip(asked.items(), answer, strict=True):
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
