"""Which rule fits which customer: bands × segment × change, lowest rank first, over arrays. And what a lead may write into a rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from agents.churn.knobs import note, sign
from agents.churn.models import ChurnScore, InterventionRule
from agents.churn.signals import FloatArray
from approvals.people import Refused, require_lead
from billing_ai.kernel import clock

if TYPE_CHECKING:
    from django.contrib.auth.models import User

ACTIONS: Mapping[str, str] = {
    "crm_task": "Task for the owner in the CRM",
    "call_task": "Ask the owner to call",
    "alert": "Alert colleagues",
    "send_message": "Write to the customer",
}
CHANGES: Mapping[str, str] = {
    InterventionRule.ENTERED: "has entered the band",
    InterventionRule.WORSE: "is rising",
    InterventionRule.ANY: "is in the band",
}
BAND_IS_NEWS_FOR = timedelta(days=7)
"""How long a customer counts as having entered a band."""
_MOST_COOL_DOWN_DAYS = 365
_RISING = ChurnScore.TRENDS.index(ChurnScore.RISING)


@dataclass(frozen=True, slots=True)
class RuleValue:
    """One rule in force. `segments` empty: every one."""

    key: str
    title: str
    bands: frozenset[str]
    segments: frozenset[str]
    change: str
    action: str
    params: Mapping[str, Any] = field(default_factory=dict)
    cool_down_days: int = 30


def rules_in_force() -> tuple[RuleValue, ...]:
    """The enabled rules, the one that is looked at first in front."""
    rows = InterventionRule.objects.filter(is_enabled=True).order_by("rank", "key")
    return tuple(
        RuleValue(row.key, row.title, frozenset(row.bands), frozenset(row.segments), row.change, row.action, row.params, row.cool_down_days)
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules look at, as arrays over customers. Moments in seconds since 1970; `bands_before` is -1 before any change."""

    bands: NDArray[np.int64]
    bands_before: NDArray[np.int64]
    band_changed_at: FloatArray
    trends: NDArray[np.int64]
    segments: Sequence[str]
    is_active: NDArray[np.bool_]
    now: float


def fitting(rules: Sequence[RuleValue], seen: Situation) -> NDArray[np.int64]:
    """The position of the first rule that fits each customer, -1 where none does."""
    found = np.full(len(seen.bands), -1, dtype=np.int64)
    fresh = seen.now - seen.band_changed_at <= BAND_IS_NEWS_FOR.total_seconds()
    change = {
        InterventionRule.ENTERED: fresh & (seen.bands > seen.bands_before) & (seen.bands_before >= 0),
        InterventionRule.WORSE: seen.trends == _RISING,
        InterventionRule.ANY: np.ones(len(seen.bands), dtype=np.bool_),
    }
    segments = np.array(seen.segments, dtype=object)
    for position, rule in enumerate(rules):
        wanted = np.array([band in rule.bands for band in ChurnScore.BANDS])
        fits = (found < 0) & seen.is_active & wanted[seen.bands] & change[rule.change]
        if rule.segments:
            fits &= np.isin(segments, list(rule.segments))
        found[fits] = position
    return found


DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {
        "key": "critical_call", "title": "Critical: the owner calls", "bands": ["critical"], "change": InterventionRule.ANY, "action": "call_task",
        "params": {"subject": "Call this customer: likely to leave", "due_in_days": 2}, "cool_down_days": 30, "rank": 10,
    },
    {
        "key": "large_alert", "title": "Large customer has become a high risk: alert", "bands": ["high"],
        "segments": ["enterprise", "gold", "platinum", "large"], "change": InterventionRule.ENTERED, "action": "alert",
        "params": {"subject": "A large customer has become a high risk", "priority": "high"}, "cool_down_days": 30, "rank": 20,
    },
    {
        "key": "high_task", "title": "High risk: a task for the owner", "bands": ["high"], "change": InterventionRule.ANY, "action": "crm_task",
        "params": {"subject": "Look at this customer before the next renewal", "due_in_days": 5}, "cool_down_days": 45, "rank": 30,
    },
    {
        "key": "medium_message", "title": "Risk is rising: a message that asks how it goes", "bands": ["medium"],
        "change": InterventionRule.WORSE, "action": "send_message", "params": {"tone": "warm"}, "cool_down_days": 60, "rank": 40,
    },
)  # fmt: skip


