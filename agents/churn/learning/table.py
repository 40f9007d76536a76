"""Reading a csv file into columns of text, and every way in which such a file can be unusable said in one sentence."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LARGEST_CELL = 1_000_000
_DELIMITERS = ",;\t|"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
# Written by spreadsheets, databases and pandas for a cell with nothing in it.
_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "<na>", "?"})
_MISSING_NUMBER = _MISSING | {"none", "nil", "-", "--"}


class UnusableTable(Exception):
    """The file or an argument about it cannot be used; the text says what is wrong, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one file by column: each column as stripped text, and the line each row ends on (for messages)."""

    header: tuple[str, ...]
    cells: dict[str, list[str]]
    lines: list[int]

    @property
    def row_count(self) -> int:
        """How many rows of content there are."""
        return len(self.lines)

    def column(self, name: str) -> list[str]:
        """The text of one column. Raises UnusableTable, with the names there are, when there is none of that name."""
        if name not in self.cells:
            raise UnusableTable(f"There is no column {name!r}. The file has: {', '.join(self.header)}.")
        return self.cells[name]

    def take(self, keep: NDArray[np.int64]) -> Table:
        """The rows at these positions, in this order."""
        positions = keep.tolist()
        cells = {name: [column[i] for i in positions] for name, column in self.cells.items()}
        return Table(self.header, cells, [self.lines[i] for i in positions])


def read_table(path: Path) -> Table:
    """The whole file. Raises UnusableTable when it is missing, empty, not UTF-8, ragged, or has a doubled or nameless column."""
    batches = list(read_batches(path, sys.maxsize))
    return batches[0]


def read_batches(path: Path, batch_rows: int) -> Iterator[Table]:
    """The file in batches of at most `batch_rows` rows, so that memory does not grow with the file. Raises UnusableTable as `read_table`."""
    if not path.is_file():
        raise UnusableTable(f"There is no file {path}.")
    csv.field_size_limit(LARGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _batches(path, stream, batch_rows)
    except UnicodeDecodeError as error:
        raise UnusableTable(f"{path} is not UTF-8 text (byte {error.start} of a block). Save it as 'CSV UTF-8' and try again.") from error
    except csv.Error as error:
        raise UnusableTable(f"{path} cannot be read as csv: {error}. Save it as plain csv, one row a line.") from error


def _batches(path: Path, stream: TextIO, batch_rows: int) -> Iterator[Table]:
    first = stream.readline()
    if not first.strip():
        raise UnusableTable(f"{path} is empty: its first line must name the columns.")
    if first.startswith("PK\x03\x04") or "\x00" in first:
        raise UnusableTable(f"{path} is a spreadsheet or another binary file, not csv. Export it as 'CSV UTF-8'.")
    delimiter = max(_DELIMITERS, key=lambda mark: (first.count(mark), -_DELIMITERS.index(mark)))
    stream.seek(0)
    reader = csv.reader(stream, delimiter=delimiter)
    header = _checked_header(path, next(reader))
    rows: list[list[str]] = []
    lines: list[int] = []
    seen_any = False
    for row in reader:
        if not row or (len(row) == 1 and len(header) > 1 and not row[0].strip()):
            continue  # an empty line, as many editors leave at the end
        if len(row) != len(header):
            raise UnusableTable(
                f"{path}, line {reader.line_num}: {len(row)} cells where the header names {len(header)}. "
                "A cell that holds the separator or a line break must be quoted."
            )
        rows.append(row)
        lines.append(reader.line_num)
        if len(rows) == batch_rows:
            seen_any = True
            yield _as_table(header, rows, lines)
            rows, lines = [], []
    if rows:
        yield _as_table(header, rows, lines)
    elif not seen_any:
        raise UnusableTable(f"{path} has a header and no rows.")


def _checked_header(path: Path, names: list[str]) -> tuple[str, ...]:
    header = tuple(name.strip() for name in names)
    nameless = [position for position, name in enumerate(header, 1) if not name]
    if nameless:
        raise UnusableTable(f"{path}: column {nameless[0]} of the header has no name. Name it or remove it.")
    doubled = [name for name, count in Counter(header).items() if count > 1]
    if doubled:
        raise UnusableTable(f"{path}: the header names {doubled[0]!r} more than once. Rename or remove one of the two.")
    if all(_NUMBER.fullmatch(name) for name in header):
        raise UnusableTable(f"{path}: the first line holds only numbers; it must name the columns.")
    return header


def _as_table(header: tuple[str, ...], rows: list[list[str]], lines: list[int]) -> Table:
    columns = ([cell.strip() for cell in column] for column in zip(*rows, strict=True))
    return Table(header, dict(zip(header, columns, strict=True)), lines)


def is_missing(cell: str) -> bool:
    """Whether a cell of words says that nothing is known ('None' is a word that may mean something, so it is kept)."""
    return cell.lower() in _MISSING


def as_numbers(cells: list[str]) -> tuple[FloatArray, BoolArray]:
    """The finite numbers of a column with NaN where there is none, and which cells hold something that is no number."""
    if not any("_" in cell for cell in cells):  # Python's float() would read 1_000
        try:
            values = np.array([float(cell) if cell else np.nan for cell in cells], dtype=np.float64)
        except ValueError:
            values = np.empty(0)
        if len(values) and bool(np.all(np.isfinite(values) | np.array([not cell for cell in cells]))):
            return values, np.zeros(len(cells), dtype=np.bool_)
    numbers = np.full(len(cells), np.nan)
    garbage = np.zeros(len(cells), dtype=np.bool_)
    for position, cell in enumerate(cells):
        if cell.lower() in _MISSING_NUMBER:
            continue
        number = float(cell) if _NUMBER.fullmatch(cell) else np.nan
        if np.isfinite(number):
            numbers[position] = number
        else:
            garbage[position] = True
    return numbers, garbage
