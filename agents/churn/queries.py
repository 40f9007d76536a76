"""Questions that the console and the API ask of the scores. Reads only; reasons are put into words here, for whoever reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.churn.models import ChurnHistory, ChurnScore, PeerMedians, ScoringRun
from agents.churn.packing import unpack
from agents.churn.scorecard import ORIGIN
from agents.churn.signals import BY_NAME, FIELDS, SIGNALS, CustomerSignals

SCORECARD = "scorecard-1"
_MOST_CUSTOMERS = 1_000


@dataclass(frozen=True, slots=True)
class Because:
    """One reason in words. `value`, `before` (the customer a month or more ago) and `peers` (the segment's median) are None when not known."""

    signal: str
    words: str
    unit: str
    source: str
    value: float | None
    before: float | None
    peers: float | None


@dataclass(frozen=True, slots=True)
class Score:
    """One customer's score as it stands. Chances are 0–1, health and its parts 0–100 or None where nothing is known."""

    customer_id: str
    scored_at: datetime
    p30: float
    p60: float
    p90: float
    health: float | None
    health_billing: float | None
    health_support: float | None
    health_product: float | None
    band: str
    band_before: str
    band_changed_at: datetime | None
    trend: str
    p90_before: float | None
    segment: str
    mrr_minor: int | None
    currency: str
    value_reference_cents: int
    raised: tuple[Because, ...]
    lowered: tuple[Because, ...]
    unknown: tuple[str, ...]
    """Signals of which nothing is known."""
    model_version: str
    origin: str
    """Where the score comes from, in a sentence for people."""
    is_active: bool


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a customer's history."""

    scored_at: datetime
    p30: float
    p60: float
    p90: float
    health: float | None
    health_billing: float | None
    health_support: float | None
    health_product: float | None
    band: str
    model_version: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the newest nightly scoring is. `share` is 0–1."""

    night: str
    status: str
    done: int
    customers: int
    share: float
    batches: int
    resumed: int
    started_at: datetime
    finished_at: datetime | None
    note: str


def latest_scores(customer_ids: Iterable[str]) -> dict[str, Score]:
    """The score of each of these customers (at most 1,000), by Chargebee customer id; one that was never scored is not in it."""
    wanted = list(dict.fromkeys(customer_ids))[:_MOST_CUSTOMERS]
    return {score.customer_id: score for score in as_scores(ChurnScore.objects.filter(chargebee_customer_id__in=wanted))}


def as_scores(rows: Iterable[ChurnScore]) -> list[Score]:
    """Rows with their reasons in words, in the same order: for a page of a list."""
    listed = list(rows)
    peers = {row.segment: row.medians for row in PeerMedians.objects.filter(segment__in={row.segment for row in listed})}
    before = _figures_before(listed)
    return [_score(row, before.get(row.chargebee_customer_id), peers.get(row.segment, {})) for row in listed]


def history(customer_id: str, *, limit: int = 200) -> list[Point]:
    """The customer's scores over time, newest first."""
    rows = ChurnHistory.objects.filter(chargebee_customer_id=customer_id).order_by("-scored_at", "-pk")[:limit]
    return [
        Point(
            row.scored_at, row.p30, row.p60, row.p90, row.health, row.health_billing, row.health_support, row.health_product, row.band,
            row.model_version,
        )
        for row in rows
    ]  # fmt: skip


def nightly_progress() -> Progress | None:
    """The newest night's scoring, or None when there was none yet."""
    run = ScoringRun.objects.order_by("-night").first()
    if run is None:
        return None
    share = 1.0 if run.status == ScoringRun.DONE else run.done / run.customers if run.customers else 0.0
    return Progress(
        str(run.night), run.status, run.done, run.customers, min(1.0, share), run.batches, run.resumed, run.started_at, run.finished_at, run.note
    )  # fmt: skip


def peers_of(segment: str) -> dict[str, float]:
    """The median of each signal among the customers of this segment, as of the last night; empty when there was none."""
    found = PeerMedians.objects.filter(pk=segment).values_list("medians", flat=True).first()
    return dict(found or {})


def signals_of(row: ChurnScore | ChurnHistory) -> CustomerSignals:
    """The figures that a stored score rests on."""
    values = {name: getattr(row, name) for name in FIELDS}
    reactivated = values.pop("was_reactivated")
    return CustomerSignals(**values, was_reactivated=None if reactivated is None else bool(reactivated))


def figures_before(customer_id: str, as_of: datetime) -> CustomerSignals | None:
    """The customer's own figures at the newest point of history that is older than a week."""
    points = ChurnHistory.objects.filter(chargebee_customer_id=customer_id, scored_at__lte=as_of - timedelta(days=7))
    point = points.order_by("-scored_at", "-pk").first()
    return None if point is None else signals_of(point)


def _figures_before(rows: Sequence[ChurnScore]) -> dict[str, ChurnHistory]:
    """For each customer the newest point of its history that is older than its score by a week or more."""
    found: dict[str, ChurnHistory] = {}
    by_id = {row.chargebee_customer_id: row for row in rows}
    for point in ChurnHistory.objects.filter(chargebee_customer_id__in=list(by_id)).order_by("-scored_at", "-pk"):
        score = by_id[point.chargebee_customer_id]
        if point.chargebee_customer_id not in found and (score.scored_at - point.scored_at).days >= 7:
            found[point.chargebee_customer_id] = point
    return found


def _score(row: ChurnScore, before: ChurnHistory | None, peers: dict[str, float]) -> Score:
    now = signals_of(row)
    past = signals_of(before) if before is not None else None
    raised, lowered = unpack(row.reason_codes)
    return Score(
        customer_id=row.chargebee_customer_id,
        scored_at=row.scored_at,
        p30=row.p30,
        p60=row.p60,
        p90=row.p90,
        health=row.health,
        health_billing=row.health_billing,
        health_support=row.health_support,
        health_product=row.health_product,
        band=row.band,
        band_before=row.band_before,
        band_changed_at=row.band_changed_at,
        trend=row.trend,
        p90_before=row.p90_before,
        segment=row.segment,
        mrr_minor=None if row.mrr_minor is None else round(row.mrr_minor),
        currency=row.currency,
        value_reference_cents=row.value_reference_cents,
        raised=tuple(because(name, now, past, peers) for name in raised),
        lowered=tuple(because(name, now, past, peers) for name in lowered),
        unknown=tuple(signal.name for signal in SIGNALS if signal.value(now) is None),
        model_version=row.model_version,
        origin=ORIGIN if row.model_version == SCORECARD else f"Learned from your customers' own history ({row.model_version}).",
        is_active=row.is_active,
    )


def because(name: str, now: CustomerSignals, past: CustomerSignals | None, peers: dict[str, float]) -> Because:
    """One reason in words: the signal's value, what it was, and what it is among customers like this."""
    signal = BY_NAME[name]
    value = _finite(signal.value(now))
    before = _finite(signal.value(past)) if past is not None else None
    usual = _finite(peers.get(name))
    shown = signal.shape.format(value) if value is not None else "none"
    against: list[str] = []
    if "{" in signal.shape:
        if before is not None and before != value:
            against.append(f"before: {signal.shape.format(before)}")
        if usual is not None:
            against.append(f"customers like this: {signal.shape.format(usual)}")
    words = f"{signal.words}: {shown}" + (f" ({'; '.join(against)})" if against else "")
    return Because(name, words, signal.unit, signal.source, value, before, usual)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
