"""Taking a list of the console away as a file: who took which customers' rows is in the ledger before the first of them is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, ChangeList
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist
from django.db import transaction
from django.db.models import ForeignKey, Model
from django.http import StreamingHttpResponse

from audit import ledger
from audit.actor import current_trace_id, person
from billing_ai.kernel.ids import new_trace_id
from billing_ai.tables.csv_files import csv_answer

MOST_EXPORTED = 50_000
WITHHELD = "withheld"
"""Stands for what somebody typed and no row has: it may be a name or an address, which the ledger could never forget."""

_CUSTOMER = "chargebee_customer_id"
_CUSTOMERS_AN_ENTRY = 250  # ids of 200 characters still fit into an entry's data
_ROWS_AT_ONCE = 500


def export_list(user: AbstractBaseUser, shown: ChangeList, columns: Sequence[str]) -> StreamingHttpResponse:
    """What `shown` lists with its filters, as CSV: at most 50,000 rows, and exactly those that the ledger says were taken.

    Which rows and whose they are is read and written down first. A row that is deleted while the file is sent is left out.
    """
    model = shown.model
    column = customer_column(model)
    found = list(shown.queryset.values_list("pk", *([column] if column else []))[:MOST_EXPORTED])
    customers = sorted({row[1] for row in found} - {"", None}) if column else []
    _note(user, model, customers, {"rows": len(found), "filter": _filter(shown, set(customers)), "columns": list(columns)})

    def rows() -> Iterator[Sequence[object]]:
        for start in range(0, len(found), _ROWS_AT_ONCE):
            ids = [row[0] for row in found[start : start + _ROWS_AT_ONCE]]
            by_id = {row[0]: row[1:] for row in model._default_manager.filter(pk__in=ids).values_list("pk", *columns)}
            yield from (by_id[pk] for pk in ids if pk in by_id)

    return csv_answer(str(model._meta.model_name), columns, rows())


def customer_column(model: type[Model]) -> str:
    """Where a row says whose it is: a column of its own, or one of what it belongs to (`case__chargebee_customer_id`); empty when nowhere."""
    belongs_to = [(f"{field.name}__", field.related_model) for field in model._meta.concrete_fields if isinstance(field, ForeignKey)]
    for path, owner in [("", model), *belongs_to]:
        try:
            owner._meta.get_field(_CUSTOMER)
        except FieldDoesNotExist:
            continue
        return f"{path}{_CUSTOMER}"
    return ""


def _note(user: AbstractBaseUser, model: type[Model], customers: Sequence[str], told: dict[str, Any]) -> None:
    """One entry, or several of one trace when there are more customers than an entry holds."""
    trace_id, subject = current_trace_id() or new_trace_id(), ("table", model._meta.label_lower)
    pieces = [customers[start : start + _CUSTOMERS_AN_ENTRY] for start in range(0, len(customers), _CUSTOMERS_AN_ENTRY)] or [[]]
    export = uuid4().hex
    with transaction.atomic():
        ledger.append_many(
            ledger.NewEntry(
                kind="table.exported",
                actor=person(user),
                trace_id=trace_id,
                subject=subject,
                data={**told, "export": export, "customers": list(piece), "part": part, "parts": len(pieces)},
            )
            for part, piece in enumerate(pieces, start=1)
        )


def _filter(shown: ChangeList, customers: set[str]) -> dict[str, str]:
    """What narrowed the list, by name. A value is kept where it is one of a filter's choices, or the id of a customer whose rows were found."""
    choices = {
        spec.parameter_name: {str(value) for value, _ in spec.lookup_choices}
        for spec in shown.filter_specs
        if isinstance(spec, SimpleListFilter)
    }
    given = {name: str(values[-1]) for name, values in shown.filter_params.items() if name not in (ORDER_VAR, ALL_VAR)}
    return {name[:100]: value if value in choices.get(name, customers) else WITHHELD for name, value in sorted(given.items()) if value}
