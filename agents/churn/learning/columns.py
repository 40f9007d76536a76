"""What each column of a table is: a number, a word from a small set, or something that cannot be learned from, and why."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from agents.churn.learning.table import BoolArray, FloatArray, Table, UnusableTable, as_numbers, is_missing

MOST_LEVELS = 40
MISSING_LEVEL = "(missing)"
OTHER_LEVEL = "(other)"
_ID_NAME = re.compile(r"(^|[_\s.-])(id|uuid|guid|key|nr|no|number)$|[a-z](ID|Id|UUID|Number|No)$", re.ASCII)
_DATE_FORMATS = ("%Y-%m-%d", "%m/%d/%Y", "%d.%m.%Y", "%d/%m/%Y", "%Y/%m/%d")
_MOSTLY = 0.9


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """A column of numbers; NaN is a missing one."""

    name: str
    values: FloatArray


@dataclass(frozen=True, slots=True)
class CategoricalColumn:
    """A column of words; MISSING_LEVEL stands for an empty cell."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DroppedColumn:
    """A column that is not learned from, with the sentence that says why."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class TypedTable:
    """A table sorted into what can be learned from and what cannot."""

    columns: tuple[NumericColumn | CategoricalColumn, ...]
    dropped: tuple[DroppedColumn, ...]


def type_columns(table: Table, ignored: dict[str, str]) -> TypedTable:
    """Every column typed; `ignored` gives names that were set aside already, with the reason. Raises UnusableTable on garbage among numbers,
    and when no column is left to learn from."""
    kept: list[NumericColumn | CategoricalColumn] = []
    dropped: list[DroppedColumn] = []
    for name in table.header:
        if name in ignored:
            dropped.append(DroppedColumn(name, ignored[name]))
            continue
        column = _typed(name, table)
        if isinstance(column, DroppedColumn):
            dropped.append(column)
        else:
            kept.append(column)
    if not kept:
        raise UnusableTable("No column is left to learn from: " + " ".join(column.sentence for column in dropped))
    return TypedTable(tuple(kept), tuple(dropped))


def _typed(name: str, table: Table) -> NumericColumn | CategoricalColumn | DroppedColumn:
    cells = table.cells[name]
    numbers, garbage = as_numbers(cells)
    known = int(np.isfinite(numbers).sum())
    if known == 0 and not garbage.any():
        return DroppedColumn(name, f"{name} is empty in every row, so it is not used.")
    if known >= _MOSTLY * (known + int(garbage.sum())):
        if garbage.any():
            _refuse_garbage(name, table, garbage)
        return _numeric(name, numbers)
    return _categorical(name, cells)


def _refuse_garbage(name: str, table: Table, garbage: BoolArray) -> None:
    first = int(np.flatnonzero(garbage)[0])
    raise UnusableTable(
        f"Column {name!r} holds numbers, but {int(garbage.sum())} of {table.row_count} cells are no number, the first on line "
        f"{table.lines[first]}: {table.cells[name][first][:40]!r}. Correct these cells, empty them, or leave the column out with --drop."
    )


def _numeric(name: str, numbers: FloatArray) -> NumericColumn | DroppedColumn:
    known = numbers[np.isfinite(numbers)]
    distinct = np.unique(known)
    if len(distinct) == 1 and len(known) == len(numbers):
        return DroppedColumn(name, f"{name} is {distinct[0]:g} in every row, so it says nothing.")
    whole = bool(np.all(known == np.round(known)))
    if len(known) >= 20 and len(distinct) == len(known) and whole:
        steps = np.diff(known)
        running = bool(np.all(steps > 0) or np.all(steps < 0)) or float(distinct[-1] - distinct[0]) < 2.0 * len(known)
        if running or _ID_NAME.search(name.lower() if name.isupper() else name):
            return DroppedColumn(name, f"{name} is a different whole number in every row, which is an id, so it is not used.")
    return NumericColumn(name, numbers)


def _categorical(name: str, cells: list[str]) -> CategoricalColumn | DroppedColumn:
    values = tuple(MISSING_LEVEL if is_missing(cell) else cell for cell in cells)
    counts = Counter(values)
    missing = counts.pop(MISSING_LEVEL, 0)
    known = len(values) - missing
    if len(counts) == 1 and not missing:
        return DroppedColumn(name, f"{name} is {next(iter(counts))!r} in every row, so it says nothing.")
    if date_format(cells) is not None:
        return DroppedColumn(
            name, f"{name} holds dates, which do not come again; give days since or until instead, or name it with --time."
        )
    if known >= 20 and len(counts) >= _MOSTLY * known:
        return DroppedColumn(name, f"{name} is different text in nearly every row, which is an id or free text, so it is not used.")
    if len(counts) > MOST_LEVELS and known < 5 * len(counts):
        return DroppedColumn(name, f"{name} has {len(counts)} different words in {known} rows, too few rows a word to learn from.")
    return CategoricalColumn(name, values)


def date_format(cells: list[str]) -> str | None:
    """The one date format that all known cells have, or None. ISO 8601 with a time of day is `iso`."""
    known = [cell for cell in cells if not is_missing(cell)]
    if not known or not any(mark in known[0] for mark in "-/."):
        return None
    for pattern in _DATE_FORMATS:
        if follows(known, pattern):
            return pattern
    try:
        for cell in known:
            datetime.fromisoformat(cell)
    except ValueError:
        return None
    return "iso"


def follows(cells: list[str], pattern: str) -> bool:
    """Whether every cell is a date of this form."""
    try:
        for cell in set(cells):
            datetime.strptime(cell, pattern)  # noqa: DTZ007  only the form is asked for
    except ValueError:
        return False
    return True
