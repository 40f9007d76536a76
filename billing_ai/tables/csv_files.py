"""Files that a spreadsheet may open: out, with nothing in them that it would calculate; in, read with care."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from django.http import StreamingHttpResponse

_CALCULATED = ("=", "+", "-", "@", "\t", "\r", "\n", "|")
LARGEST_UPLOAD = 2 * 1024 * 1024
"""Bytes of an uploaded list."""


class BadFile(ValueError):
    """The uploaded file cannot be read; the message says why and where."""


def safe_cell(value: object) -> str:
    """The value as text that a spreadsheet shows and does not calculate: an apostrophe before what would begin a formula."""
    text = "" if value is None else str(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return text  # a negative number is a number
    return f"'{text}" if text.lstrip(" ").startswith(_CALCULATED) else text


class _Echo:
    def write(self, value: str) -> str:
        return value


def csv_answer(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> StreamingHttpResponse:
    """A download that is written while it is sent. A byte-order mark lets spreadsheets see that it is UTF-8."""
    writer = csv.writer(_Echo())

    def lines() -> Iterator[str]:
        yield "\ufeff"
        yield writer.writerow([safe_cell(cell) for cell in header])
        for row in rows:
            yield writer.writerow([safe_cell(cell) for cell in row])

    answer = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return answer


def read_rows(content: bytes, wanted: Sequence[str]) -> list[dict[str, str]]:
    """The rows of an uploaded list, by the names of its first line. Raises BadFile."""
    if len(content) > LARGEST_UPLOAD:
        raise BadFile("The file is larger than 2 MB. Split it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile("The file is not UTF-8. Save it as “CSV UTF-8”.") from error
    delimiter = ";" if text.split("\n", 1)[0].count(";") > text.split("\n", 1)[0].count(",") else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    names = [(name or "").strip().lower() for name in reader.fieldnames or []]
    if wanted[0] not in names:
        raise BadFile(f"The first line has to name the columns: {', '.join(wanted)}. It says: {', '.join(names) or 'nothing'}.")
    rows = []
    try:
        for row in reader:
            rows.append(
                {
                    key.strip().lower(): (value or "").strip().lstrip("'")
                    for key, value in row.items()
                    if isinstance(key, str) and not isinstance(value, list)
                }
            )
    except csv.Error as error:
        raise BadFile(f"Line {reader.line_num} cannot be read: {error}") from error
    return rows
