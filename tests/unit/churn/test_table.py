"""A csv file is read exactly, or refused with a sentence that says what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.churn.learning.columns import MISSING_LEVEL, CategoricalColumn, NumericColumn, type_columns
from agents.churn.learning.labels import read_labels, read_times
from agents.churn.learning.table import UnusableTable, as_numbers, read_batches, read_table


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "names 'a' more than once"),
        ("a,,c\n1,2,3\n", "column 2 of the header has no name"),
        ("1,2\n3,4\n", "only numbers"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells where the header names 2"),
        (b"PK\x03\x04stuff\n", "spreadsheet"),
        (b"a,b\n1,\xff\xfe\n", "not UTF-8"),
        ("a,b\n1," + "x" * 1_000_001 + "\n", "cannot be read as csv"),
    ],
)
def test_an_unusable_file_is_refused_by_name(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(UnusableTable, match=sentence):
        read_table(written(tmp_path, content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableTable, match=r"no file .*nothing\.csv"):
        read_table(tmp_path / "nothing.csv")


def test_a_semicolon_file_with_a_byte_order_mark_and_quotes_is_read(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, '\ufeffname;amount\r\n"a;b"; 1 \r\n\r\nc;\r\n'))
    assert table.header == ("name", "amount")
    assert table.cells == {"name": ["a;b", "c"], "amount": ["1", ""]}
    assert table.lines == [2, 4]


def test_batches_hold_every_row_once_in_order(tmp_path: Path) -> None:
    path = written(tmp_path, "a\n" + "".join(f"x{i}\n" for i in range(7)))
    assert [table.cells["a"] for table in read_batches(path, 3)] == [["x0", "x1", "x2"], ["x3", "x4", "x5"], ["x6"]]


def test_what_is_no_finite_number_is_garbage_and_what_is_nothing_is_missing() -> None:
    numbers, garbage = as_numbers(["1.5", "", "NaN", "none", "1_000", "inf", "1e999", "-2e3", "12 EUR"])
    np.testing.assert_array_equal(numbers, [1.5, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, -2000.0, np.nan])
    assert garbage.tolist() == [False, False, False, False, True, True, True, False, True]


def test_columns_are_told_apart(tmp_path: Path) -> None:
    lines = ["ID,email,when,plan,amount,same,empty,note"]
    lines += [
        f"{1000 + i * 3},u{i}@x.example,2026-01-{i % 28 + 1:02d},{'gold' if i % 2 else ''},{i / 7:.3f},eur,,words number {i}"
        for i in range(40)
    ]
    typed = type_columns(read_table(written(tmp_path, "\n".join(lines))), {})
    plan, amount = typed.columns
    assert isinstance(plan, CategoricalColumn)
    assert plan.values[:2] == (MISSING_LEVEL, "gold")
    assert isinstance(amount, NumericColumn)
    assert {column.name: column.sentence for column in typed.dropped} == {
        "ID": "ID is a different whole number in every row, which is an id, so it is not used.",
        "email": "email is different text in nearly every row, which is an id or free text, so it is not used.",
        "when": "when holds dates, which do not come again; give days since or until instead, or name it with --time.",
        "same": "same is 'eur' in every row, so it says nothing.",
        "empty": "empty is empty in every row, so it is not used.",
        "note": "note is different text in nearly every row, which is an id or free text, so it is not used.",
    }


def test_garbage_among_numbers_is_refused_with_its_line(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "x\n" + "1\n" * 30 + "2\n" * 9 + "oops\n"))
    with pytest.raises(UnusableTable, match=r"Column 'x' holds numbers, but 1 of 40 cells are no number, the first on line 41: 'oops'"):
        type_columns(table, {})


@pytest.mark.parametrize(
    ("cells", "positive", "sentence"),
    [
        (["a", "b"], None, r"Which value of 't' is the one to predict\? It holds: 'a' \(1\), 'b' \(1\)\."),
        (["a", "b"], "c", "No row has 'c' in 't'"),
        (["yes", "yes"], None, "only one class"),
        (["yes", "yes"], "yes", "Every row with a target is positive"),
        (["", "NA"], None, "empty in every row"),
        (["1", "x"], ">0", "compares numbers, but 't' holds 'x'"),
        (["3", "4"], ">0", "Every row with a target is positive"),
    ],
)
def test_an_unclear_target_is_refused(tmp_path: Path, cells: list[str], positive: str | None, sentence: str) -> None:
    table = read_table(written(tmp_path, "t,x\n" + "".join(f"{cell},1\n" for cell in cells)))
    with pytest.raises(UnusableTable, match=sentence):
        read_labels(table, "t", positive)


def test_labels_leave_out_rows_without_a_target(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "t,x\nYes,1\n,2\nNo,3\n"))
    labels = read_labels(table, "t", None)
    assert (labels.values.tolist(), labels.known.tolist(), labels.positive) == ([1, 0], [0, 2], "Yes")


def test_a_comparison_makes_labels(tmp_path: Path) -> None:
    labels = read_labels(read_table(written(tmp_path, "late,x\n0,1\n5,1\n-1,1\n")), "late", ">0")
    assert labels.values.tolist() == [0, 1, 0]


def test_times_are_sortable_in_each_form(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a,b,c\n2026-01-02,12/31/2025,3\n2026-01-01,1/2/2026,1\n"))
    for name, first_is_later in (("a", True), ("b", False), ("c", True)):
        times = read_times(table, name)
        assert bool(times[0] > times[1]) is first_is_later


def test_a_bad_time_is_refused_with_its_line(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a,b\n2026-01-02,2026-01-02\nsoon,\n"))
    with pytest.raises(UnusableTable, match="line 3 has 'soon'"):
        read_times(table, "a")
    with pytest.raises(UnusableTable, match="empty on line 3"):
        read_times(table, "b")


def test_a_date_that_can_be_read_two_ways_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableTable, match="month/day or as day/month"):
        read_times(read_table(written(tmp_path, "a,b\n1/2/2026,1\n3/4/2026,1\n")), "a")
