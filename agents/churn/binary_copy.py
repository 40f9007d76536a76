"""PostgreSQL's binary COPY rows as numpy arrays, both ways, without a Python object a cell.

The rows must be of fixed width: every column 8 bytes (float8 or int8) and none NULL; a query turns NULL into NaN with
`coalesce(column, 'NaN')`. Then a batch is one array of records, and reading it is one `frombuffer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["float8", "int8"]
_SIGNATURE = b"PGCOPY\n\xff\r\n\x00"
_HEADER = _SIGNATURE + bytes(8)  # no flags, no extension
_TRAILER = b"\xff\xff"
_DTYPES: Mapping[Kind, str] = {"float8": ">f8", "int8": ">i8"}


def _record(kinds: Sequence[Kind]) -> np.dtype[np.void]:
    """One row: the number of columns, then each column's length and value, all big-endian."""
    parts: list[tuple[str, str]] = [("columns", ">i2")]
    for position, kind in enumerate(kinds):
        parts += [(f"length{position}", ">i4"), (f"value{position}", _DTYPES[kind])]
    return np.dtype(parts)


def decode(content: bytes, kinds: Sequence[Kind]) -> list[NDArray[np.float64] | NDArray[np.int64]]:
    """The columns of a whole COPY. Raises ValueError when it is not of this form, e.g. when a value is NULL or of another width."""
    if not content.startswith(_SIGNATURE) or len(content) < len(_HEADER) + len(_TRAILER) or content[-2:] != _TRAILER:
        raise ValueError("this is no whole binary COPY")
    if content[len(_SIGNATURE) : len(_HEADER)] != bytes(8):
        raise ValueError("this binary COPY has flags or an extension that are not known")
    record = _record(kinds)
    body = len(content) - len(_HEADER) - len(_TRAILER)
    if body % record.itemsize:
        raise ValueError("the rows are not of fixed width: a value is NULL or of another type")
    rows = np.frombuffer(content, dtype=record, count=body // record.itemsize, offset=len(_HEADER))
    columns: list[NDArray[np.float64] | NDArray[np.int64]] = []
    if len(rows) and not (rows["columns"] == len(kinds)).all():
        raise ValueError(f"the rows do not have {len(kinds)} columns")
    for position, kind in enumerate(kinds):
        if not (rows[f"length{position}"] == 8).all():
            raise ValueError(f"column {position + 1} holds NULL or another type than {kind}")
        values = rows[f"value{position}"]
        columns.append(values.astype(np.float64) if kind == "float8" else values.astype(np.int64))
    return columns


def encode(columns: Sequence[NDArray[np.float64] | NDArray[np.int64]]) -> bytes:
    """The columns as one whole COPY; floats become float8, whole numbers int8. Raises ValueError when their lengths differ."""
    if len({len(column) for column in columns}) != 1:
        raise ValueError("columns of a COPY are of one length")
    kinds: list[Kind] = ["int8" if np.issubdtype(column.dtype, np.integer) else "float8" for column in columns]
    rows = np.empty(len(columns[0]), dtype=_record(kinds))
    rows["columns"] = len(columns)
    for position, column in enumerate(columns):
        rows[f"length{position}"] = 8
        rows[f"value{position}"] = column
    return _HEADER + rows.tobytes() + _TRAILER
