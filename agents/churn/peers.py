"""What is usual: the median of each signal in each segment, from at most a few thousand customers spread evenly over it."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from django.db.models import Count
from django.db.models.functions import Mod

from agents.churn.models import ChurnScore, PeerMedians
from agents.churn.signals import FIELDS, SIGNALS

MOST_LOOKED_AT = 5_000


def compute(as_of: datetime) -> int:
    """Write the medians of every segment that has a customer who can be left. Returns how many segments there are."""
    counted = ChurnScore.objects.filter(is_active=True).order_by().values_list("segment").annotate(n=Count("pk"))
    found = dict(counted.iterator())
    for segment, customers in found.items():
        every = -(-customers // MOST_LOOKED_AT)
        rows = ChurnScore.objects.filter(is_active=True, segment=segment)
        if every > 1:
            rows = rows.annotate(part=Mod("pk", every)).filter(part=0)
        values = np.array(list(rows.values_list(*FIELDS)[:MOST_LOOKED_AT]), dtype=np.float64).reshape(-1, len(FIELDS))
        columns = dict(zip(FIELDS, values.T, strict=True))
        medians: dict[str, float] = {}
        for signal in SIGNALS:
            known = signal.of(columns)
            known = known[np.isfinite(known)]
            if len(known):
                medians[signal.name] = round(float(np.median(known)), 4)
        PeerMedians.objects.update_or_create(segment=segment, defaults={"customers": customers, "medians": medians, "computed_at": as_of})
    PeerMedians.objects.exclude(segment__in=list(found)).delete()
    return len(found)
