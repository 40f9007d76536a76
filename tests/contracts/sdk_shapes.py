"""What the SDK's own types say a request may hold, checked against what really went out on the wire."""

from __future__ import annotations

import inspect
import json
import re
import sys
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, NotRequired, Required
from urllib.parse import parse_qsl

import chargebee
import httpx
from chargebee.filters import Filters
from chargebee.models import enums

_TIMES = re.compile(r"(_at|_date|^date|_on|_start|_end)$")
_LONGEST = {"comment": 300, "notes": 1000, "idempotency_key": 100}
_CUSTOM_FIELD_OPERATIONS = {
    (r, o) for r in ("customer", "subscription", "item", "item_price") for o in ("create", "update", "update_for_items")
}
CATALOG_1_OPERATIONS = {
    ("subscription", "update"),
    ("subscription", "cancel"),
    ("subscription", "create"),
    ("estimate", "update_subscription"),
    ("estimate", "cancel_subscription"),
    ("estimate", "create_subscription"),
}
CATALOG_1_PARAMETERS = {"plan_id", "plan_quantity", "addons", "addon_id"}
# What Chargebee's documentation says beyond the SDK's types: the attributes by which each list can be put in order, and the texts of which
# several may be asked for at once.
_SORTED_BY = {
    "customer": {"created_at", "updated_at"},
    "subscription": {"created_at", "updated_at"},
    "invoice": {"date", "updated_at"},
    "transaction": {"date", "updated_at"},
    "payment_source": {"created_at", "updated_at"},
    "comment": {"created_at"},
    "credit_note": {"date"},
    "usage": {"usage_date", "updated_at"},
    "event": {"occurred_at"},
}
_TEXTS_OF_SEVERAL = {
    *(
        (resource, "id")
        for resource in ("customer", "subscription", "invoice", "transaction", "credit_note", "item", "item_price", "coupon")
    ),
    *((resource, "customer_id") for resource in ("subscription", "invoice", "transaction", "credit_note", "payment_source")),
    *((resource, "subscription_id") for resource in ("invoice", "transaction", "credit_note", "ramp")),
}
_FILTERS: dict[type, str] = {
    Filters.StringFilter: "text",
    Filters.EnumFilter: "text",
    Filters.BooleanFilter: "bool",
    Filters.NumberFilter: "int",
    Filters.TimestampFilter: "seconds",
    Filters.SortFilter: "text",
}


def snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def sent_parameters(request: httpx.Request) -> dict[str, Any]:
    """The request's parameters as nested dicts, keyed by list index (a text of digits) where there is a list."""
    raw = request.url.query.decode() if request.method == "GET" else request.content.decode()
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(raw, keep_blank_values=True, strict_parsing=bool(raw)):
        steps = [step for step in re.split(r"\[|\]", key) if step]
        node = tree
        for step in steps[:-1]:
            node = node.setdefault(step, {})
        assert steps[-1] not in node, f"{key} was sent twice"
        node[steps[-1]] = value
    return tree


def parameters_of(resource: str, operation: str) -> type | None:
    """The TypedDict of an operation's parameters, or None when it takes none."""
    method = getattr(getattr(chargebee, pascal(resource)), operation)
    return inspect.get_annotations(method).get("params")


def check(resource: str, operation: str, sent: Mapping[str, Any]) -> list[str]:
    """Everything in `sent` that the SDK's types do not have; an empty list means that it is legal."""
    assert (resource, operation) not in CATALOG_1_OPERATIONS, f"{resource}.{operation} fails on Product Catalog 2.0"
    shape = parameters_of(resource, operation)
    if shape is None:
        return [f"{resource}.{operation} takes no parameters, but got {sorted(sent)}"] if sent else []
    custom = {name for name in sent if name.startswith("cf_")}
    wrong = [] if not custom or (resource, operation) in _CUSTOM_FIELD_OPERATIONS else [f"custom fields on {resource}.{operation}"]
    wrong += [f"{name} belongs to Product Catalog 1.0" for name in sent if name in CATALOG_1_PARAMETERS]
    return wrong + _check_object({name: value for name, value in sent.items() if name not in custom}, shape, resource, "")


def _check_object(sent: Any, shape: type, resource: str, path: str) -> list[str]:
    if not isinstance(sent, Mapping):
        return [f"{path} should be nested"]
    hints = typing.get_type_hints(shape, vars(sys.modules[shape.__module__]), include_extras=True)
    wrong = [f"{path}{name} is unknown" for name in sent if name not in hints]
    wrong += [f"{path}{name} is missing" for name, hint in hints.items() if typing.get_origin(hint) is Required and name not in sent]
    for name in sent:
        if name in hints:
            wrong += _check_value(sent[name], _bare(hints[name]), resource, f"{path}{name}", name)
    return wrong


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) in (Required, NotRequired) else hint


