"""What floors above may want to hear of, without being imported from here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.dispatch import Signal


@dataclass(frozen=True, slots=True)
class BandChange:
    """One customer's score went from one band to another. `before` is empty for a first score."""

    customer_id: str
    before: str
    after: str
    scored_at: datetime
    p90: float
    health: float | None


# Sent inside the transaction that stored the new scores: changes, a list of BandChange. The API tells other systems of them.
bands_changed = Signal()
