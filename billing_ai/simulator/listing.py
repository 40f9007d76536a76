"""Lists: filters to SQL, sorting, and pages that stay fast however deep one goes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from billing_ai.simulator.errors import wrong_value
from billing_ai.simulator.site import Site, public

_AT = {
    "invoice": "date", "transaction": "date", "credit_note": "date", "event": "occurred_at", "usage": "usage_date",
}  # fmt: skip
_COLUMNS = ("id", "customer_id", "subscription_id", "status", "updated_at")
_DELETABLE = frozenset(["customer", "subscription", "invoice", "transaction", "payment_source", "item", "item_price", "credit_note"])
_NOT_FILTERS = frozenset(("limit", "offset", "sort_by", "include_deleted", "start_time", "end_time", "paid_on_after", "organization_id"))
_COMPARE = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "after": ">", "before": "<"}
DAY = 86_400


def list_things(
    site: Site, kind: str, params: dict[str, Any], *, where: str = "1", values: tuple[Any, ...] = (), wrap: str | None = None
) -> dict[str, Any]:
    """A page in Chargebee's form: `{"list": [{kind: …}], "next_offset": …}`. `where` narrows it beforehand."""
    limit = params.get("limit") or 10
    if not 1 <= limit <= 100:
        raise wrong_value("limit", "should be between 1 and 100")
    clauses, bound = [where], list(values)
    if kind in _DELETABLE and not params.get("include_deleted"):
        clauses.append("json_extract(body,'$.deleted') IS NOT 1")
    for name, wanted in params.items():
        if name in _NOT_FILTERS or wanted is None:
            continue
        column = _column(kind, name)
        if not isinstance(wanted, dict):
            wanted = {"is": wanted}
        for operator, value in wanted.items():
            _add(clauses, bound, column, operator, value)
    _plain_times(kind, params, clauses, bound)
    sort = params.get("sort_by") or {}
    descending = "asc" not in sort
    key = _column(kind, sort["asc"] if "asc" in sort else sort["desc"]) if sort else "at"
    direction, compare = ("DESC", "<") if descending else ("ASC", ">")
    key = f"coalesce({key}, 0)" if key not in ("at", "updated_at", "id") else key
    if params.get("offset"):
        last, seq = _decode(params["offset"])
        clauses.append(f"({key}, seq) {compare} (?, ?)")
        bound += [last, seq]
    rows = site.store.page(kind, " AND ".join(f"({c})" for c in clauses), bound, f"{key} {direction}, seq {direction}", key, limit + 1)
    answer: dict[str, Any] = {"list": [{wrap or kind: public(thing)} for _, _, thing in rows[:limit]]}
    if len(rows) > limit:
        answer["next_offset"] = _encode(rows[limit - 1][0], rows[limit - 1][1])
    return answer


def _column(kind: str, name: str) -> str:
    if name in _COLUMNS:
        return name
    if name == _AT.get(kind, "created_at"):
        return "at"
    return f"json_extract(body,'$.{name}')"


def _add(clauses: list[str], bound: list[Any], column: str, operator: str, value: Any) -> None:
    if operator == "is_present":
        clauses.append(f"{column} IS {'NOT ' if value else ''}NULL")
    elif operator in ("in", "not_in"):
        marks = ",".join("?" * len(value)) or "NULL"
        clauses.append(f"{column} IN ({marks})" if operator == "in" else f"({column} IS NULL OR {column} NOT IN ({marks}))")
        bound += value
    elif operator == "between":
        clauses.append(f"{column} BETWEEN ? AND ?")
        bound += value
    elif operator == "on":
        start = value - value % DAY
        clauses.append(f"{column} >= ? AND {column} < ?")
        bound += [start, start + DAY]
    elif operator == "starts_with":
        clauses.append(f"substr({column}, 1, ?) = ?")
        bound += [len(value), value]
    elif operator == "is_not":
        clauses.append(f"{column} IS NOT ?")
        bound.append(_plain(value))
    elif operator == "is":
        clauses.append(f"{column} = ?")
        bound.append(_plain(value))
    else:
        clauses.append(f"{column} {_COMPARE[operator]} ?")
        bound.append(value)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _plain_times(kind: str, params: dict[str, Any], clauses: list[str], bound: list[Any]) -> None:
    if params.get("start_time"):
        clauses.append("at >= ?")
        bound.append(params["start_time"])
    if params.get("end_time"):
        clauses.append("at <= ?")
        bound.append(params["end_time"])
    if kind == "invoice" and params.get("paid_on_after"):
        clauses.append("json_extract(body,'$.paid_at') > ?")
        bound.append(params["paid_on_after"])


def _encode(last: Any, seq: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, seq]).encode()).decode()


def _decode(offset: str) -> tuple[Any, int]:
    try:
        last, seq = json.loads(base64.urlsafe_b64decode(offset.encode()))
        return last, int(seq)
    except (ValueError, TypeError, binascii.Error):
        raise wrong_value("offset", "is not an offset that was given out") from None