def install_default_rules() -> int:
    """Add each shipped rule that is not there; never touch one that is. Returns how many were added."""
    added = 0
    for shipped in DEFAULT_RULES:
        values = {"reason": "shipped with the product", **{name: value for name, value in shipped.items() if name != "key"}}
        added += InterventionRule.objects.get_or_create(key=shipped["key"], defaults=values)[1]
    return added


def change_rule(user: User, key: str, values: Mapping[str, Any], *, reason: str) -> InterventionRule:
    """Write a rule, or a new one when there is none of this key. Raises Refused, and then nothing has changed."""
    require_lead(user)
    if not user.has_perm("approvals.change_rules"):
        raise Refused("not_allowed", "Your role may not change rules.")
    if not reason.strip():
        raise Refused("needs_reason", "Say why, for those who come after.")
    with transaction.atomic():
        row = InterventionRule.objects.select_for_update().filter(key=key).first() or InterventionRule(key=key)
        before = _kept(row) if row.pk else None
        for name, value in values.items():
            setattr(row, name, value)
        problem = rule_problem(row)
        if problem:
            raise Refused("bad_values", problem)
        row.changed_by, row.changed_at, row.reason = user, clock.now(), reason.strip()
        sign(row, user, reason)
        row.save()
        note("churn.rule_changed", key, user, reason, before, _kept(row))
    return row


def rule_problem(row: InterventionRule) -> str:
    """What is wrong with the rule, in a sentence; empty when it can be used."""
    if not row.key or not row.key.replace("_", "").isalnum() or len(row.key) > 40:
        return "The key is letters, digits and underscores, at most 40."
    if not row.title.strip() or len(row.title) > 120:
        return "Give the rule a title of at most 120 characters."
    if not isinstance(row.bands, list) or not row.bands or not set(row.bands) <= set(ChurnScore.BANDS):
        return f"Choose at least one band: {', '.join(ChurnScore.BANDS)}."
    if not isinstance(row.segments, list) or not all(isinstance(one, str) and 0 < len(one) <= 40 for one in row.segments):
        return "Segments are names of at most 40 characters, or none for all."
    if row.change not in CHANGES:
        return f"The change is one of: {', '.join(CHANGES)}."
    if row.action not in ACTIONS:
        return f"The action is one of: {', '.join(ACTIONS)}."
    if not 1 <= row.cool_down_days <= _MOST_COOL_DOWN_DAYS:
        return f"The cool-down is 1 to {_MOST_COOL_DOWN_DAYS} days."
    if not 1 <= row.rank <= 1000:
        return "The rank is a number from 1 to 1000."
    return _params_problem(row.action, row.params)


def _params_problem(action: str, params: Any) -> str:
    known = {"crm_task": {"subject", "due_in_days", "note"}, "call_task": {"subject", "due_in_days", "note"}}
    known |= {"alert": {"subject", "priority", "note"}, "send_message": {"tone"}}
    if not isinstance(params, dict) or not set(params) <= known[action]:
        return f"The action takes these values: {', '.join(sorted(known[action]))}."
    days = params.get("due_in_days", 0)
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= 90:
        return "A task is due in 0 to 90 days."
    if params.get("priority", "normal") not in ("low", "normal", "high", "urgent"):
        return "The priority is low, normal, high or urgent."
    if params.get("tone", "warm") not in ("warm", "neutral", "firm"):
        return "The tone is warm, neutral or firm."
    if any(not isinstance(params.get(name, ""), str) or len(params.get(name, "")) > 500 for name in ("subject", "note")):
        return "Subject and note are texts of at most 500 characters."
    return ""


def _kept(row: InterventionRule) -> dict[str, Any]:
    names = ("title", "bands", "segments", "change", "action", "params", "cool_down_days", "rank", "is_enabled")
    return {name: getattr(row, name) for name in names}
