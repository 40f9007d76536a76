"""New scores beside those that stand: what changed, and one write for all of it. Called inside a transaction, for one customer or a batch.

On PostgreSQL a batch goes in as a binary COPY into a table of the transaction, and from there by two statements into the scores and their
history; elsewhere, and for a few rows, through the ORM. Both write the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Max
from numpy.typing import NDArray

from agents.churn import copy_in
from agents.churn.announcing import BandChange, bands_changed
from agents.churn.gather import CAN_BE_LEFT, Chosen, Gathered
from agents.churn.models import ChurnHistory, ChurnScore, Departure, ValueChange
from agents.churn.scoring import BatchScores, trends
from agents.churn.signals import FIELDS, FloatArray
from billing_ai.facts.models import Subscription
from billing_ai.kernel import clock

HISTORY_EVERY = timedelta(days=7) - timedelta(hours=1)
"""A point of history a week, an hour of slack so that a night that starts earlier still counts."""
MOVED = 0.05
"""How much p90 has to move for a point of history of its own, and by a fifth of what it was."""
MONTH_AGO = (timedelta(days=45), timedelta(days=26))
"""Where the point of a month ago is looked for: the newest in between."""
COPY_FROM_ROWS = 500


@dataclass(frozen=True, slots=True)
class Before:
    """The scores as they stand, in the order of the customers: NaN and -1 where there is none. Moments in seconds since 1970."""

    scored_at: FloatArray
    p90: FloatArray
    bands: NDArray[np.int64]
    mrr: FloatArray
    seats: FloatArray
    history_at: FloatArray
    first_seen_at: FloatArray
    bands_before: NDArray[np.int64]
    band_changed_at: FloatArray
    is_active: NDArray[np.bool_]
    p90_month_ago: FloatArray

    def take(self, positions: NDArray[np.int64]) -> Before:
        """The customers at these positions only."""
        return Before(**{field.name: getattr(self, field.name)[positions] for field in fields(self)})


@dataclass(frozen=True, slots=True)
class Stored:
    """What the write did. `bands` and the change of each customer are what interventions look at."""

    scores: int
    history: int
    changes: int
    departures: int
    trends: NDArray[np.int64]
    band_changed_at: FloatArray
    bands_before: NDArray[np.int64]


_COLUMNS = (
    "chargebee_customer_id", "scored_at", "p90", "band", "mrr_minor", "seats", "history_at", "first_seen_at", "band_before", "band_changed_at",
    "is_active",
)  # fmt: skip
_BAND = {band: number for number, band in enumerate(ChurnScore.BANDS)}


def read_before(customer_ids: Sequence[str], as_of: datetime, *, chosen: Chosen | None = None, locked: bool = False) -> Before:
    """What stands for these customers. `locked`: held until the transaction ends, so that nobody else scores them meanwhile."""
    which = chosen or Chosen(tuple(customer_ids))
    place = {customer_id: position for position, customer_id in enumerate(customer_ids)}

    def empty() -> FloatArray:
        return np.full(len(place), np.nan)

    found = Before(
        empty(), empty(), np.full(len(place), -1), empty(), empty(), empty(), empty(), np.full(len(place), -1), empty(),
        np.zeros(len(place), dtype=np.bool_), empty(),
    )  # fmt: skip
    rows = ChurnScore.objects.filter(which()).order_by("chargebee_customer_id")
    if locked and connection.features.has_select_for_update:
        rows = rows.select_for_update()
    for customer_id, scored_at, p90, band, mrr, seats, history_at, first_seen, band_before, changed_at, active in rows.values_list(
        *_COLUMNS
    ).iterator(chunk_size=10_000):
        at = place.get(customer_id)
        if at is None:
            continue
        found.scored_at[at], found.p90[at], found.bands[at], found.is_active[at] = scored_at.timestamp(), p90, _BAND[band], active
        found.bands_before[at] = _BAND.get(band_before, -1)
        for column, value in ((found.mrr, mrr), (found.seats, seats)):
            if value is not None:
                column[at] = value
        for column, moment in ((found.history_at, history_at), (found.first_seen_at, first_seen), (found.band_changed_at, changed_at)):
            if moment is not None:
                column[at] = moment.timestamp()
    points = ChurnHistory.objects.filter(which(), scored_at__gte=as_of - MONTH_AGO[0], scored_at__lte=as_of - MONTH_AGO[1])
    for customer_id, p90 in points.order_by("scored_at").values_list("chargebee_customer_id", "p90").iterator(chunk_size=10_000):
        at = place.get(customer_id)
        if at is not None:
            found.p90_month_ago[at] = p90
    return found


def store(gathered: Gathered, scores: BatchScores, before: Before, as_of: datetime, version: str) -> Stored:
    """Write the scores of these customers, the points of history that are due, changes of value, and who has left."""
    now = as_of.timestamp()
    p90, active = scores.probabilities[:, 2], gathered.is_active
    is_known = before.bands >= 0
    changed = is_known & active & (before.bands != scores.bands)
    bands_before = np.where(changed, before.bands, before.bands_before)
    band_changed_at = np.where(changed, now, before.band_changed_at)
    moved = np.abs(p90 - before.p90) >= np.maximum(MOVED, 0.2 * before.p90)
    due = active & (np.isnan(before.history_at) | (now - before.history_at >= HISTORY_EVERY.total_seconds()) | (is_known & moved))
    row = Row(
        gathered=gathered,
        scores=scores,
        scored_at=as_of,
        version=version,
        trends=trends(p90, before.p90_month_ago),
        p90_before=before.p90_month_ago,
        bands_before=bands_before,
        band_changed_at=band_changed_at,
        history_due=due,
        history_at=np.where(due, now, before.history_at),
        first_seen_at=np.where(np.isnan(before.first_seen_at), now, before.first_seen_at),
    )
    if connection.vendor == "postgresql" and len(gathered) >= COPY_FROM_ROWS:
        copy_in.write(row)
    else:
        _write(row)
    departures = _note_departures(gathered, before, as_of)
    _note_changes(gathered, before, as_of)
    changes = _announce(gathered, scores, before, changed, as_of)
    return Stored(len(gathered), int(due.sum()), changes, departures, row.trends, band_changed_at, bands_before)


@dataclass(frozen=True, slots=True)
class Row:
    """Every column that is written, as arrays over the customers."""

    gathered: Gathered
    scores: BatchScores
    scored_at: datetime
    version: str
    trends: NDArray[np.int64]
    p90_before: FloatArray
    bands_before: NDArray[np.int64]
    band_changed_at: FloatArray
    history_due: NDArray[np.bool_]
    history_at: FloatArray
    first_seen_at: FloatArray


def _write(row: Row) -> None:
    gathered, scores = row.gathered, row.scores
    figures = {name: _nulls(gathered.columns[name]) for name in FIELDS}
    shared: dict[str, list[Any]] = {
        "scored_at": [row.scored_at] * len(gathered),
        **{name: scores.probabilities[:, position].tolist() for position, name in enumerate(("p30", "p60", "p90"))},
        "health": _nulls(scores.health),
        **{f"health_{room}": _nulls(scores.rooms[:, position]) for position, room in enumerate(("billing", "support", "product"))},
        "band": [ChurnScore.BANDS[band] for band in scores.bands.tolist()],
        "segment": gathered.segments,
        "model_version": [row.version] * len(gathered),
        **figures,
        "chargebee_customer_id": gathered.ids,
    }
    own: dict[str, list[Any]] = {
        "currency": gathered.currencies,
        "value_reference_cents": gathered.value_reference_cents.tolist(),
        "reason_codes": scores.reason_codes.tolist(),
        "trend": [ChurnScore.TRENDS[trend] for trend in row.trends.tolist()],
        "p90_before": _nulls(row.p90_before),
        "band_before": [ChurnScore.BANDS[band] if band >= 0 else "" for band in row.bands_before.tolist()],
        "band_changed_at": _moments(row.band_changed_at),
        "history_at": _moments(row.history_at),
        "first_seen_at": _moments(row.first_seen_at),
        "is_active": gathered.is_active.tolist(),
    }
    whole = {**shared, **own}
    ChurnScore.objects.bulk_create(
        [ChurnScore(**dict(zip(whole, values, strict=True))) for values in zip(*whole.values(), strict=True)],
        batch_size=500,
        update_conflicts=True,
        unique_fields=["chargebee_customer_id"],
        update_fields=[name for name in whole if name != "chargebee_customer_id"],
    )
    points = [dict(zip(shared, values, strict=True)) for values in zip(*shared.values(), strict=True)]
    ChurnHistory.objects.bulk_create(
        [ChurnHistory(**point) for point, due in zip(points, row.history_due.tolist(), strict=True) if due], batch_size=500
    )


def _nulls(values: FloatArray) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _moments(seconds: FloatArray) -> list[datetime | None]:
    return [None if value != value else clock.from_seconds(0) + timedelta(seconds=value) for value in seconds.tolist()]


def _note_changes(gathered: Gathered, before: Before, as_of: datetime) -> None:
    rows: list[ValueChange] = []
    for what, was, name in ((ValueChange.MRR, before.mrr, "mrr_minor"), (ValueChange.SEATS, before.seats, "seats")):
        now = gathered.columns[name]
        for at in np.flatnonzero(~np.isnan(was) & ~np.isnan(now) & (was != now)).tolist():
            rows.append(
                ValueChange(chargebee_customer_id=gathered.ids[at], at=as_of, what=what, before=float(was[at]), after=float(now[at]))
            )
    ValueChange.objects.bulk_create(rows, batch_size=1_000)


def _note_departures(gathered: Gathered, before: Before, as_of: datetime) -> int:
    """Who could be left at the score before and has nothing to leave any more: the day is that of the last subscription's end."""
    gone = [gathered.ids[at] for at in np.flatnonzero(before.is_active & ~gathered.is_active).tolist()]
    if not gone:
        return 0
    ended = dict(
        Subscription.objects.filter(chargebee_customer_id__in=gone)
        .exclude(status__in=CAN_BE_LEFT)
        .order_by()
        .values_list("chargebee_customer_id")
        .annotate(at=Max("cancelled_at"))
    )
    rows = [Departure(chargebee_customer_id=one, left_at=min(ended.get(one) or as_of, as_of), seen_at=as_of) for one in gone]
    Departure.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _announce(gathered: Gathered, scores: BatchScores, before: Before, changed: NDArray[np.bool_], as_of: datetime) -> int:
    """Tell of changed bands, and of first scores that ask for a look: that a new customer is in the lowest band is no news."""
    first = (before.bands < 0) & gathered.is_active & (scores.bands > 0)
    news = list(_changes(np.flatnonzero(changed | first).tolist(), gathered, scores, before, as_of))
    if news:
        bands_changed.send(sender=ChurnScore, changes=news)
    return int(changed.sum())


def _changes(positions: Iterable[int], gathered: Gathered, scores: BatchScores, before: Before, as_of: datetime) -> Iterable[BandChange]:
    for at in positions:
        health = float(scores.health[at])
        yield BandChange(
            customer_id=gathered.ids[at],
            before=ChurnScore.BANDS[before.bands[at]] if before.bands[at] >= 0 else "",
            after=ChurnScore.BANDS[scores.bands[at]],
            scored_at=as_of,
            p90=float(scores.probabilities[at, 2]),
            health=None if health != health else health,
        )
