"""What a lead may set: where the bands begin, the health weights from a day on, the hold-out. Each change has a lead, a reason and history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import transaction

from agents.churn.models import ChurnScore, ChurnSetting, HealthWeighting
from agents.churn.scorecard import HealthWeights, Scorecard
from agents.churn.signals import FloatArray
from approvals.people import Refused, require_lead
from audit import ledger
from audit.actor import person
from billing_ai.kernel import clock, ids

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DEFAULTS: Mapping[str, Any] = {
    "bands": {"medium": 0.08, "high": 0.20, "critical": 0.40},
    "hold_out": {"share": 0.10, "salt": "1"},
    "monthly_churn": 0.02,
    "night_hour": 2,
}
"""Shipped values. `bands`: p90 from which each begins; `night_hour`: the hour (UTC) from which the night's scoring starts."""
_MOST_HELD_OUT = 0.5


@dataclass(frozen=True, slots=True)
class Knobs:
    """The settings in force."""

    band_edges: tuple[float, float, float]
    weights: HealthWeights
    hold_out_share: float
    hold_out_salt: str
    monthly_churn: float
    night_hour: int

    @property
    def scorecard(self) -> Scorecard:
        """The scorecard with these settings."""
        return Scorecard(self.monthly_churn, self.weights)

    def bands(self, p90: FloatArray) -> np.ndarray:
        """The number of each band in `ChurnScore.BANDS`."""
        return np.searchsorted(np.array(self.band_edges), p90, side="right")

    def band(self, p90: float) -> str:
        """The band's name."""
        return ChurnScore.BANDS[int(self.bands(np.array([p90]))[0])]


def load(on: date | None = None) -> Knobs:
    """What is in force on that day (today when none is named)."""
    values = {**DEFAULTS, **dict(ChurnSetting.objects.values_list("key", "value"))}
    edges = values["bands"]
    return Knobs(
        (float(edges["medium"]), float(edges["high"]), float(edges["critical"])),
        weights_on(on or clock.utc_date(clock.now())),
        float(values["hold_out"]["share"]),
        str(values["hold_out"]["salt"]),
        float(values["monthly_churn"]),
        int(values["night_hour"]),
    )


def weights_on(day: date) -> HealthWeights:
    """The health weights in force on a day: the newest row of the latest day that has come, else those shipped."""
    row = HealthWeighting.objects.filter(effective_from__lte=day).order_by("-effective_from", "-pk").first()
    return HealthWeights() if row is None else HealthWeights(row.billing, row.support, row.product)


def change_weights(
    user: User, *, billing: float, support: float, product: float, reason: str, effective_from: date | None = None
) -> HealthWeighting:
    """New health weights from a day on. Raises Refused, and then nothing has changed."""
    _allowed(user, reason)
    try:
        HealthWeights(billing, support, product)
    except ValueError as error:
        raise Refused("bad_values", f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    today = clock.utc_date(clock.now())
    day = effective_from or today
    if day < today:
        raise Refused("in_the_past", "A change cannot take effect in the past.")
    with transaction.atomic():
        before = weights_on(day)
        row = HealthWeighting(billing=billing, support=support, product=product, effective_from=day, changed_by=user, reason=reason.strip())
        sign(row, user, reason)
        row.save()
        note("churn.weights_changed", "health", user, reason, before.as_array().tolist(), [billing, support, product, str(day)])
    return row


def change_setting(user: User, key: str, value: Any, *, reason: str) -> ChurnSetting:
    """Another value for one setting. Raises Refused, and then nothing has changed."""
    _allowed(user, reason)
    problem = setting_problem(key, value)
    if problem:
        raise Refused("bad_values", problem)
    with transaction.atomic():
        row = ChurnSetting.objects.select_for_update().filter(key=key).first() or ChurnSetting(key=key, value=DEFAULTS[key])
        before, row.value = row.value, value
        row.changed_by, row.changed_at, row.reason = user, clock.now(), reason.strip()
        sign(row, user, reason)
        row.save()
        note("churn.setting_changed", key, user, reason, before, value)
    return row


def setting_problem(key: str, value: Any) -> str:
    """What is wrong with the value, in a sentence; empty when it can be used."""
    if key not in DEFAULTS:
        return "There is no such setting."
    try:
        if key == "bands":
            edges = [float(value[name]) for name in ("medium", "high", "critical")]
            if not 0 < edges[0] < edges[1] < edges[2] < 1:
                return "The bands begin at three rising chances between 0 and 1: medium, high, critical."
        elif key == "hold_out":
            if not 0 <= float(value["share"]) <= _MOST_HELD_OUT or not str(value["salt"]):
                return "The hold-out is a share from 0 to 0.5, with a salt."
        elif key == "monthly_churn":
            if not 0 < float(value) < 1:
                return "The base rate is a share between 0 and 1."
        elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 23:
            return "The hour is a whole number from 0 to 23."
    except (KeyError, TypeError, ValueError):
        return "These values cannot be read."
    return ""


def _allowed(user: User, reason: str) -> None:
    require_lead(user)
    if not user.has_perm("approvals.change_rules"):
        raise Refused("not_allowed", "Your role may not change rules.")
    if not reason.strip():
        raise Refused("needs_reason", "Say why, for those who come after.")


def sign(row: Any, user: User, reason: str) -> None:
    """Who changed it and why, for the row's own history."""
    row._history_user = user
    row._change_reason = reason.strip()[:500]


def note(kind: str, subject: str, user: User, reason: str, before: Any, after: Any) -> None:
    """The change in the ledger."""
    ledger.append(
        kind,
        actor=person(user),
        trace_id=ids.new_trace_id(),
        subject=("churn", subject),
        agent="churn",
        data={"before": before, "after": after, "reason": reason.strip()[:300]},
    )
