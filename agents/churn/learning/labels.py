"""The target as labels, and the time column as something to sort by."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from agents.churn.learning.columns import date_format, follows
from agents.churn.learning.table import BoolArray, FloatArray, Table, UnusableTable, as_numbers, is_missing

_MONTH_FIRST, _DAY_FIRST = "%m/%d/%Y", "%d/%m/%Y"
_YES = frozenset({"1", "1.0", "yes", "y", "true", "t", "churn", "churned", "lost", "left", "default", "defaulted", "cancelled", "canceled"})
_COMPARISON = re.compile(r"(>=|<=|>|<)\s*([+-]?\d+(?:\.\d+)?)")
_COMPARE: dict[str, Callable[[FloatArray, float], BoolArray]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Labels:
    """1 where the target happened, 0 where not; `known` are the rows that have a target at all; `positive` is how 1 was written."""

    values: NDArray[np.int8]
    known: NDArray[np.int64]
    positive: str


def read_labels(table: Table, target: str, positive: str | None) -> Labels:
    """The labels of the rows whose target is known. `positive` is a value, or a comparison such as `>0`. Raises UnusableTable when the target
    is missing, has one class only, or it is not clear which value is the positive one."""
    cells = table.column(target)
    known = np.array([i for i, cell in enumerate(cells) if not is_missing(cell)], dtype=np.int64)
    words = [cells[i] for i in known]
    counts = Counter(words)
    if not counts:
        raise UnusableTable(f"The target column {target!r} is empty in every row.")
    comparison = _COMPARISON.fullmatch(positive) if positive is not None and positive not in counts else None
    if comparison:
        numbers, garbage = as_numbers(words)
        if garbage.any():
            raise UnusableTable(
                f"--positive {positive!r} compares numbers, but {target!r} holds {words[int(np.flatnonzero(garbage)[0])]!r}."
            )
        values = _COMPARE[comparison[1]](numbers, float(comparison[2])).astype(np.int8)
        written = str(positive)
    else:
        written = _positive_word(target, counts, positive)
        values = np.array([word == written for word in words], dtype=np.int8)
    if values.min() == values.max():
        which = "positive" if values[0] else "negative"
        raise UnusableTable(
            f"Every row with a target is {which} ({target!r}, positive is {written!r}): there is nothing to tell apart. Give rows of both kinds."
        )
    return Labels(values, known, written)


def _positive_word(target: str, counts: Counter[str], positive: str | None) -> str:
    shown = ", ".join(f"{word!r} ({count})" for word, count in counts.most_common(8))
    if positive is not None:
        if positive not in counts:
            raise UnusableTable(f"No row has {positive!r} in {target!r}. It holds: {shown}.")
        return positive
    if len(counts) == 1:
        raise UnusableTable(
            f"Every row has {shown} in {target!r}: there is only one class, so nothing to tell apart. Give rows of both kinds."
        )
    yes = [word for word in counts if word.lower() in _YES]
    if len(counts) == 2 and len(yes) == 1:
        return yes[0]
    raise UnusableTable(
        f"Which value of {target!r} is the one to predict? It holds: {shown}. Say it with --positive (a value, or e.g. '>0')."
    )


def read_times(table: Table, name: str) -> FloatArray:
    """One sortable number a row. Raises UnusableTable when a cell is empty or neither a number nor a date in one format."""
    cells = table.column(name)
    empty = [table.lines[i] for i, cell in enumerate(cells) if is_missing(cell)]
    if empty:
        raise UnusableTable(f"The time column {name!r} is empty on line {empty[0]} and {len(empty) - 1} more. Every row needs its time.")
    numbers, garbage = as_numbers(cells)
    if not garbage.any():
        return numbers
    pattern = date_format(cells)
    if pattern is None:
        odd = next((i for i, cell in enumerate(cells) if date_format([cell]) != date_format(cells[:1])), 0)
        raise UnusableTable(
            f"The time column {name!r} does not hold one form of number or date: line {table.lines[odd]} has {cells[odd]!r}. "
            "Write dates as YYYY-MM-DD."
        )
    if pattern == _MONTH_FIRST and follows(cells, _DAY_FIRST):
        raise UnusableTable(f"The time column {name!r} can be read as month/day or as day/month in every row. Write dates as YYYY-MM-DD.")
    if pattern == "iso":
        moments = [datetime.fromisoformat(cell) for cell in cells]
    else:
        moments = [datetime.strptime(cell, pattern).replace(tzinfo=UTC) for cell in cells]
    return np.array([(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() for moment in moments])
