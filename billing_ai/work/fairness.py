"""A storm from one customer does not starve the rest: what is too much of one batch makes room for others that wait.

The usual batch costs nothing more: only when one customer fills more than their share of a full one are others looked for, each by one hop along
the index (FAIR_BY, lane, not_before), however long the storm's own queue is. (SQLite sorts what waits instead; it serves one machine.)
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TypeVar

from django.db import models

from billing_ai.work.models import Leased

Row = TypeVar("Row", bound=Leased)
_PARTS = 4
"""Of a batch that others wait for, nobody has more than one part in so many."""
_served: dict[type[Leased], str] = {}
"""Per process: whose turn was the last, so that the next batch goes on behind them."""


def shared_out(rows: list[Row], due: models.QuerySet[Row], now: datetime) -> list[Row]:
    """The batch again, with the excess of each customer replaced by what others wait for, as far as they do."""
    model = type(rows[0])
    share = max(1, len(rows) // _PARTS)
    taken: Counter[str] = Counter()
    kept: list[Row] = []
    excess: list[Row] = []
    for row in rows:
        customer = str(getattr(row, model.FAIR_BY))
        taken[customer] += 1
        (kept if taken[customer] <= share else excess).append(row)
    if not excess:
        return rows
    full = {customer for customer, count in taken.items() if count >= share}
    waiting = due.filter(status=Leased.WAITING, not_before__lte=now)
    kept += _of_others(model, waiting, full, {row.pk for row in kept}, len(excess))
    kept += excess[: len(rows) - len(kept)]
    return sorted(kept, key=lambda row: (row.lane, row.not_before, row.pk))


def _of_others(model: type[Row], waiting: models.QuerySet[Row], full: set[str], known: set[object], places: int) -> list[Row]:
    """The first row of each of the next customers, one round at most."""
    column = model.FAIR_BY
    start = after = _served.get(model)
    found: list[Row] = []
    for _ in range(places + len(full) + 2):
        next_ones = waiting if after is None else waiting.filter(**{f"{column}__gt": after})
        row = next_ones.order_by(column, "lane", "not_before", "pk").first()
        if row is None:
            if start is None:
                break
            start, after = None, None  # the round goes on from the beginning; the places and what is known end it
            continue
        after = str(getattr(row, column))
        if after in full or row.pk in known:
            continue
        known.add(row.pk)
        found.append(row)
        _served[model] = after
        if len(found) == places:
            break
    return found
