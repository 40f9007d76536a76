"""The newest scores of customers, in the API's own words. The churn agent is the only one that writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agents.churn import queries
from agents.churn.queries import Because


def latest(customer_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Per customer that has been scored: what `shapes.ScoreOut` documents."""
    return {customer_id: as_answer(score) for customer_id, score in queries.latest_scores(customer_ids).items()}


def as_answer(score: queries.Score) -> dict[str, Any]:
    """One score as it is answered."""
    return {
        "scored_at": score.scored_at,
        "churn_30_days": score.p30,
        "churn_60_days": score.p60,
        "churn_90_days": score.p90,
        "churn_90_days_a_month_ago": score.p90_before,
        "health": score.health,
        "health_billing": score.health_billing,
        "health_support": score.health_support,
        "health_product": score.health_product,
        "band": score.band,
        "trend": score.trend,
        "segment": score.segment,
        "raised_by": [_reason(one) for one in score.raised],
        "lowered_by": [_reason(one) for one in score.lowered],
        "unknown": list(score.unknown),
        "model": score.model_version,
        "origin": score.origin,
    }


def _reason(because: Because) -> dict[str, Any]:
    return {
        "signal": because.signal,
        "sentence": because.words,
        "unit": because.unit,
        "value": because.value,
        "before": because.before,
        "peers": because.peers,
    }


def reasons(stored: Any) -> list[dict[str, Any]]:
    """The reasons of a case or a proposal as they are answered."""
    return [
        {"code": str(one.get("code", "")), "sentence": str(one.get("sentence", "")), "weight": float(one.get("weight", 0.0))}
        for one in stored
        if isinstance(one, dict)
    ]
