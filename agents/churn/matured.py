"""Scores whose time has passed, with what became of the customers: what models learn from, and what probabilities are held against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db.models import QuerySet
from django.db.models.functions import Mod
from numpy.typing import NDArray

from agents.churn.models import ChurnHistory, Departure
from agents.churn.scorecard import HORIZONS_DAYS
from agents.churn.signals import FIELDS, FloatArray

HORIZON = timedelta(days=max(HORIZONS_DAYS))
SPACING_DAYS = 30
"""At most one point of a customer in as many days: neighbouring weeks say nearly the same and would count the same departure often."""
MOST_ROWS = 40_000
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Matured:
    """Points in the order of time: figures by field, `labels` by horizon (1: left within it), the chance that was given then."""

    customer_ids: list[str]
    columns: Mapping[str, FloatArray]
    labels: Mapping[int, NDArray[np.int8]]
    days: FloatArray
    """When each score was given, in days since 1970."""
    p90: FloatArray
    segments: Sequence[str]
    versions: Sequence[str]

    def __len__(self) -> int:
        return len(self.customer_ids)


def read(as_of: datetime, *, since: datetime | None = None, most: int = MOST_ROWS) -> Matured:
    """The points of customers' history that are 90 days old or more (and not older than `since`), spread evenly where there are too many."""
    points = ChurnHistory.objects.filter(scored_at__lte=as_of - HORIZON)
    if since is not None:
        points = points.filter(scored_at__gt=since)
    found = _thinned(points, most)
    found.sort(key=lambda row: (row[1], row[0]))
    ids = [row[0] for row in found]
    figures = np.array([row[5:] for row in found], dtype=np.float64).reshape(-1, len(FIELDS))
    left = _departures(set(ids))
    days = np.array([row[1].timestamp() / 86_400.0 for row in found])
    labels = {
        horizon: np.array(
            [
                any(day < gone <= day + horizon for gone in left.get(customer_id, ()))
                for customer_id, day in zip(ids, days.tolist(), strict=True)
            ],
            dtype=np.int8,
        )
        for horizon in HORIZONS_DAYS
    }
    return Matured(
        ids,
        dict(zip(FIELDS, figures.T, strict=True)),
        labels,
        days,
        np.array([row[2] for row in found], dtype=np.float64),
        [row[3] for row in found],
        [row[4] for row in found],
    )


def _thinned(points: QuerySet[ChurnHistory], most: int) -> list[tuple[Any, ...]]:
    """One point of a customer in SPACING_DAYS, from every n-th row where the table is large."""
    every = max(1, points.count() // (most * 4))
    if every > 1:
        points = points.annotate(part=Mod("pk", every)).filter(part=0)
    seen: set[tuple[str, int]] = set()
    found: list[tuple[Any, ...]] = []
    columns = ("chargebee_customer_id", "scored_at", "p90", "segment", "model_version", *FIELDS)
    for row in points.order_by("scored_at", "pk").values_list(*columns).iterator(chunk_size=5_000):
        slot = (row[0], int(row[1].timestamp() // (86_400 * SPACING_DAYS)))
        if slot not in seen:
            seen.add(slot)
            found.append(row)
    step = -(-len(found) // most) if found else 1
    return found[::step]


def _departures(customer_ids: set[str]) -> dict[str, list[float]]:
    """The days on which each of these customers left."""
    left: dict[str, list[float]] = defaultdict(list)
    listed = sorted(customer_ids)
    for start in range(0, len(listed), _CHUNK):
        rows = Departure.objects.filter(chargebee_customer_id__in=listed[start : start + _CHUNK])
        for customer_id, at in rows.values_list("chargebee_customer_id", "left_at"):
            left[customer_id].append(at.timestamp() / 86_400.0)
    return left
