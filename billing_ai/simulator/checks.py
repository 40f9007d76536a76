"""A request's parameters against the SDK's types and Chargebee's documented limits."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from billing_ai.simulator.errors import ApiError, wrong_value
from billing_ai.simulator.sdk_types import FILTER_OPERATORS, Operation, SdkSource, Shape

MAX_LENGTHS = {
    "id": 50, "customer_id": 50, "subscription_id": 50, "invoice_id": 50, "item_price_id": 100, "item_id": 100, "payment_source_id": 40,
    "first_name": 150, "last_name": 150, "email": 70, "phone": 50, "company": 250, "line1": 150, "line2": 150, "line3": 150, "city": 50,
    "state": 50, "state_code": 50, "zip": 20, "country": 50, "notes": 1000, "comment": 300, "customer_notes": 2000, "invoice_note": 2000,
    "invoice_notes": 2000, "po_number": 100, "description": 250, "reason_code": 100, "cancel_reason_code": 100, "vat_number": 20,
    "reference": 100, "reference_number": 100, "added_by": 100, "note": 250, "quantity": 33, "dedupe_option": 50, "coupon": 100,
    "name": 150, "basic_auth_username": 100, "basic_auth_password": 100, "pass_thru_content": 2048, "redirect_url": 250,
}  # fmt: skip

_CUSTOM_FIELD_OPERATIONS = frozenset(
    f"{resource}.{name}"
    for resource in ("customer", "subscription", "item", "item_price", "estimate")
    for name in (
        "create",
        "update",
        "create_with_items",
        "update_for_items",
        "import_for_items",
        "create_sub_item_estimate",
        "update_subscription_for_items",
    )
)
_TIMES = frozenset(
    [
        "date",
        "invoice_date",
        "trial_end",
        "trial_start",
        "start_date",
        "end_date",
        "pause_date",
        "resume_date",
        "current_term_start",
        "current_term_end",
        "term_start",
        "term_end",
        "cancel_at",
        "changes_scheduled_at",
        "reactivate_from",
        "expected_payment_date",
        "usage_date",
        "destination_time",
        "genesis_time",
        "start_time",
        "end_time",
        "effective_from",
        "apply_till",
        "date_from",
        "date_to",
        "contract_start",
        "valid_till",
        "specific_date",
        "paid_on_after",
        "voucher_date",
        "cancellation_cutoff",
        "schedule_date",
    ]
)
_MILLISECONDS = 100_000_000_000
_SORTABLE = {
    "invoice": {"date", "updated_at"}, "transaction": {"date", "updated_at"}, "customer": {"created_at", "updated_at"},
    "subscription": {"created_at", "updated_at"}, "event": {"occurred_at"}, "comment": {"created_at"}, "credit_note": {"date"},
    "payment_source": {"created_at", "updated_at"}, "usage": {"usage_date", "updated_at"}, "coupon": {"created_at"},
    "promotional_credit": {"created_at"}, "order": {"created_at", "updated_at"}, "item": {"name", "id", "updated_at"},
    "item_price": {"name", "id", "updated_at"}, "ramp": {"effective_from", "created_at"},
}  # fmt: skip
_KEY = re.compile(r"\[([^\[\]]*)\]")


def is_time(name: str) -> bool:
    return name in _TIMES or name.endswith("_at")


class RequestCheck:
    """Turns the pairs of a form or query into nested, typed parameters, or raises the error that Chargebee gives."""

    def __init__(self, source: SdkSource) -> None:
        self._source = source
        self._attribute_enums: dict[tuple[str, str], frozenset[str]] = {}

    def read(self, operation: Operation, pairs: list[tuple[str, str]]) -> dict[str, Any]:
        """Nested parameters. Raises ApiError 400 naming the parameter as it was sent."""
        params: dict[str, Any] = {}
        for key, value in pairs:
            head, path = _split(key)
            if head.startswith("cf_"):
                if operation.key not in _CUSTOM_FIELD_OPERATIONS:
                    raise wrong_value(key, "custom fields are not supported here")
                params[head] = value
                continue
            shape = operation.shape.fields.get(head)
            if shape is None:
                raise ApiError(400, "param_wrong_value", f"{key} : unknown parameter for this operation", param=key)
            if path and head in operation.json_keys and operation.json_keys[head] == 0:
                raise wrong_value(key, "should be sent as a JSON string")
            self._place(params, head, shape, path, value, key, operation)
        self._require(operation.shape, params, "")
        return {name: _as_lists(value) for name, value in params.items()}

    def read_json(self, operation: Operation, body: dict[str, Any]) -> dict[str, Any]:
        """The same check for the few calls whose body is JSON."""
        for key in body:
            if key not in operation.shape.fields:
                raise wrong_value(key, "unknown parameter for this operation")
        self._require(operation.shape, body, "")
        return body

    def _place(self, into: dict[str, Any], name: str, shape: Shape, path: list[str], value: str, key: str, operation: Operation) -> None:
        if shape.kind == "list":
            self._place_in_list(into, name, shape, path, value, key, operation)
        elif shape.kind == "object":
            if not path:
                raise wrong_value(key, "should be sent as nested parameters")
            inner = shape.fields.get(path[0])
            if inner is None:
                if path[0].isdigit():
                    raise wrong_value(key, "wrong nesting: not an array")
                raise wrong_value(key, "unknown parameter for this operation")
            self._place(into.setdefault(name, {}), path[0], inner, path[1:], value, key, operation)
        elif shape.kind == "filter":
            if len(path) != 1:
                raise wrong_value(key, "should be sent with one operator, as in name[is]")
            into.setdefault(name, {})[path[0]] = self._filter_value(operation.resource, name, shape.filter_name, path[0], value, key)
        elif shape.kind in ("map", "any"):
            into[name] = _json_value(value, key) if shape.kind == "map" else value
        elif path:
            raise wrong_value(key, "wrong nesting: a single value is expected")
        else:
            into[name] = _scalar(shape, name, value, key)

    def _place_in_list(
        self, into: dict[str, Any], name: str, shape: Shape, path: list[str], value: str, key: str, operation: Operation
    ) -> None:
        item = shape.item or Shape("str")
        if not path:
            if operation.method == "GET":
                into[name] = {index: _scalar(item, name, text, key) for index, text in enumerate(_listed(value, key))}
                return
            raise wrong_value(key, "should be sent as an array, as in name[0]")
        if not path[-1].isdigit():
            raise wrong_value(key, "wrong nesting: the array's index comes last, as in name[attribute][0]")
        rows: dict[int, Any] = into.setdefault(name, {})
        index = int(path[-1])
        if item.kind != "object":
            if len(path) != 1:
                raise wrong_value(key, "wrong nesting: an array of single values is expected")
            rows[index] = _scalar(item, name, value, key)
            return
        if len(path) < 2:
            raise wrong_value(key, "wrong nesting: an attribute is expected before the index")
        inner = item.fields.get(path[0])
        if inner is None:
            raise wrong_value(key, "unknown parameter for this operation")
        self._place(rows.setdefault(index, {}), path[0], inner, path[1:-1], value, key, operation)

    def _filter_value(self, resource: str, attribute: str, filter_name: str, operator: str, value: str, key: str) -> Any:
        kind = FILTER_OPERATORS[filter_name].get(operator)
        if kind is None:
            raise wrong_value(key, f"the operator {operator} is not supported for this attribute")
        if filter_name == "SortFilter":
            allowed = _SORTABLE.get(resource)
            if allowed is not None and value not in allowed:
                raise wrong_value(key, f"sorting by {value} is not supported; use one of {', '.join(sorted(allowed))}")
            return value
        texts = _listed(value, key) if kind == "list" else [value]
        if filter_name in ("NumberFilter", "TimestampFilter") and kind != "bool":
            numbers = [_integer(text, key) for text in texts]
            if filter_name == "TimestampFilter" and any(abs(number) >= _MILLISECONDS for number in numbers):
                raise wrong_value(key, "should be a timestamp in seconds")
            if operator == "between" and len(numbers) != 2:
                raise wrong_value(key, "between takes two values")
            return numbers if kind == "list" else numbers[0]
        if kind == "bool":
            return _scalar(Shape("bool"), attribute, value, key)
        if filter_name == "EnumFilter":
            choices = self._enum(resource, attribute)
            for text in texts:
                if choices and text not in choices:
                    raise wrong_value(key, f"{text} is not a valid value; use one of {', '.join(sorted(choices))}")
        return texts if kind == "list" else value

    def _enum(self, resource: str, attribute: str) -> frozenset[str]:
        known = self._attribute_enums.get((resource, attribute))
        if known is None:
            known = self._attribute_enums[(resource, attribute)] = self._source.enum_for(resource, attribute)
        return known

    def _require(self, shape: Shape, params: dict[str, Any], prefix: str) -> None:
        for name in shape.required:
            if params.get(name) in (None, ""):
                raise wrong_value(f"{prefix}[{name}]" if prefix else name, "cannot be blank")
        for name, value in params.items():
            inner = shape.fields.get(name)
            full = f"{prefix}[{name}]" if prefix else name
            if inner is None or not isinstance(value, dict):
                continue
            if inner.kind == "object":
                self._require(inner, value, full)
            elif inner.kind == "list" and inner.item is not None and inner.item.kind == "object":
                for index, row in value.items():
                    self._require_row(inner.item, row, full, index)

    def _require_row(self, shape: Shape, row: dict[str, Any], prefix: str, index: int) -> None:
        for name in shape.required:
            if row.get(name) in (None, ""):
                raise wrong_value(f"{prefix}[{name}][{index}]", "cannot be blank")


def _split(key: str) -> tuple[str, list[str]]:
    head, bracket, rest = key.partition("[")
    return head, _KEY.findall(bracket + rest)


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        if value and all(isinstance(key, int) for key in value):
            return [_as_lists(value[index]) for index in sorted(value)]
        return {key: _as_lists(inner) for key, inner in value.items()}
    return value


def _listed(value: str, key: str) -> list[str]:
    try:
        found = json.loads(value)
    except ValueError:
        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found = value[1:-1].split(",") if value.startswith("[") and value.endswith("]") else None
    if not isinstance(found, list):
        raise wrong_value(key, 'should be an array, as in ["a","b"]')
    return [str(item).strip() for item in found]


def _json_value(value: str, key: str) -> Any:
    try:
        return json.loads(value) if value else {}
    except ValueError:
        raise wrong_value(key, "should be valid JSON") from None


def _integer(value: str, key: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise wrong_value(key, f"{value} is not a valid integer") from None


def _scalar(shape: Shape, name: str, value: str, key: str) -> Any:
    if value == "":
        return None
    if shape.kind == "int":
        number = _integer(value, key)
        if is_time(name) and abs(number) >= _MILLISECONDS:
            raise wrong_value(key, "should be a timestamp in seconds, not milliseconds")
        return number
    if shape.kind == "float":
        try:
            return float(value)
        except ValueError:
            raise wrong_value(key, f"{value} is not a valid number") from None
    if shape.kind == "bool":
        if value not in ("true", "false"):
            raise wrong_value(key, "should be true or false")
        return value == "true"
    if shape.kind == "enum" and shape.choices and value not in shape.choices:
        raise wrong_value(key, f"{value} is not a valid value; use one of {', '.join(sorted(shape.choices))}")
    limit = MAX_LENGTHS.get(name)
    if limit is not None and len(value) > limit:
        raise wrong_value(key, f"is too long (maximum is {limit} characters)")
    return value
