"""Whether the scores can be believed today: do probabilities come true, do customers still look as they did, does anything go missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Mod

from agents.churn import holdout, learned, matured
from agents.churn.drift import Drift, MaturedCalibration, Reference, calibration_by_segment, check_calibration, check_drift, make_reference
from agents.churn.holdout import Effect, Group
from agents.churn.learning.features import NumericFeature
from agents.churn.models import ChurnHistory, ChurnScore, Departure, Intervention, WatchFinding
from agents.churn.queries import SCORECARD
from agents.churn.signals import FIELDS, SIGNALS, FloatArray
from audit import ledger
from audit.actor import agent as agent_actor
from billing_ai.kernel import ids

logger = logging.getLogger(__name__)
EVERYONE = "everyone"
CALIBRATION, DRIFT, SCORES = "calibration", "drift", "scores"
_SAMPLE = 10_000
_CALIBRATED_OVER = timedelta(days=120)
"""Scores that came due in so many days are held against what happened."""
_REFERENCE = (timedelta(days=75), timedelta(days=30))
"""Without a learned model, customers are compared with those of so long ago."""
_EFFECT_OVER = timedelta(days=365)


def look(as_of: datetime) -> list[WatchFinding]:
    """Look at everything once, keep one finding each, and write down what has become an alert."""
    found = [*_calibration(as_of), *_drift(as_of)]
    kept = [_keep(finding, as_of) for finding in found]
    WatchFinding.objects.filter(looked_at__lt=as_of).delete()
    return kept


def _calibration(as_of: datetime) -> list[WatchFinding]:
    rows = matured.read(as_of, since=as_of - matured.HORIZON - _CALIBRATED_OVER)
    version = rows.versions[-1] if len(rows) else ""
    whole = check_calibration(rows.p90, rows.labels[90]) if len(rows) else None
    found = [_calibrated(EVERYONE, whole, version, len(rows))]
    if whole is not None:
        for segment, one in calibration_by_segment(rows.p90, rows.labels[90], rows.segments).items():
            found.append(_calibrated(segment, one, version, rows.segments.count(segment)))
    return found


def _calibrated(name: str, one: MaturedCalibration | None, version: str, rows: int) -> WatchFinding:
    if one is None:
        words = f"Not enough data: {rows} scores have come due, it takes 50."
        return WatchFinding(kind=CALIBRATION, name=name, model_version=version, words=words, figures={"rows": rows})
    figures = {
        "rows": one.rows, "predicted": one.predicted, "happened": one.happened, "low": one.low, "high": one.high, "slope": one.slope,
        "slope_low": one.slope_low, "slope_high": one.slope_high,
    }  # fmt: skip
    return WatchFinding(
        kind=CALIBRATION, name=name, model_version=version, value=one.happened - one.predicted, figures=figures, words=one.words[:400],
        is_alert=one.is_alert,
    )  # fmt: skip


def _drift(as_of: datetime) -> list[WatchFinding]:
    now = _sample(ChurnScore.objects.filter(is_active=True))
    if not len(now):
        return []
    columns = dict(zip(FIELDS, now[:, 1:].T, strict=True))
    references, of_scores, version = _references(as_of)
    found = []
    for name, reference in references.items():
        signal = next(one for one in SIGNALS if one.name == name)
        found.append(_drifted(DRIFT, name, check_drift(signal.words, reference, _finite(signal.of(columns)), len(references)), version))
    if of_scores is not None:
        found.append(_drifted(SCORES, "p90", check_drift("the chance of leaving", of_scores, now[:, 0]), version))
    if not found:
        words = "Not enough data: customers are compared with those of a month ago or more, and there were no scores then."
        found.append(WatchFinding(kind=DRIFT, name=EVERYONE, model_version=version, words=words))
    return found


def _references(as_of: datetime) -> tuple[dict[str, Reference], Reference | None, str]:
    """What each signal, and the score, looked like: to the live model when it learned, else a month and more ago."""
    model = learned.live()
    if model is not None:
        training = model.artefact.training
        references = {
            feature.name: Reference(feature.deciles, feature.decile_shares, feature.missing_share, training.rows)
            for feature in model.artefact.model.features
            if isinstance(feature, NumericFeature)
        }
        return references, Reference(training.score_deciles, training.score_shares, 0.0, training.rows), model.version
    before = _sample(ChurnHistory.objects.filter(scored_at__gt=as_of - _REFERENCE[0], scored_at__lte=as_of - _REFERENCE[1]))
    if not len(before):
        return {}, None, SCORECARD
    columns = dict(zip(FIELDS, before[:, 1:].T, strict=True))
    references = {}
    for signal in SIGNALS:
        values = _finite(signal.of(columns))
        if not np.isnan(values).all():
            references[signal.name] = make_reference(values)
    return references, make_reference(before[:, 0]), SCORECARD


def _finite(values: FloatArray) -> FloatArray:
    """A day that never comes counts as the farthest, as it does to a model."""
    return np.where(np.isinf(values), learned.FARTHEST_DAYS, values)


def _sample(rows: QuerySet[Any]) -> FloatArray:
    """p90 and the figures of at most _SAMPLE rows, spread evenly."""
    every = max(1, rows.count() // _SAMPLE)
    if every > 1:
        rows = rows.annotate(part=Mod("pk", every)).filter(part=0)
    return np.array(list(rows.order_by().values_list("p90", *FIELDS)[:_SAMPLE]), dtype=np.float64).reshape(-1, 1 + len(FIELDS))


def _drifted(kind: str, name: str, one: Drift, version: str) -> WatchFinding:
    return WatchFinding(
        kind=kind, name=name, model_version=version, value=one.psi, threshold=one.threshold, words=one.words[:400], is_alert=one.is_alert,
        figures={"missing": one.missing_share, "missing_change": one.missing_change},
    )  # fmt: skip


def _keep(finding: WatchFinding, as_of: datetime) -> WatchFinding:
    with transaction.atomic():
        held = WatchFinding.objects.select_for_update().filter(kind=finding.kind, name=finding.name).first()
        finding.looked_at = as_of
        was_alert = held is not None and held.is_alert
        finding.alert_since = (held.alert_since if held is not None and was_alert else as_of) if finding.is_alert else None
        finding.pk = held.pk if held is not None else None
        finding.save()
        if finding.is_alert and not was_alert:
            logger.warning("churn.watch_alert", extra={"kind": finding.kind, "name_of": finding.name})
            ledger.append(
                "churn.watch_alert",
                actor=agent_actor("churn"),
                trace_id=ids.new_trace_id(),
                subject=("churn", f"{finding.kind}:{finding.name}"),
                agent="churn",
                data={"words": finding.words, "model": finding.model_version},
            )
    return finding


def effect(as_of: datetime) -> Effect:
    """What interventions do: who left within 90 days of a customer's first intervention in the last year, treated against held out."""
    rows = Intervention.objects.filter(at__lte=as_of - matured.HORIZON, at__gt=as_of - _EFFECT_OVER).exclude(group=Intervention.OBSERVED)
    first: dict[str, tuple[str, datetime]] = {}
    for customer_id, group, at in rows.order_by("at", "pk").values_list("chargebee_customer_id", "group", "at").iterator():
        first.setdefault(customer_id, (group, at))
    left = _left_within(first)
    groups = {
        group: Group(
            sum(1 for of, _ in first.values() if of == group),
            sum(1 for customer_id, (of, _) in first.items() if of == group and customer_id in left),
        )
        for group in (Intervention.TREATED, Intervention.HELD_OUT)
    }
    return holdout.measure_effect(groups[Intervention.TREATED], groups[Intervention.HELD_OUT])


def _left_within(first: dict[str, tuple[str, datetime]]) -> set[str]:
    left: set[str] = set()
    listed: Sequence[str] = sorted(first)
    for start in range(0, len(listed), 500):
        rows = Departure.objects.filter(chargebee_customer_id__in=listed[start : start + 500])
        for customer_id, at in rows.values_list("chargebee_customer_id", "left_at"):
            began = first[customer_id][1]
            if began < at <= began + matured.HORIZON:
                left.add(customer_id)
    return left


def counted(as_of: datetime) -> dict[str, int]:
    """Interventions of the last 30 days by group."""
    recent = Intervention.objects.filter(Q(at__gt=as_of - timedelta(days=30))).values_list("group", flat=True)
    found = dict.fromkeys((Intervention.TREATED, Intervention.HELD_OUT, Intervention.OBSERVED), 0)
    for group in recent.iterator():
        found[group] = found.get(group, 0) + 1
    return found
