"""The byte form of PostgreSQL's binary COPY, against bytes written out by hand."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from agents.churn.binary_copy import decode, encode

_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)


def test_rows_are_the_documented_bytes() -> None:
    expected = _HEAD
    for number, value in ((7, 0.25), (-1, float("inf"))):
        expected += struct.pack(">hiqid", 2, 8, number, 8, value)
    expected += struct.pack(">h", -1)
    assert encode([np.array([7, -1]), np.array([0.25, np.inf])]) == expected
    numbers, values = decode(expected, ["int8", "float8"])
    assert numbers.tolist() == [7, -1]
    assert values.tolist() == [0.25, np.inf]


def test_no_rows_are_no_rows() -> None:
    assert [column.tolist() for column in decode(encode([np.empty(0), np.empty(0, dtype=np.int64)]), ["float8", "int8"])] == [[], []]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PGCOPY",
        _HEAD,
        _HEAD + struct.pack(">hi", 1, -1) + b"\xff\xff",  # NULL
        _HEAD + struct.pack(">hii", 1, 4, 9) + b"\xff\xff",  # int4
        _HEAD + struct.pack(">hid", 2, 8, 1.0) + b"\xff\xff",  # another number of columns
        _HEAD[:-1] + b"\x01" + b"\xff\xff",
        encode([np.array([1.0])])[:-2],
    ],
)
def test_what_is_not_of_this_form_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"COPY|fixed width|columns|column 1"):
        decode(content, ["float8"])


def test_columns_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        encode([np.zeros(2), np.zeros(3)])