def _check_value(sent: Any, hint: Any, resource: str, path: str, name: str) -> list[str]:
    if hint in _FILTERS:
        return _check_filter(sent, hint, resource, path, name)
    if typing.get_origin(hint) is list:
        return _check_list(sent, typing.get_args(hint)[0], resource, path, name)
    if typing.get_origin(hint) is dict:
        return [] if isinstance(sent, str) and isinstance(json.loads(sent), (dict, list)) else [f"{path} is not JSON"]
    if typing.is_typeddict(hint):
        return _check_object(sent, hint, resource, f"{path}.")
    if not isinstance(sent, str):
        return [f"{path} should not be nested"]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [] if sent in {member.value for member in hint} else [f"{path}={sent} is none of {hint.__name__}"]
    if hint is int:
        return _check_scalar(sent, "seconds" if _TIMES.search(name) and "days" not in name else "int", path)
    if hint is bool:
        return _check_scalar(sent, "bool", path)
    longest = _LONGEST.get(name)
    return [f"{path} has {len(sent)} characters"] if longest and len(sent) > longest else []


def _check_list(sent: Any, inner: Any, resource: str, path: str, name: str) -> list[str]:
    if not isinstance(sent, Mapping):
        return [f"{path} should be a list"]
    if not typing.is_typeddict(inner):
        wrong = [] if list(sent) == [str(i) for i in range(len(sent))] else [f"{path} is not numbered from 0"]
        return wrong + [w for i, value in sent.items() for w in _check_value(value, inner, resource, f"{path}[{i}]", name)]
    # Chargebee's form: subscription_items[quantity][0]
    rows: dict[str, dict[str, Any]] = {}
    for column, values in sent.items():
        if not isinstance(values, Mapping):
            return [f"{path}[{column}] should be numbered"]
        for index, value in values.items():
            rows.setdefault(index, {})[column] = value
    if sorted(rows) != [str(i) for i in range(len(rows))]:
        return [f"{path} is not numbered from 0"]
    return [w for index, row in rows.items() for w in _check_object(row, inner, resource, f"{path}[{index}].")]


def _check_filter(sent: Any, hint: type, resource: str, path: str, name: str) -> list[str]:
    if not isinstance(sent, Mapping):
        return [f"{path} should be a filter with an operator"]
    operators = {operator.lower() for operator in hint.__annotations__}
    wrong = [f"{path}[{operator}] is no operator of {hint.__name__}" for operator in sent if operator not in operators]
    for operator, value in sent.items():
        try:
            values = json.loads(value) if operator in ("in", "not_in", "between") else [value]
        except ValueError:
            values = None
        if not isinstance(values, list) or not values:
            wrong.append(f"{path}[{operator}] should be a JSON list")
            continue
        if hint is Filters.SortFilter and value not in _SORTED_BY.get(resource, ()):
            wrong.append(f"{path}[{operator}]={value} is no order of {resource}")
        if hint is Filters.StringFilter and operator in ("in", "not_in") and (resource, name) not in _TEXTS_OF_SEVERAL:
            wrong.append(f"{path}[{operator}] is not taken for this attribute")
        kind = "bool" if operator == "is_present" else _FILTERS[hint]
        wrong += [w for one in values for w in _check_scalar(str(one), kind, f"{path}[{operator}]")]
        if hint is Filters.EnumFilter:
            wrong += [f"{path}[{operator}]={one} is no {name}" for one in values if not _is_member(str(one), resource, name)]
    return wrong


def _is_member(value: str, resource: str, name: str) -> bool:
    candidates = [getattr(getattr(chargebee, pascal(resource)), pascal(name), None), getattr(enums, pascal(name), None)]
    known = [candidate for candidate in candidates if isinstance(candidate, type) and issubclass(candidate, Enum)]
    assert known, f"the SDK has no enum for {resource}.{name}"
    return any(value in {member.value for member in candidate} for candidate in known)


def _check_scalar(value: str, kind: str, path: str) -> list[str]:
    pattern = {"text": r".+", "bool": r"true|false", "int": r"-?\d+", "seconds": r"\d{9,10}"}[kind]
    return [] if re.fullmatch(pattern, value) else [f"{path}={value} is not {kind}"]
