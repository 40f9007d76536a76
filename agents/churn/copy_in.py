"""A batch of scores into PostgreSQL without a Python object a cell: a binary COPY into a table of the transaction, then two statements.

Numbers travel as fixed-width rows (`binary_copy`); ids and segments as one array each, put beside them by their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import connection

from agents.churn.binary_copy import encode
from agents.churn.models import ChurnHistory, ChurnScore
from agents.churn.signals import FIELDS, FloatArray

if TYPE_CHECKING:
    from agents.churn.storing import Row

_NUMBERS = (
    "p30", "p60", "p90", "health", "health_billing", "health_support", "health_product", "p90_before", "band_changed_at", "history_at",
    "first_seen_at", *FIELDS,
)  # fmt: skip
_WHOLE = ("number", "band", "trend", "band_before", "reason_codes", "value_reference_cents", "is_active", "history_due")
_INCOMING = "churn_incoming"


def write(row: Row) -> None:
    """Upsert the scores, and add the points of history that are due. Inside a transaction, at whose end the table of the batch is gone."""
    gathered, scores = row.gathered, row.scores
    count = len(gathered)
    whole = (
        np.arange(1, count + 1),
        scores.bands,
        row.trends,
        row.bands_before,
        scores.reason_codes,
        gathered.value_reference_cents,
        gathered.is_active,
        row.history_due,
    )
    numbers: list[FloatArray] = [
        *scores.probabilities.T, scores.health, *scores.rooms.T, row.p90_before, row.band_changed_at, row.history_at, row.first_seen_at,
        *(gathered.columns[name] for name in FIELDS),
    ]  # fmt: skip
    columns = [f"{name} int8" for name in _WHOLE] + [f"{name} float8" for name in _NUMBERS]
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE {_INCOMING} ({', '.join(columns)}) ON COMMIT DROP")
        with cursor.copy(f"COPY {_INCOMING} FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(encode([*(values.astype(np.int64) for values in whole), *numbers]))
        marks: list[Any] = [row.version, row.scored_at]
        cursor.execute(_UPSERT, [*marks, gathered.ids, gathered.segments, gathered.currencies])
        cursor.execute(_HISTORY, [*marks, gathered.ids, gathered.segments])
        cursor.execute(f"DROP TABLE {_INCOMING}")


def _word(column: str, words: tuple[str, ...]) -> str:
    listed = ", ".join(f"'{word}'" for word in words)
    return f"COALESCE((ARRAY[{listed}])[i.{column} + 1], '')"


def _moment(column: str) -> str:
    return f"to_timestamp(NULLIF(i.{column}, 'NaN'))"


_SHARED = {
    "chargebee_customer_id": "t.customer",
    **{name: f"NULLIF(i.{name}, 'NaN')" for name in ("p30", "p60", "p90", "health", "health_billing", "health_support", "health_product")},
    "band": _word("band", ChurnScore.BANDS),
    "segment": "t.segment",
    **{name: f"NULLIF(i.{name}, 'NaN')" for name in FIELDS},
}
_OWN = {
    "currency": "t.currency",
    "value_reference_cents": "i.value_reference_cents",
    "reason_codes": "i.reason_codes",
    "trend": _word("trend", ChurnScore.TRENDS),
    "p90_before": "NULLIF(i.p90_before, 'NaN')",
    "band_before": _word("band_before", ChurnScore.BANDS),
    "band_changed_at": _moment("band_changed_at"),
    "history_at": _moment("history_at"),
    "first_seen_at": _moment("first_seen_at"),
    "is_active": "i.is_active = 1",
}
# Names of our own columns and constants of this file; every value is a parameter.
_UPSERT = (
    f"INSERT INTO {ChurnScore._meta.db_table} ({', '.join([*_SHARED, *_OWN])}, model_version, scored_at) "  # noqa: S608
    f"SELECT {', '.join([*_SHARED.values(), *_OWN.values()])}, %s, %s FROM {_INCOMING} i "
    "JOIN unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS t(customer, segment, currency, n) ON t.n = i.number "
    f"ORDER BY i.number ON CONFLICT (chargebee_customer_id) DO UPDATE SET "
    f"{', '.join(f'{name} = EXCLUDED.{name}' for name in [*_SHARED, *_OWN, 'model_version', 'scored_at'] if name != 'chargebee_customer_id')}"
)
_HISTORY = (
    f"INSERT INTO {ChurnHistory._meta.db_table} ({', '.join(_SHARED)}, model_version, scored_at) "  # noqa: S608
    f"SELECT {', '.join(_SHARED.values())}, %s, %s FROM {_INCOMING} i "
    "JOIN unnest(%s::text[], %s::text[]) WITH ORDINALITY AS t(customer, segment, n) ON t.n = i.number WHERE i.history_due = 1 ORDER BY i.number"
)
